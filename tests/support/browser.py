"""GraphiQL in the system's Chromium, as a person uses it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WAIT_MILLISECONDS = 30_000

_MODEL = "name => globalThis.__MONACO.editor.getModels().find(model => model.uri.path.endsWith(name))"
_IS_LOADED = """() => globalThis.__MONACO && globalThis.__MONACO.editor.getModels().filter(
    model => /(operation.graphql|variables.json|request-headers.json|response.json)$/.test(model.uri.path)
).length === 4"""


def chromium() -> str:
    """Find Chromium; without it, a test is skipped on a newcomer's machine and fails in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    reason = "Chromium is missing; install it, on Debian with: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class GraphiQLPage:
    """GraphiQL in a page.

    Args:
        page: Of the browser.

    Attributes:
        foreign: Addresses outside this machine that the page asked for.
        posted: What it posted.
        complaints: What the console warned of, violations of the content security policy among it.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.foreign: list[str] = []
        self.posted: list[str] = []
        self.complaints: list[str] = []
        self._early = page.locator("#early textarea")
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.route("**/*", self._route)
        page.on("console", lambda message: message.type in {"error", "warning"} and self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))

    def open(self, url: str) -> None:
        """Load the page, until its editors are there."""
        self._page.goto(url)
        self.wait_for_editors()

    @contextmanager
    def opening(self, url: str) -> Iterator[None]:
        """Load the page; its editors come when the context ends."""
        held: list[Route] = []
        self._page.route("**/assets/editor-*.js", lambda route: held.append(route))  # noqa: PLW0108 - it is written onto
        self._page.goto(url, wait_until="commit")
        self._early.and_(self._page.locator(":read-write")).wait_for()
        yield
        assert self._early.is_visible()
        self._page.unroute("**/assets/editor-*.js")
        for route in held:
            route.continue_()
        self.wait_for_editors()

    def focus_early(self) -> None:
        """Put the cursor into the operation, before there is an editor."""
        self._early.click()

    def wait_for_editors(self) -> None:
        """Wait until the editors are there, and what the page began with is not."""
        self._page.locator(".graphiql-query-editor .view-line").first.wait_for()
        self._page.wait_for_function(_IS_LOADED)
        self._early.wait_for(state="detached")

    def select(self, tab: str) -> None:
        """Go to a tab by the name of its operation."""
        self._page.get_by_role("tablist").get_by_role("button", name=tab, exact=True).click()
        shown = f"name => new RegExp('\\\\b' + name + '\\\\b').test(({_MODEL})('operation.graphql').getValue())"
        self._page.wait_for_function(shown, arg=tab)

    def execute(self) -> None:
        """Press the button."""
        self._page.locator("button.graphiql-execute-button").click()

    def is_busy(self) -> bool:
        """Tell whether an operation runs."""
        label = self._page.locator("button.graphiql-execute-button").get_attribute("aria-label") or ""
        return label.startswith("Stop")

    def wait_for_response(self, *texts: str) -> None:
        """Wait until all of these texts are in the response."""
        self._page.wait_for_function(
            f"texts => {{ const shown = ({_MODEL})('response.json').getValue();"
            " return texts.every(text => shown.includes(text)); }",
            arg=list(texts),
        )

    def run(self, tab: str) -> Any:  # noqa: ANN401 - any JSON
        """Run a tab's query or mutation; give its data."""
        self.select(tab)
        self.execute()
        self._page.wait_for_function(
            f"() => ({_MODEL})('response.json').getValue() !== ''"
            " && !document.querySelector('.graphiql-response .graphiql-spinner')"
        )
        answer = json.loads(self.response())
        assert "errors" not in answer, answer
        return answer["data"]

    def response(self) -> str:
        """Read the response."""
        return str(self._page.evaluate(f"name => ({_MODEL})(name).getValue()", "response.json"))

    def reload(self) -> None:
        """Load the page once more."""
        self._page.reload()
        self.wait_for_editors()

    def tabs(self) -> list[str]:
        """Name the tabs, from the left."""
        return self._page.locator(".graphiql-tab-button").all_inner_texts()

    def press(self, label: str) -> None:
        """Press a button of the sidebar."""
        self._page.get_by_role("button", name=label).click()

    def wait_for_schema(self) -> None:
        """Wait until the editor knows the schema, and nothing asks for it any more."""
        self._page.wait_for_function("() => globalThis.__MONACO.languages.graphql?.api?.schemas?.length")
        self._page.locator("button[aria-label^='Re-fetch GraphQL schema']:not([disabled])").wait_for()

    def choose(self, field: str) -> None:
        """Choose a field in the explorer."""
        self._page.locator(".graphiql-plugin").get_by_text(field, exact=True).first.click()

    def wait_for_operation(self, text: str) -> None:
        """Wait until a text is in the operation."""
        self._page.wait_for_function(f"text => ({_MODEL})('operation.graphql').getValue().includes(text)", arg=text)

    def wait_for_mark(self) -> None:
        """Wait until something in the operation is underlined as an error."""
        self._page.locator(".graphiql-query-editor .squiggly-error").first.wait_for(state="attached")

    def is_dark(self) -> bool:
        """Tell whether light stands on dark."""
        look = "() => getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor"
        return sum(map(int, re.findall(r"\d+", str(self._page.evaluate(look)))[:3])) < 3 * 128

    def dialog(self) -> str:
        """Read the dialog that is open."""
        return self._page.get_by_role("dialog").inner_text()

    def focus(self) -> None:
        """Put the cursor into the operation."""
        self._page.locator(".graphiql-query-editor .view-line").first.click()

    def type(self, *keys: str) -> None:
        """Type on the keyboard."""
        for key in keys:
            self._page.keyboard.press(key)

    def operation(self) -> str:
        """Read the operation."""
        return str(self._page.evaluate(f"name => ({_MODEL})(name).getValue()", "operation.graphql"))

    def screenshot(self, path: str) -> None:
        """Keep what is to be seen."""
        self._page.screenshot(path=path)

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _route(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname in {"127.0.0.1", None}:
            if route.request.method == "POST":
                self.posted.append(route.request.post_data or "")
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()


@contextmanager
def graphiql(
    *, width: int = 1400, height: int = 900, color_scheme: Literal["dark", "light"] = "light"
) -> Iterator[GraphiQLPage]:
    """Open a browser of its own, with nothing stored, which finds no other machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=color_scheme)
        try:
            yield GraphiQLPage(context.new_page())
        finally:
            context.close()
            browser.close()
