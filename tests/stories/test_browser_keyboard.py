"""The whole way without a mouse: Tab, Enter, Space, arrows and Escape; the focus is always somewhere, and can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.stories.desk import Desk, at_desk
from tests.stories.main_story import document_of, sendable, total_of

#: What has the focus: its name as somebody hears it, whether that can be seen, and whether it is in an open dialog.
_FOCUS = """() => {
    const one = document.activeElement;
    const label = one.labels?.[0]?.textContent ?? document.getElementById(one.getAttribute('aria-labelledby') ?? '')?.textContent;
    const style = getComputedStyle(one);
    return {
        name: (one.getAttribute('aria-label') ?? label ?? one.textContent ?? '').trim().replace(/\\s+/g, ' '),
        tag: one.tagName,
        value: one.value ?? '',
        seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
        dialog: Boolean(one.closest('dialog[open]')),
    };
}"""
_CONTROLS = ("A", "BUTTON", "INPUT", "SELECT", "SUMMARY")


@dataclass
class Keys:
    """Hands on a keyboard."""

    desk: Desk

    def focus(self) -> dict[str, str]:
        found: dict[str, str] = self.desk.frame().evaluate(_FOCUS)
        return found

    def press(self, *keys: str) -> None:
        for key in keys:
            self.desk.page.keyboard.press(key)

    def to(self, name: str, back: bool = False) -> None:
        """Tab until this has the focus; whatever had it on the way could be seen."""
        for _ in range(120):
            self.press("Shift+Tab" if back else "Tab")
            at = self.focus()
            if at["tag"] in _CONTROLS:
                assert at["seen"], f"nobody sees the focus on {at}"
            if at["name"] == name:
                return
        raise AssertionError(f"Tab never comes to {name}")

    def at_heading(self, words: str) -> None:
        """A new page came: the focus is on its heading, from where Tab goes on."""
        expect(self.desk.app.locator("h1:focus")).to_have_text(words)


@pytest.fixture
def keys(sqlite_url: str, redis_url: str, browser_context: BrowserContext, axe_script: str) -> Iterator[Keys]:
    with at_desk(Desk, sqlite_url, redis_url, browser_context, axe_script) as desk:
        yield Keys(desk)


def test_the_whole_way_with_the_keyboard(keys: Keys) -> None:
    desk, app = keys.desk, keys.desk.app
    desk.office.install()
    desk.open()
    app.locator("body").focus()

    keys.to("Connect to Xero")
    with desk.page.context.expect_page() as opened:
        keys.press("Enter")
    window = opened.value
    window.get_by_text("Olivia Standard").press("Space")  # Xero's pages are Xero's
    window.get_by_role("button", name="Log in").press("Enter")
    window.get_by_label("Organisation").select_option(label="Harbour & Vine Trading Ltd")
    window.get_by_role("button", name="Allow access").press("Enter")
    window.get_by_text("You can close this window").wait_for()
    window.close()

    keys.at_heading("Set up")
    keys.to("Next")
    keys.press("Enter")
    expect(app.get_by_role("heading", name="Ledgers", exact=True)).to_be_visible()
    choose_an_account(keys)
    for heading in ("Stages", "Taxes", "Check"):
        keys.to("Next")
        keys.press("Space" if heading == "Taxes" else "Enter")
        expect(app.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
        keys.at_heading("Set up")
    keys.to("Confirm")
    keys.press("Enter")
    expect(app.locator("#first-sync")).to_be_visible()
    desk.office.work()
    expect(app.get_by_text("customers linked")).to_be_visible()

    keys.to("Invoices", back=True)
    keys.press("Enter")
    keys.at_heading("Invoices")
    numbers = tick_two(keys)
    look_at_a_menu(keys)
    send(keys, len(numbers))
    for crm_id in numbers:
        assert document_of(desk.office, crm_id).total == total_of(desk.crm, crm_id)


def choose_an_account(keys: Keys) -> None:
    """A list that is found as one types: arrows move in it, Escape closes it, Enter takes."""
    keys.to("Default income account *")
    keys.press("ArrowDown", "ArrowDown")
    expect(keys.desk.app.get_by_role("listbox").first).to_be_visible()
    keys.press("Escape")
    expect(keys.desk.app.get_by_role("listbox")).to_have_count(0)
    before = keys.focus()["value"]
    keys.press("ArrowDown", "ArrowDown", "Enter")
    assert keys.focus()["value"]
    assert keys.focus()["value"] != before
    keys.press("ArrowUp", "ArrowDown", "ArrowDown")
    keys.press("Escape")


def tick_two(keys: Keys) -> list[int]:
    """Search with Enter, tick with Space."""
    crm = keys.desk.crm
    numbers = sendable(keys.desk.office, 2)
    for crm_id in numbers:
        crm.change_invoice(crm_id, title="By keyboard")
    keys.to("Search by number or title")
    keys.desk.page.keyboard.type("By keyboard")
    keys.press("Enter")
    expect(keys.desk.app.get_by_text("2 invoices").first).to_be_visible()
    for crm_id in sorted(numbers, reverse=True):
        keys.to(f"Tick invoice {crm.invoices[crm_id]['accountNumber']}")
        keys.press("Space")
    expect(keys.desk.app.get_by_text("Selected: 2 / 2")).to_be_visible()
    return numbers


def look_at_a_menu(keys: Keys) -> None:
    """Enter opens it, Escape closes it and the focus is back on its button."""
    keys.press("Tab")
    menu = keys.focus()["name"]
    assert menu.startswith("Actions for invoice")
    keys.press("Enter")
    expect(keys.desk.app.locator(".menu:popover-open")).to_be_visible()
    keys.press("Tab")
    assert keys.focus()["name"] == "Create / Edit on Xero"
    keys.press("Escape")
    expect(keys.desk.app.locator(".menu:popover-open")).to_have_count(0)
    assert keys.focus()["name"] == menu


def send(keys: Keys, count: int) -> None:
    """The dialog keeps the focus inside, Escape gives it back; then it goes, and the result is read."""
    app = keys.desk.app
    keys.to("Create / Edit on Xero", back=True)
    keys.press("Enter")
    expect(app.get_by_role("button", name=f"Send {count} invoices")).to_be_visible()
    for _ in range(8):
        keys.press("Tab")
        assert keys.focus()["dialog"]
    for _ in range(3):
        keys.press("Shift+Tab")
        assert keys.focus()["dialog"]
    keys.press("Escape")
    expect(app.locator("dialog[open]")).to_have_count(0)
    expect(app.locator("#bulk .primary")).to_be_focused()

    keys.press("Enter")
    expect(app.get_by_role("button", name=f"Send {count} invoices")).to_be_visible()
    keys.to(f"Send {count} invoices")
    keys.press("Enter")
    expect(app.locator("#batch")).to_be_visible()
    expect(app.locator("h1:focus")).to_have_count(1)
    keys.desk.office.work()
    expect(app.get_by_text(f"{count} of {count} invoices exported")).to_be_visible()
    expect(app.locator(":focus")).to_have_count(1)
    keys.to("Back to the invoices")
    keys.press("Enter")
    keys.at_heading("Invoices")


def test_the_focus_stays_where_parts_of_a_page_are_replaced(keys: Keys) -> None:
    desk = keys.desk
    desk.office.ready()
    desk.open()
    desk.go("/app/setup/doubtful")
    keys.to("Keep apart")
    keys.press("Enter")
    expect(desk.app.get_by_role("heading", name="Nothing left to decide")).to_be_focused()
    desk.go("/app/setup")
    keys.to("Save")
    keys.press("Enter")
    expect(desk.app.get_by_text("Saved. It holds for everything from now on.")).to_be_visible()
    expect(desk.app.locator("#automatic .primary")).to_be_focused()
    keys.to("Disconnect from Xero", back=True)
    keys.press("Enter")
    expect(desk.app.locator("dialog[open]")).to_be_visible()
    assert keys.focus()["dialog"]
    keys.press("Escape")
    assert keys.focus()["name"] == "Disconnect from Xero"
