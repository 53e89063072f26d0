"""Each place in Bitrix24's own interface, opened in a browser in the sandbox CRM: in its frame, at every width, with nothing for axe to find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, expect

from plugin.bitrix24.robots import ROBOT
from tests.stories.desk import Desk, at_desk
from tests.stories.main_story import approve, change_quantity, document_of, sendable
from tests.stories.seen import deliver


@dataclass
class CardDesk(Desk):
    """Everything is set up, and one invoice is in Xero."""

    sent: int = 0
    new: int = 0


@pytest.fixture
def desk(sqlite_url: str, redis_url: str, browser_context: BrowserContext, axe_script: str) -> Iterator[CardDesk]:
    with at_desk(CardDesk, sqlite_url, redis_url, browser_context, axe_script) as desk:
        alice = desk.office.ready()
        desk.sent, desk.new = sendable(desk.office, 2)
        alice.send(desk.sent)
        yield desk


def test_the_tab_of_an_invoice_shows_both_sides_and_sends(desk: CardDesk) -> None:
    document = document_of(desk.office, desk.sent)
    app = desk.card(f"/crm/type/31/details/{desk.sent}/")
    expect(app.get_by_text("Both sides agree, to the cent.")).to_be_visible(timeout=15_000)
    expect(app.get_by_role("link", name=document.number).first).to_have_attribute("target", "_blank")
    expect(app.get_by_text(f"Invoice {document.number} was created in Xero").first).to_be_visible()
    desk.looks_right("invoice, equal")

    change_quantity(desk.crm, desk.sent, 9)
    document.reference = "Bookkeeper's own"
    app = desk.card(f"/crm/type/31/details/{desk.sent}/")
    row = app.get_by_role("row").filter(has_text="quantity")
    expect(row).to_contain_text("9", timeout=15_000)
    expect(row).to_contain_text("Bitrix24")
    desk.looks_right("invoice, changed")

    app.get_by_role("button", name="Create / Edit on Xero").click()
    expect(app.get_by_role("button", name="Send 1 invoice")).to_be_visible(timeout=15_000)
    app.get_by_role("button", name="Send 1 invoice").click()
    expect(app.get_by_role("heading", name="What happened")).to_be_visible(timeout=15_000)
    desk.office.work()
    expect(app.get_by_text("was updated in Xero").first).to_be_visible(timeout=15_000)
    expect(app.get_by_text("Xero was changed. It stays as it is there")).to_be_visible(timeout=15_000)
    assert (document_of(desk.office, desk.sent).lines[0].quantity, document.reference) == (9, "Bookkeeper's own")


def test_the_tab_of_an_unsaved_invoice_teaches_under_each_open_fact(desk: CardDesk) -> None:
    for position in ("absent", "zero", "empty"):
        desk.office.sandbox.bitrix24.controls.switches.set("creation_form_id", position)
        app = desk.card("/crm/type/31/details/0/")
        expect(app.get_by_role("heading", name="Save this first")).to_be_visible(timeout=15_000)
    desk.looks_right("unsaved")


def test_the_tabs_of_a_company_and_of_a_contact(desk: CardDesk) -> None:
    approve(desk.office, desk.sent)
    invoice = desk.crm.invoices[desk.sent]
    app = desk.card(f"/crm/company/details/{invoice['companyId']}/")
    expect(app.get_by_text("Open in Xero")).to_be_visible(timeout=15_000)
    expect(app.get_by_role("row").filter(has_text=str(invoice["accountNumber"]))).to_be_visible()
    desk.looks_right("company")
    reads = [one for one in desk.office.sandbox.xero.controls.calls if one.path.startswith("/api.xro/2.0/Contacts/")]
    desk.card(f"/crm/company/details/{invoice['companyId']}/")
    expect(app.get_by_text("Open in Xero")).to_be_visible(timeout=15_000)
    assert [one for one in desk.office.sandbox.xero.controls.calls if one.path.startswith("/api.xro/2.0/Contacts/")] == reads

    desk.office.sandbox.bitrix24.controls.switches.set("open_path_invoice", "refused")
    desk.page.reload()
    desk.page.get_by_role("tab", name="Xero").click()
    with desk.page.context.expect_page() as opened:
        app.get_by_role("row").filter(has_text=str(invoice["accountNumber"])).get_by_role("link").first.click()
    assert opened.value.url == f"{desk.crm.url}/crm/type/31/details/{desk.sent}/"
    opened.value.close()

    app = desk.card(f"/crm/contact/details/{next(iter(desk.crm.contacts))}/")
    expect(app.get_by_role("heading", name="Documents")).to_be_visible(timeout=15_000)
    desk.looks_right("contact")


def test_the_row_menu_and_the_toolbar_of_bitrix24s_own_list(desk: CardDesk) -> None:
    number = str(desk.crm.invoices[desk.new]["accountNumber"])
    desk.page.goto(f"{desk.crm.url}/?q={number}")
    desk.page.locator(f"summary[aria-label='Actions for {number}']").click()
    desk.page.get_by_role("button", name="Create / Edit on Xero").last.click()
    app = desk.page.frame_locator(".slider iframe")
    expect(app.get_by_text("Not in Xero yet")).to_be_visible(timeout=15_000)
    desk.looks_right("row menu")
    desk.page.get_by_role("button", name="Close").click()

    desk.page.get_by_role("button", name="Create / Edit on Xero").first.click()
    expect(app.get_by_role("checkbox", name="Tick invoice").first).to_be_visible(timeout=15_000)
    desk.looks_right("toolbar")


def test_an_administrator_puts_the_rule_on_a_stage_and_sees_its_results(desk: CardDesk) -> None:
    desk.page.goto(f"{desk.crm.url}/crm/automation/")
    for what in (f"robot:{ROBOT}", "comment"):
        desk.page.get_by_label("Stage").select_option(label="Sent to customer")
        desk.page.get_by_label("What").select_option(what)
        desk.page.get_by_role("button", name="Add").click()
    expect(desk.page.get_by_role("listitem").filter(has_text="Create / Edit on Xero")).to_be_visible()
    desk.crm.set_stage(desk.new, "New")
    desk.crm.set_stage(desk.new, "Sent to customer")
    desk.page.reload()
    expect(desk.page.get_by_role("cell", name="waiting")).to_be_visible()

    deliver(desk.office, f"robot:{ROBOT}")
    desk.office.work()

    desk.page.reload()
    number = document_of(desk.office, desk.new).number
    expect(desk.page.get_by_role("cell", name="done")).to_be_visible()
    expect(desk.page.get_by_role("row").filter(has_text=f"number: {number}")).to_be_visible()
    desk.page.goto(f"{desk.crm.url}/crm/type/31/details/{desk.new}/")
    desk.page.get_by_role("tab", name="Timeline").click()
    expect(desk.page.get_by_text(f"Xero: {number}").first).to_be_visible()
