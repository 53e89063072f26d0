"""Every page of the app in a browser, with something on it: nothing for axe to find, nothing wider than its window, in every language we write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy import update

from plugin import heartbeat, jobs
from plugin.models import Job
from tests.stories.desk import WIDTHS, Desk, at_desk, until_drawn
from tests.stories.main_story import approve, change_quantity, document_of, sendable, without_customer
from tests.stories.office import Person
from tests.stories.seen import deliver, ring
from tests.stories.test_connect import AUSTRALIA, HARBOUR_ORGANISATION, several

#: Parts that are asked for by typing and turning pages; each is seen in its page.
PARTS = {
    "frame.activity.narrowed",
    "frame.calls.narrowed",
    "frame.invoices.narrowed",
    "frame.invoices.rows",
    "frame.settings.accounts",
    "frame.cards.state",
    "frame.batches.confirmation",
}


@dataclass
class Filled:
    """What the portal holds when its pages are walked."""

    sent: int
    changed: int
    new: int
    quote: int


def every_page(desk: Desk) -> Iterator[str]:
    """The names of all pages, each while it is shown: from an empty machine to a portal whose connection broke."""
    yield from documents(desk)
    yield from before_it_is_connected(desk)
    yield from wizard(desk)
    alice = desk.office.open()
    filled = fill(desk, alice)
    yield from lists(desk)
    yield from orders(desk, filled)
    yield from settings(desk)
    yield from watching(desk)
    yield from cards(desk, filled)
    yield from failures(desk, alice, filled)


def documents(desk: Desk) -> Iterator[str]:
    """Pages that are no part of the frame's page."""
    url = desk.office.sandbox.settings.app_url
    for name, path in (
        ("landing", f"/?LANG={desk.crm.language}"),
        ("callback without a cookie", "/xero/callback?state=x&code=y"),
        ("dead ticket", "/xero/connect?ticket=x"),
    ):
        desk.page.goto(f"{url}{path}")
        yield name
    desk.crm.install(1)
    library = "**/vendor/b24jssdk.js*"
    desk.page.context.route(library, lambda route: route.abort())  # with it the portal would go on at once
    desk.page.goto(f"{desk.crm.url}/marketplace/app/")
    desk.app.locator(".install-steps").wait_for()
    yield "installing"
    desk.page.context.unroute(library)
    desk.crm.finish_install(1)


def before_it_is_connected(desk: Desk) -> Iterator[str]:
    desk.act_as(2)
    desk.open()
    yield "not ready, for a sales person"
    desk.act_as(1)
    desk.open()
    yield "connect"
    desk.go("/app/invoices")
    yield "invoices, not connected"
    for path in ("/app/dashboard", "/app/batches", "/app/activity", "/app/help"):
        desk.go(path)
        yield f"{path}, empty"
    desk.go("/app/")
    with desk.page.context.expect_page() as opened:
        desk.app.locator("[data-opens-window]").click()
    opened.value.close()
    desk.app.locator(".turning").wait_for()
    yield "waiting for Xero"
    alice = desk.office.open()
    several(desk.office, alice, HARBOUR_ORGANISATION, AUSTRALIA)
    desk.app.locator(".card-choice").first.wait_for()
    yield "choose an organisation"
    desk.app.locator(".card-choice").filter(has_text=HARBOUR_ORGANISATION).click()
    desk.app.locator("#connection .primary").click()
    desk.app.locator(".stepper").wait_for()


def go_on(desk: Desk) -> None:
    until_drawn(desk.page, desk.frame())
    desk.app.locator(".save-bar .primary").click()


def wizard(desk: Desk) -> Iterator[str]:
    for step in (1, 2, 3, 4, 5):
        expect(desk.app.locator(f".stepper li:nth-child({step}).current")).to_have_count(1)
        yield f"set-up, step {step}"
        if step == 1:
            chosen = desk.app.locator("#start_date").input_value()
            desk.app.locator("#start_date").fill("")
            go_on(desk)
            desk.app.locator(".notice.red").wait_for()
            yield "set-up, with a fault"
            desk.app.locator("#start_date").fill(chosen)
        if step == 2:
            desk.app.get_by_role("combobox").first.click()
            desk.app.get_by_role("combobox").first.press("ArrowDown")
            yield "set-up, a list of accounts"
            desk.app.get_by_role("combobox").first.press("Escape")
        go_on(desk)
    desk.app.locator("#first-sync").wait_for()
    yield "first synchronisation, running"
    desk.office.work()
    desk.app.locator("#first-sync .counts").wait_for()
    yield "first synchronisation, done"


def fill(desk: Desk, alice: Person) -> Filled:
    """Sent, changed on both sides, failed, deleted, waiting: something for every page."""
    office, crm = desk.office, desk.crm
    sent, changed, gone, new, queued, stopped = sendable(office, 6)
    quote = next(number for number, one in sorted(crm.quotes.items()) if one.get("companyId") and crm.crm.rows_of(7, number))
    alice.send(sent, changed, gone)
    alice.send(quote, document="quote")
    approve(office, sent)
    office.sandbox.xero.pay(document_of(office, sent).id, "20.00")
    alice.fetch(sent)
    for crm_id in (changed, new, without_customer(crm)):
        change_quantity(crm, crm_id, 9)  # and they stand on the first page
    document_of(office, changed).reference = "Bookkeeper's own"
    crm.delete_invoice(gone)
    deliver(office)
    office.work()
    with office.services.db.transaction() as tx:
        waits, failed = (f"invoice:{crm_id}" for crm_id in (without_customer(crm), stopped))
        for subject in (waits, failed):
            jobs.order(tx, jobs.Order(alice.portal_id, jobs.SEND, subject, "organisation:1", 1, jobs.EVENTS, alice.user, cause=jobs.AUTOMATIC), office.now())
        tx.flush()
        ended = {"state": "done", "finished_at": office.now(), "problem_code": "send.tax_unmapped", "problem_params": {"rate": "15", "row": "Oak table"}}
        tx.execute(update(Job).where(Job.subject == failed).values(**ended))
    office.work()
    heartbeat.beat(office.services, "one", heartbeat.WORKER)
    batch = alice.order(queued)
    alice.post(f"/app/batches/{batch}/confirm")
    return Filled(sent, changed, new, quote)


def lists(desk: Desk) -> Iterator[str]:
    desk.open()
    yield "invoices"
    desk.app.locator("[popovertarget^=menu-]").first.click()
    yield "invoices, a row's menu"
    desk.page.keyboard.press("Escape")
    desk.app.locator("[data-tick]").first.check()
    yield "invoices, one ticked"
    for query in ("size=10&page=2", "search=nothing-is-called-so", "state=problem", "period=custom", "document=quote"):
        desk.go(f"/app/invoices?{query}")
        yield f"invoices, {query}"
    desk.crm.controls.fail("status", status=503, path="/rest/", times=9)
    desk.go("/app/invoices")
    yield "invoices, Bitrix24 does not answer"
    desk.crm.controls.reset()


def orders(desk: Desk, filled: Filled) -> Iterator[str]:
    desk.go("/app/invoices")
    for crm_id in (filled.sent, filled.changed, filled.new, without_customer(desk.crm)):
        desk.app.locator(f"[data-tick][value='{crm_id}']").check()
    desk.app.locator("#bulk .primary").first.click()
    desk.app.locator("#dialog .going, #dialog .primary").first.wait_for()
    yield "confirmation"
    desk.app.locator("#dialog .dialog-foot .primary").click()
    desk.app.locator("#batch").wait_for()
    yield "batch, running"
    desk.office.work()
    desk.app.locator("#batch:not(:has([data-quiet]))").wait_for()
    yield "batch, done"
    desk.go("/app/batches")
    yield "batches"
    desk.go("/app/batches/99999")
    yield "not found"


def settings(desk: Desk) -> Iterator[str]:
    desk.go("/app/setup")
    yield "settings"
    desk.app.locator("#automatic [value=stage]").check()
    desk.app.locator("#automatic .primary").click()
    desk.app.locator("#automatic .notice.red").wait_for()
    yield "settings, with a fault"
    desk.app.locator("#brought [name=bills]").check()
    desk.app.locator("#bills_place").wait_for()
    yield "settings, where bills may go"
    desk.app.locator("#brought .primary").click()
    desk.app.locator("#brought .mapping").wait_for()
    yield "settings, with a place for bills"
    desk.app.locator("#bills_place").evaluate("list => { list.options[0].value = '7'; list.selectedIndex = 0; }")
    desk.app.locator("#brought .primary").click()
    desk.app.locator("#brought .notice.red").wait_for()
    yield "settings, without a place for bills"
    for path in ("/app/setup/connection", "/app/setup/3", "/app/setup/5", "/app/setup/doubtful", "/app/setup/deleted"):
        desk.go(path)
        yield path
    desk.go("/app/setup")
    desk.app.locator(".danger[data-opens-dialog]").click()
    yield "disconnect?"
    desk.page.keyboard.press("Escape")


def watching(desk: Desk) -> Iterator[str]:
    for path in ("/app/activity", "/app/activity?search=nothing-is-called-so", "/app/dashboard", "/app/calls", "/app/self-test", "/app/help"):
        desk.go(path)
        yield path
    desk.app.locator("main").wait_for()
    for chapter in desk_chapters(desk):
        desk.go(chapter)
        yield chapter
    desk.go("/app/self-test")
    desk.app.locator("#self-test-begin").click()
    desk.app.locator("#self-test .steps").wait_for()
    yield "self-test, running"
    desk.office.work()
    desk.app.locator("#self-test:not(:has([data-quiet]))").wait_for()
    yield "self-test, done"
    desk.office.services.call_log.flush()
    desk.go("/app/calls")
    desk.app.locator("#calls a").first.click()
    desk.app.locator(".kept").first.wait_for()
    yield "a call"
    with desk.page.expect_response("**/app/dashboard/now"):
        desk.go("/app/dashboard")
    desk.app.locator("[id^=cause-]").first.click()
    desk.app.locator(".feed").wait_for()
    yield "what stops documents"
    desk.act_as(2)
    desk.open()
    for path in ("/app/dashboard", "/app/activity", "/app/batches", "/app/setup"):
        desk.go(path)
        yield f"{path}, for a sales person"
    desk.act_as(1)
    desk.open()


def desk_chapters(desk: Desk) -> list[str]:
    return [str(one.get_attribute("href")) for one in desk.app.locator(".chapters a").all()]


def cards(desk: Desk, filled: Filled) -> Iterator[str]:
    crm = desk.crm
    invoice = crm.invoices[filled.sent]
    for name, kind, number in (
        ("sent", "invoice", filled.sent),
        ("changed", "invoice", filled.changed),
        ("new", "invoice", filled.new),
        ("sent", "quote", filled.quote),
    ):
        desk.go(f"/app/cards/documents/{kind}/{number}")
        desk.settle()
        yield f"card of a {kind}, {name}"
    desk.go(f"/app/cards/customers/company/{invoice['companyId']}")
    yield "card of a company"
    desk.go(f"/app/cards/customers/contact/{next(iter(crm.contacts))}")
    yield "card of a contact"
    desk.go("/app/cards/unsaved")
    yield "card of nothing yet"


def failures(desk: Desk, alice: Person, filled: Filled) -> Iterator[str]:
    office = desk.office
    office.sandbox.xero.actions.disconnect(office.sandbox.xero.HARBOUR)
    alice.order(filled.sent, kind="pull")
    office.pass_time(10)
    for _ in range(3):
        ring(office)
    desk.open()
    for path in ("/app/invoices", "/app/setup", "/app/dashboard"):
        desk.go(path)
        yield f"{path}, the connection broke"


@pytest.mark.parametrize("language", ["en", "de", "ru"])
def test_every_page_is_right(language: str, sqlite_url: str, redis_url: str, browser_context: BrowserContext, axe_script: str) -> None:
    with at_desk(Desk, sqlite_url, redis_url, browser_context, axe_script) as desk:
        desk.crm.language = language
        asked: set[str] = set()
        desk.page.on("request", lambda one: asked.add(one.url.removeprefix(desk.office.sandbox.settings.app_url).partition("?")[0]))
        axe_at = WIDTHS if language == "en" else (390,)
        assert [one for name in every_page(desk) for one in desk.what_is_wrong(name, axe_at)] == []
        assert unseen(desk, asked) == set()


def unseen(desk: Desk, asked: set[str]) -> set[str]:
    """Pages and parts of the frame that nobody opened: a new one belongs into the walk above."""
    routes = desk.office.app.url_map.bind("localhost")
    seen = {routes.match(path, method="GET")[0] for path in asked if path.startswith("/app") and routes.test(path, method="GET")}
    every = {rule.endpoint for rule in desk.office.app.url_map.iter_rules() if rule.rule.startswith("/app") and "GET" in (rule.methods or ())}
    return every - seen - PARTS
