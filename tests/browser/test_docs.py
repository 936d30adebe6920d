"""The documentation site in a browser that reaches this machine and no other."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright
from support.browser import FLAGS, WAIT_MILLISECONDS, chromium
from support.docs_site import build, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PHONE_WIDTH = 390


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    assert build(directory) == ""
    return directory


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with served(site) as address:
        yield address


@pytest.fixture
def page() -> Iterator[Page]:
    """Give a page as wide as a phone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            page = browser.new_page(viewport={"width": PHONE_WIDTH, "height": 844})
            page.set_default_timeout(WAIT_MILLISECONDS)
            yield page
        finally:
            browser.close()


def test_every_page_fits_a_phone_and_asks_no_other_machine(page: Page, address: str, site: Path) -> None:
    foreign: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda it: urlsplit(it.url).hostname in {"127.0.0.1", None} or foreign.append(it.url))
    page.on("console", lambda it: it.type in {"error", "warning"} and complaints.append(it.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if path.name != "404.html")
    assert len(names) > 40

    too_wide = []
    for name in names:
        page.goto(f"{address}{name}")
        if page.evaluate("document.scrollingElement.scrollWidth") > PHONE_WIDTH:
            too_wide.append(name)

    assert (too_wide, foreign, complaints) == ([], [], [])


def test_the_search_finds_a_type_by_its_words(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("label.md-header__button[for=__search]").click()
    page.get_by_role("textbox", name="Search").press_sequentially("stale revision")

    result = page.locator(".md-search-result__link[href*='error-types.html'][href$='#StaleRevisionError']").first
    result.wait_for(state="attached")
