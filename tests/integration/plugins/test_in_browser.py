"""The deliveries page in headless Chromium: schemes, Airflow's frame, contrast, narrow windows, keyboard."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from tests.integration.plugins.conftest import token_of
from tests.unit.ledgers.stores import Database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
RUN = "dag_id=nightly&run_id=n1"
PAGES = ("", f"run?{RUN}", f"rows?{RUN}&state=rejected", "open", "key?key=k1", "key?key=none", "nothing")
#: As Airflow 3.3's page has it.
FRAME = (
    '<!DOCTYPE html><base href="/"><iframe sandbox="allow-scripts allow-same-origin allow-forms allow-downloads" '
    'src="leadsquared/" width="1200" height="800"></iframe>'
)
#: Returns the texts whose contrast with the page's colour is below 4.5 (WCAG 2, level AA).
FAINT = """() => {
  const numbers = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = color => { const [r, g, b] = numbers(color).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = one => { for (; one; one = one.parentElement) { const color = getComputedStyle(one).backgroundColor;
    if (!color.startsWith("rgba(0, 0, 0, 0")) return color; } return "rgb(255, 255, 255)"; };
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || one.closest("title, desc, .skip")) continue;
    const style = getComputedStyle(one), isDrawn = one instanceof SVGElement;
    const pair = [light(isDrawn ? style.fill : style.color), light(behind(one))].sort((a, b) => b - a);
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5) faint.push(`${one.tagName} ${one.textContent.trim()}`);
  }
  return faint;
}"""


@pytest.fixture(scope="package")
def site(served: FastAPI) -> Iterator[str]:
    """Return the address of a real server of the page, and of a page that frames it as Airflow's does."""
    served.add_api_route("/frame", lambda: HTMLResponse(FRAME))
    server = uvicorn.Server(uvicorn.Config(served, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path is not None, "no Chromium is installed; Debian: apt-get install chromium"
    with sync_playwright() as playwright:
        # Its own sandbox does not work for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Browser, site: str, database: Database) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page for a user; at the end no page may have logged an error."""
    ledger = database.ledger(run=RunOfTask("nightly", "n1", "sync"))
    ledger.claim("try")
    now = time.time()
    rows = [Entry(n, State.CREATED, f"k{n}", f"{n:032x}", accepted_at=now - 90, settled_at=now - n) for n in range(60)]
    rows += [
        Entry(60 + n, state, f"r{n}", f"{60 + n:032x}", reason_class="MXDuplicateEntryException")
        for n, state in enumerate(State)
        if state is not State.UNCHANGED
    ]
    rows.append(Entry(90, State.OPEN, "k90", "f", request_id="r", accepted_at=now - 90))
    ledger.write(rows)
    contexts, errors = [], []

    def show(
        path: str = "leadsquared/", *, width: int = 1_200, scheme: Any = "light", chosen: str | None = None
    ) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.add_cookies([{"name": "_token", "value": token_of("all"), "url": site}])
        page = context.new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        if chosen is not None:
            page.add_init_script(f"localStorage.setItem('theme', '{chosen}')")
        page.goto(f"{site}/{path}")
        return page

    yield show
    for context in contexts:
        context.close()
    assert [one for one in errors if "404" not in one] == []


def background(page: Page) -> int:
    """Return how light the page is, from 0 to 255."""
    return int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))


@pytest.mark.parametrize(
    ("scheme", "chosen", "is_dark"),
    [
        ("light", None, False),
        ("dark", None, True),
        ("light", "dark", True),
        ("dark", "light", False),
        ("dark", "system", True),
    ],
)
def test_the_scheme_is_the_one_chosen_in_airflow_or_else_the_browsers(look, scheme, chosen, is_dark):
    assert (background(look(scheme=scheme, chosen=chosen)) < 128) is is_dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_every_text_can_be_read_in_both_schemes_and_nothing_is_cut_off_in_a_narrow_window(look, path, scheme):
    page = look(f"leadsquared/{path}", scheme=scheme, width=400)
    assert page.evaluate(FAINT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_in_airflows_frame_search_and_links_work_and_there_is_no_way_out_of_it(look):
    page = look("frame")
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Runs", exact=True).wait_for()
    assert not frame.get_by_role("link", name="Back to Airflow").is_visible()
    frame.get_by_role("searchbox", name="Row key").fill("r9")
    frame.get_by_role("button", name="Find").click()
    frame.get_by_role("heading", name="r9").wait_for()
    frame.get_by_role("link", name="n1").first.click()
    frame.get_by_role("heading", name="nightly").wait_for()
    assert page.url.endswith("/frame")


def test_outside_of_airflows_frame_the_page_has_a_way_back(look):
    page = look(f"leadsquared/run?{RUN}&task_id=sync")
    assert page.get_by_role("link", name="Back to Airflow").is_visible()
    address = page.get_by_role("link", name="In Airflow").evaluate("link => new URL(link.href).pathname")
    assert address == "/dags/nightly/runs/n1/tasks/sync"


def test_the_page_can_be_used_by_keyboard_and_charts_have_names(look):
    page = look()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    assert page.get_by_role("img", name="Rows of each run by verdict").is_visible()
    bar = page.locator("svg.chart a")
    bar.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="nightly").wait_for()
