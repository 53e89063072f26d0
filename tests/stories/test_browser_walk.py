"""A newcomer in a browser: install, connect, map, tick, send, pay in Xero, update: everything seen, nothing but what a person can press."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Frame, FrameLocator, Page, expect

from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings
from tests.running import Running, free_port
from tests.services import Databases
from tests.stories.desk import until_drawn

WIDTHS = (1280, 768, 390)


class Walk:
    """The CRM in one tab with the app in its frame, and whatever window it opens."""

    def __init__(self, sandbox: Sandbox, running: Running, page: Page, axe: str) -> None:
        self.sandbox, self.running, self.page, self.axe = sandbox, running, page, axe
        self.crm = sandbox.bitrix24.portals["harbour"]
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator("iframe").first

    def install(self) -> None:
        self.page.goto(f"{self.crm.url}/")
        self.page.get_by_role("link", name="Applications").first.click()
        self.page.get_by_role("button", name="Install").first.click()
        expect(self.app.get_by_role("button", name="Connect to Xero")).to_be_visible(timeout=20_000)

    def connect(self) -> None:
        with self.page.context.expect_page() as opened:
            self.app.get_by_role("button", name="Connect to Xero").click()
        window = opened.value
        window.get_by_text("Olivia Standard").click()
        window.get_by_role("button", name="Log in").click()
        window.get_by_label("Organisation").select_option(label="Harbour & Vine Trading Ltd")
        window.get_by_role("button", name="Allow access").click()
        expect(window.get_by_text("You can close this window")).to_be_visible()
        window.close()

    def set_up(self) -> None:
        for heading in ("Organisation", "Ledgers", "Stages", "Taxes"):
            expect(self.app.get_by_role("heading", name=heading, exact=True).first).to_be_visible(timeout=15_000)
            self.looks_right(f"set-up {heading}")
            self.app.get_by_role("button", name="Next").click()
        expect(self.app.get_by_role("heading", name="Check", exact=True).first).to_be_visible()
        self.looks_right("set-up Check")
        self.app.get_by_role("button", name="Confirm").click()

    def hurry(self) -> None:
        """Whoever presses "Next" the moment it appears gets on, on every step."""
        self.frame.evaluate(
            """() => new MutationObserver(() => {
                const next = document.querySelector(".save-bar .primary");
                if (next?.textContent !== "Next" || next.dataset.pressed) return;
                next.dataset.pressed = "yes";
                next.click();
            }).observe(document.body, { childList: true, subtree: true })"""
        )
        self.app.get_by_role("link", name="Edit organisation").click()
        expect(self.app.get_by_role("heading", name="Check", exact=True).first).to_be_visible(timeout=15_000)

    @property
    def frame(self) -> Frame:
        return next(one for one in self.page.frames if one.url.startswith("http://localhost"))

    def looks_right(self, where: str) -> None:
        """axe finds nothing, and nothing hangs over the side, at every width."""
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            frame = self.frame
            over = frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, f"{where} at {width}: {over} px over the side"
            frame.evaluate(self.axe)
            found = frame.evaluate("axe.run(document, {resultTypes: ['violations']}).then(all => all.violations.map(one => one.id + ': ' + one.nodes[0].html))")
            assert found == [], f"{where} at {width}: {found}"
        self.page.set_viewport_size({"width": 1280, "height": 900})
        until_drawn(self.page, self.frame)

    def tick(self, *numbers: str) -> None:
        for number in numbers:
            self.app.get_by_role("row").filter(has_text=number).get_by_role("checkbox").check()


@pytest.fixture
def walk(databases: Databases, redis_url: str, browser_context: BrowserContext, axe_script: str, tmp_path: Path) -> Iterator[Walk]:
    port = free_port()
    sandbox = Sandbox(SandboxSettings(app_url=f"http://localhost:{port}")).start()
    running = Running(sandbox.settings.app_environment(), databases.migrated("sqlite"), redis_url, port, tmp_path)
    walk = Walk(sandbox, running, browser_context.new_page(), axe_script)
    yield walk
    running.close()
    sandbox.stop()


def test_a_newcomer_sends_invoices_and_sees_one_come_back_paid(walk: Walk) -> None:
    started = time.monotonic()
    walk.install()
    walk.looks_right("connect")
    walk.connect()
    walk.set_up()
    expect(walk.app.get_by_text("customers linked")).to_be_visible(timeout=30_000)
    walk.app.get_by_role("link", name="Invoices", exact=True).click()
    expect(walk.app.get_by_text("HV-1056").first).to_be_visible()
    walk.looks_right("invoices")

    walk.tick("HV-1056", "HV-1053", "HV-1050")
    walk.app.get_by_role("button", name="Create / Edit on Xero").first.click()
    expect(walk.app.get_by_role("button", name="Send 3 invoices")).to_be_visible(timeout=15_000)
    walk.looks_right("confirmation")
    walk.app.get_by_role("button", name="Send 3 invoices").click()
    expect(walk.app.get_by_text("3 of 3 invoices exported")).to_be_visible(timeout=20_000)
    walk.looks_right("batch")
    assert walk.sandbox.xero.invoice("HV-1053") is not None

    walk.sandbox.xero.pay("HV-1053")
    walk.app.get_by_role("link", name="Invoices", exact=True).click()
    walk.tick("HV-1053")
    walk.app.get_by_role("button", name="Update from Xero").first.click()
    expect(walk.app.get_by_text("1 of 1").first).to_be_visible(timeout=20_000)
    walk.app.get_by_role("link", name="Invoices", exact=True).click()
    expect(walk.app.get_by_role("row").filter(has_text="HV-1053").get_by_text("Paid").first).to_be_visible(timeout=20_000)

    for name in ("Dashboard", "Batches", "Activity", "Settings", "Help"):
        walk.app.get_by_role("link", name=name, exact=True).click()
        expect(walk.app.get_by_role("heading", name=name).first).to_be_visible()
        walk.looks_right(name)
    walk.app.get_by_role("link", name="Settings", exact=True).click()
    walk.hurry()
    assert time.monotonic() - started < 180
    take_files(walk)
    prove(walk)
    assert walk.faults == []


def take_files(walk: Walk) -> None:
    """The activity as files, out of a frame without cookies; no address carries anything of value."""
    walk.app.get_by_role("link", name="Activity", exact=True).click()
    walk.app.get_by_role("searchbox", name="Search in all sentences").fill("HV-1053")
    expect(walk.app.get_by_text("HV-1056")).to_have_count(0)
    for button, begin in (("CSV", b"\xef\xbb\xbfWhen"), ("Excel", b"PK")):
        with walk.page.expect_download() as download:
            walk.app.get_by_role("button", name=button).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(begin), content[:80]
        assert "?" not in download.value.url
        if button == "CSV":
            assert "HV-1053" in content.decode()
            assert "HV-1056" not in content.decode()
    expect(walk.app.get_by_role("heading", name="Activity").first).to_be_visible()


def prove(walk: Walk) -> None:
    """The dashboard moves by itself and leads on; a test event finds its way through the portal's own queue."""
    walk.app.get_by_role("link", name="Dashboard", exact=True).click()
    expect(walk.app.get_by_text("1 worker is at work")).to_be_visible()
    walk.sandbox.xero.edit(walk.sandbox.xero.invoice("HV-1056").id, Status="AUTHORISED")
    walk.app.get_by_role("link", name="Calls", exact=True).click()
    walk.app.get_by_role("searchbox", name="Search by document or request").fill("HV-1056")
    walk.app.get_by_role("searchbox", name="Search by document or request").press("Enter")
    walk.app.get_by_role("link", name="PUT").first.click()
    expect(walk.app.get_by_role("heading", name="What was answered")).to_be_visible()
    walk.looks_right("call")
    walk.app.get_by_role("link", name="Back to the calls").click()
    expect(walk.app.get_by_role("searchbox", name="Search by document or request")).to_be_visible()
    walk.looks_right("calls")
    walk.app.get_by_role("link", name="Dashboard", exact=True).click()
    walk.app.get_by_role("link", name="Self-test", exact=True).click()
    walk.app.get_by_role("button", name="Run the self-test").click()
    expect(walk.app.get_by_text("Everything is fine").first).to_be_visible(timeout=40_000)
    walk.looks_right("self-test")
    walk.app.get_by_role("link", name="Help", exact=True).click()
    walk.app.get_by_role("link", name="Stages and statuses").click()
    expect(walk.app.get_by_text("When you send").first).to_be_visible()
    walk.looks_right("help")
