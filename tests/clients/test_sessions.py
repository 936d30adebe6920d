"""The session of docs/examples, shared by two tabs of a real browser."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright
from support.browser import FLAGS, WAIT_MILLISECONDS, chromium
from support.node import Workspace

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(180)]

SIGN_IN = """async (url) => {
  const query = `mutation { login(input: { email: "demo@example.com", password: "demo-password" }) {
    session { accessToken refreshToken expiresAt } } }`;
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
  return (await answer.json()).data.login.session;
}"""
KEEP = "(tokens) => session.keep(tokens)"
TOKEN = "async () => (await session.token()) ?? null"
NAME = """async ([url, token]) => {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const answer = await fetch(url, { method: "POST", headers, body: '{"query": "{ viewer { name } }"}' });
  return (await answer.json()).data.viewer.name;
}"""
HOLD = """() => new Promise((held) => {
  navigator.locks.request("session", () => new Promise((end) => { window.end = end; held(); }));
})"""
BOTH_WAIT = "async () => (await navigator.locks.query()).pending.length === 2"
OLD = "2026-01-01T00:00:00Z"


@pytest.fixture
async def tabs(workspace: Workspace, address: str) -> AsyncIterator[list[Page]]:
    """Give two tabs of one browser, each with a session."""
    source = str(workspace.examples / "session.ts")
    script = await workspace.run("esbuild", source, "--bundle", "--format=iife", "--global-name=example")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        # Only a page of the server has its storage, and none of these lets other scripts in.
        context = await browser.new_context(bypass_csp=True)
        context.set_default_timeout(WAIT_MILLISECONDS)
        tabs = [await context.new_page() for _ in range(2)]
        for tab in tabs:
            await tab.goto(address.replace("/graphql", "/health"))
            await tab.add_script_tag(content=script)
            await tab.evaluate("(url) => { window.session = new example.Session(url); }", address)
        yield tabs
        await browser.close()


async def tokens_of(tabs: list[Page]) -> list[str | None]:
    """Ask both tabs for a token at the same moment."""
    await tabs[0].evaluate(HOLD)
    asked = [asyncio.create_task(tab.evaluate(TOKEN)) for tab in tabs]
    await tabs[0].wait_for_function(BOTH_WAIT)
    await tabs[0].evaluate("() => end()")
    return await asyncio.gather(*asked)


class TestSession:
    async def test_a_token_is_kept_as_long_as_it_is_good(self, tabs: list[Page], address: str) -> None:
        tokens = await tabs[0].evaluate(SIGN_IN, address)
        await tabs[0].evaluate(KEEP, tokens)

        assert [await tab.evaluate(TOKEN) for tab in tabs] == [tokens["accessToken"]] * 2

    async def test_two_tabs_refresh_it_once_and_go_on(self, tabs: list[Page], address: str) -> None:
        tokens = await tabs[0].evaluate(SIGN_IN, address)
        await tabs[1].evaluate(KEEP, {**tokens, "expiresAt": OLD})

        first, second = await tokens_of(tabs)

        assert first == second != tokens["accessToken"]
        assert await tabs[0].evaluate(NAME, [address, first]) == "Demo"
        assert [await tab.evaluate(TOKEN) for tab in tabs] == [first, first]

    async def test_when_the_session_has_ended_there_is_no_token(self, tabs: list[Page]) -> None:
        await tabs[0].evaluate(KEEP, {"accessToken": "any", "refreshToken": "spent", "expiresAt": OLD})

        assert await tokens_of(tabs) == [None, None]

    async def test_who_signed_out_has_no_token(self, tabs: list[Page], address: str) -> None:
        await tabs[0].evaluate(KEEP, await tabs[0].evaluate(SIGN_IN, address))
        await tabs[0].evaluate(KEEP, None)

        assert [await tab.evaluate(TOKEN) for tab in tabs] == [None, None]
