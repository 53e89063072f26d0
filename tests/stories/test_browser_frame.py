"""What a frame does to a page: it grows and shrinks under a press, answers get lost, its tab is hidden; nothing that a person did is lost by that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.stories.desk import Desk, at_desk
from tests.stories.main_story import sendable


@pytest.fixture
def desk(sqlite_url: str, redis_url: str, browser_context: BrowserContext, axe_script: str) -> Iterator[Desk]:
    with at_desk(Desk, sqlite_url, redis_url, browser_context, axe_script) as desk:
        yield desk


def test_a_press_counts_although_the_page_moves_under_it(desk: Desk) -> None:
    desk.office.install().connect_xero()
    desk.open()
    mouse = desk.page.mouse
    desk.press(desk.app.get_by_role("button", name="Next"))
    desk.frame().evaluate("document.querySelector('main').style.paddingTop = '90px'")
    mouse.up()
    expect(desk.app.get_by_role("heading", name="Ledgers", exact=True)).to_be_visible()

    # Who slides off the button before letting go has changed their mind.
    place = desk.press(desk.app.get_by_role("button", name="Next"))
    mouse.move(place["x"] - 60, place["y"] + 10)
    mouse.up()
    desk.settle()
    expect(desk.app.get_by_role("heading", name="Ledgers", exact=True)).to_be_visible()


def test_a_part_that_asks_for_itself_is_not_replaced_under_a_press(desk: Desk) -> None:
    alice = desk.office.ready()
    batch = alice.order(*sendable(desk.office, 1))
    alice.post(f"/app/batches/{batch}/confirm")
    desk.open()
    desk.go(f"/app/batches/{batch}")
    desk.press(desk.app.get_by_role("button", name="Cancel"))
    with desk.page.expect_response("**/progress*"):
        pass
    desk.page.wait_for_timeout(100)  # its answer is looked at
    desk.page.mouse.up()
    expect(desk.app.get_by_text("Cancelled").first).to_be_visible()


def test_the_page_that_waits_for_xero_asks_on_whatever_becomes_of_an_answer(desk: Desk) -> None:
    """One is cut, one is an error, one never comes."""
    alice = desk.office.install()
    desk.open()
    met: list[str] = []
    fates = iter(("cut", "error", "hang"))

    def fate(route: Route) -> None:
        met.append(next(fates, "answered"))
        if met[-1] == "cut":
            route.abort()
        elif met[-1] == "error":
            route.fulfill(status=502, body="<h1>Bad gateway</h1>")
        elif met[-1] == "answered":
            route.continue_()

    desk.page.context.route("**/app/connection?*", fate)
    with desk.page.context.expect_page() as opened:
        desk.app.get_by_role("button", name="Connect to Xero").click()
    opened.value.close()
    alice.connect_xero()
    expect(desk.app.get_by_role("heading", name="Organisation", exact=True).first).to_be_visible(timeout=30_000)
    assert met[:4] == ["cut", "error", "hang", "answered"]
    desk.faults.clear()


def test_whoever_comes_back_to_the_tab_sees_what_happened_meanwhile(desk: Desk) -> None:
    """A browser lets a hidden tab ask once a minute; on coming back it asks at once."""
    alice = desk.office.install()
    desk.open()
    frame = desk.frame()
    with desk.page.context.expect_page() as opened:
        desk.app.get_by_role("button", name="Connect to Xero").click()
    opened.value.close()
    expect(desk.app.get_by_text("Xero is open in another window")).to_be_visible()
    frame.evaluate("for (let n = 0; n < 100000; n++) clearTimeout(n)")  # no timer of the page ever comes again
    alice.connect_xero()
    frame.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(desk.app.get_by_role("heading", name="Organisation", exact=True).first).to_be_visible()


def test_the_dashboard_shows_what_happens_while_it_is_open(desk: Desk) -> None:
    """Nobody touches it: what waits, and then what was sent, comes by itself."""
    alice = desk.office.ready()
    desk.open()
    desk.go("/app/dashboard")
    tiles = desk.app.get_by_role("list", name="At a glance")
    expect(tiles.get_by_role("listitem").filter(has_text="Sent today")).to_contain_text("0")
    batch = alice.order(*sendable(desk.office, 2))
    alice.post(f"/app/batches/{batch}/confirm")
    expect(tiles.get_by_role("listitem").filter(has_text="Waiting").locator(".figure")).to_have_text("2", timeout=30_000)
    desk.office.work()
    expect(tiles.get_by_role("listitem").filter(has_text="Sent today").locator(".figure")).to_have_text("2", timeout=30_000)
    expect(tiles.get_by_role("listitem").filter(has_text="Waiting").locator(".figure")).to_have_text("0")
