"""The list in a browser: pages, their size, columns, dates, and rows that move by themselves; what somebody chose is theirs and is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.stories.desk import Desk, at_desk
from tests.stories.main_story import sendable
from tests.stories.office import Person


@pytest.fixture
def desk(sqlite_url: str, redis_url: str, browser_context: BrowserContext, axe_script: str) -> Iterator[Desk]:
    with at_desk(Desk, sqlite_url, redis_url, browser_context, axe_script) as desk:
        yield desk


def numbers(desk: Desk) -> list[str]:
    return [one.strip() for one in desk.app.locator("td.col-number").all_inner_texts()]


def test_pages_columns_and_dates(desk: Desk) -> None:
    desk.office.ready()
    app = desk.open()
    app.get_by_label("Records").select_option("10")
    expect(app.locator("td.col-number")).to_have_count(10)
    first = numbers(desk)
    app.get_by_role("button", name="Next page").click()
    expect(app.get_by_role("button", name="Page 2")).to_have_attribute("aria-current", "page")
    assert not {*numbers(desk)} & {*first}
    app.get_by_label("Go to page").fill("6")
    app.get_by_label("Go to page").press("Enter")
    expect(app.get_by_role("button", name="Page 6")).to_have_attribute("aria-current", "page")
    app.get_by_role("button", name="First page").click()
    expect(app.locator("td.col-number").first).to_have_text(first[0])

    app.get_by_role("button", name="Choose columns").click()
    app.locator("#columns").get_by_label("Title").uncheck()
    app.get_by_role("button", name="Apply").click()
    expect(app.get_by_role("columnheader", name="Title")).to_have_count(0)
    desk.open()
    expect(app.locator("td.col-number")).to_have_count(10)
    expect(app.get_by_role("columnheader", name="Title")).to_have_count(0)
    desk.act_as(2)
    desk.open()
    expect(app.get_by_role("columnheader", name="Title")).to_have_count(1)
    expect(app.get_by_label("Records")).to_have_value("25")
    desk.act_as(1)

    desk.open()
    app.locator("#period").select_option("custom")
    yesterday = (desk.office.now() - timedelta(days=4)).date()
    app.get_by_label("From", exact=True).fill(yesterday.isoformat())
    app.get_by_label("To", exact=True).fill(yesterday.isoformat())
    expect(app.get_by_text("1 invoice", exact=True).first).to_be_visible()
    app.locator("#period").select_option("today")
    app.get_by_label("State of transfer").select_option(label="Sent")
    expect(app.locator(".grid-above p")).to_have_text("3 invoices")
    app.locator("#period").select_option("")
    app.get_by_label("State of transfer").select_option(label="Not sent")
    expect(app.locator("td.col-xero").first).to_have_text("Not sent")
    expect(app.get_by_role("row").filter(has_text="HV-1001")).to_have_count(0)


def test_ticks_stay_when_the_search_is_left_and_rows_move_by_themselves(desk: Desk) -> None:
    alice = desk.office.ready()
    (crm_id,) = sendable(desk.office, 1)
    desk.crm.change_invoice(crm_id, title="Moves by itself")
    app = desk.open()
    search = app.get_by_label("Search by number or title")
    search.press_sequentially("Moves by itself")
    search.press("Enter")
    expect(app.get_by_text("1 invoice", exact=True).first).to_be_visible()
    tick = app.get_by_role("checkbox", name="Tick invoice")
    tick.check()
    app.get_by_label("State of transfer").focus()
    desk.page.wait_for_timeout(1000)  # what the search might still ask
    expect(tick).to_be_checked()

    ordered(desk, alice, crm_id)
    desk.open()
    row = app.get_by_role("row").filter(has_text="Moves by itself")
    expect(row).to_contain_text("Waiting")
    row.get_by_role("checkbox").check()
    desk.office.work()
    expect(row).to_contain_text("Sent", timeout=10_000)
    expect(row).to_contain_text("Created")
    expect(row.get_by_role("checkbox")).to_be_checked()


def ordered(desk: Desk, alice: Person, crm_id: int) -> None:
    batch = alice.order(crm_id)
    alice.post(f"/app/batches/{batch}/confirm")
