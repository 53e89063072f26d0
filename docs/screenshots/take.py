"""Make the pictures of the documentation: `.venv/bin/python -m docs.screenshots.take [folder]`, in the checkout's folder.

The app runs as in production against the sandbox, and a browser walks the whole way; `python3 run.py setup` brings what it needs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, FrameLocator, Page, expect, sync_playwright

from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings
from tests import services
from tests.conftest import CHROMIUM_FLAGS
from tests.running import Running, free_port

HERE = Path(__file__).resolve().parent
WIDE, HEIGHT = 1280, 720
#: Width and height of a tablet and a telephone held upright.
NARROW = {768: 1024, 390: 844}
#: What the list is narrowed to, so that its rows and its buttons fit one picture.
SEARCH = "HV-105"
SENT = ("HV-1056", "HV-1053", "HV-1050")
#: Has neither company nor contact, so that the confirmation shows what cannot go.
REFUSED = "HV-1057"


class Camera:
    """The CRM in one tab with the app in its frame, and a folder for what is seen."""

    def __init__(self, sandbox: Sandbox, page: Page, folder: Path) -> None:
        self.sandbox, self.page, self.folder = sandbox, page, folder
        self.crm = sandbox.bitrix24.portals["harbour"]

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator("iframe").first

    def shoot(self, name: str, page: Page | None = None) -> None:
        """What a person sees now, without a blinking caret or a half-done movement."""
        seen = page or self.page
        seen.wait_for_timeout(400)
        seen.screenshot(path=self.folder / f"{name}.png", animations="disabled", caret="hide")

    def shoot_narrow(self, name: str) -> None:
        """The same page on a tablet and on a telephone, from its top."""
        for width, height in NARROW.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.evaluate("window.scrollTo(0, 0)")
            self.shoot(f"{name}-{width}")
        self.page.set_viewport_size({"width": WIDE, "height": HEIGHT})

    def open(self, entry: str) -> None:
        """One of the app's own pages."""
        self.app.get_by_role("link", name=entry, exact=True).click()
        expect(self.app.get_by_role("heading", name=entry).first).to_be_visible()

    def search(self) -> None:
        box = self.app.get_by_role("searchbox", name="Search by number or title")
        box.fill(SEARCH)
        box.press("Enter")
        expect(self.app.get_by_text("10 invoices").first).to_be_visible()
        self.page.wait_for_timeout(1000)  # leaving the box asks once more, which would take the ticks along

    def tick(self, *numbers: str) -> None:
        for number in numbers:
            self.app.get_by_role("row").filter(has_text=number).get_by_role("checkbox").check()

    def show(self, button: str) -> None:
        """Scroll until this button is seen."""
        self.app.get_by_role("button", name=button).last.scroll_into_view_if_needed()


def take(camera: Camera) -> None:
    """The newcomer's way, a picture at each stop."""
    install(camera)
    connect(camera)
    set_up(camera)
    send(camera)
    come_back(camera)
    camera.open("Settings")
    camera.shoot("settings")


def install(camera: Camera) -> None:
    camera.page.goto(f"{camera.crm.url}/")
    camera.page.get_by_role("link", name="Applications").first.click()
    camera.shoot("install")
    camera.page.get_by_role("button", name="Install").first.click()
    expect(camera.app.get_by_role("button", name="Connect to Xero")).to_be_visible(timeout=20_000)
    camera.shoot("connect")


def connect(camera: Camera) -> None:
    with camera.page.context.expect_page() as opened:
        camera.app.get_by_role("button", name="Connect to Xero").click()
    window = opened.value
    window.set_viewport_size({"width": WIDE, "height": HEIGHT})
    window.get_by_text("Olivia Standard").click()
    window.get_by_role("button", name="Log in").click()
    window.get_by_label("Organisation").select_option(label="Harbour & Vine Trading Ltd")
    camera.shoot("consent", window)
    window.get_by_role("button", name="Allow access").click()
    expect(window.get_by_text("You can close this window")).to_be_visible()
    window.close()


def set_up(camera: Camera) -> None:
    for heading in ("Organisation", "Ledgers", "Stages", "Taxes"):
        expect(camera.app.get_by_role("heading", name=heading, exact=True).first).to_be_visible(timeout=15_000)
        if heading in ("Stages", "Taxes"):
            camera.shoot(f"setup-{heading.lower()}")
        if heading == "Stages":
            camera.shoot_narrow("setup-stages")
        camera.app.get_by_role("button", name="Next").click()
    expect(camera.app.get_by_role("heading", name="Check", exact=True).first).to_be_visible()
    camera.app.get_by_role("button", name="Confirm").click()
    expect(camera.app.get_by_text("customers linked")).to_be_visible(timeout=30_000)


def send(camera: Camera) -> None:
    camera.open("Invoices")
    expect(camera.app.get_by_text(SENT[0]).first).to_be_visible()
    camera.shoot("invoices")
    camera.shoot_narrow("invoices")
    camera.search()
    camera.tick(*SENT, REFUSED)
    camera.show("Create / Edit on Xero")
    camera.shoot("ticked")
    camera.app.get_by_role("button", name="Create / Edit on Xero").first.click()
    go = camera.app.get_by_role("button", name=f"Send {len(SENT)} invoices")
    expect(go).to_be_visible(timeout=15_000)
    camera.shoot("confirmation")
    go.click()
    expect(camera.app.get_by_text("invoices exported").first).to_be_visible(timeout=20_000)
    camera.shoot("batch")
    camera.shoot_narrow("batch")


def come_back(camera: Camera) -> None:
    """Paid in Xero by its own buttons, seen there, then in the list."""
    window = camera.page.context.new_page()
    window.set_viewport_size({"width": WIDE, "height": HEIGHT})
    invoice = camera.sandbox.xero.invoice(SENT[1])
    assert invoice is not None
    window.goto(f"{camera.sandbox.settings.xero_url}/")
    window.get_by_role("link", name=SENT[1]).first.click()
    window.get_by_role("button", name="Pay in full").click()
    expect(window.get_by_text("Less payment").first).to_be_visible()
    camera.shoot("xero", window)
    window.close()
    camera.page.bring_to_front()
    camera.open("Invoices")
    camera.search()
    camera.tick(SENT[1])
    camera.app.get_by_role("button", name="Update from Xero").first.click()
    expect(camera.app.get_by_text("1 of 1").first).to_be_visible(timeout=20_000)
    camera.open("Invoices")
    camera.search()
    expect(camera.app.get_by_role("row").filter(has_text=SENT[1]).get_by_text("Paid").first).to_be_visible(timeout=20_000)
    camera.page.evaluate("window.scrollTo(0, 330)")
    camera.shoot("back")


@contextmanager
def running(folder: Path) -> Iterator[Sandbox]:
    """The sandbox, and the app as it runs in production, on SQLite and a Redis of its own."""
    database = f"sqlite:///{folder / 'pictures.db'}"
    services.migrate(database)
    port = free_port()
    with services.redis_server() as redis_url:
        sandbox = Sandbox(SandboxSettings(app_url=f"http://localhost:{port}")).start()
        try:
            app = Running(sandbox.settings.app_environment(), database, redis_url, port, folder)
            try:
                yield sandbox
            finally:
                app.close()
        finally:
            sandbox.stop()


@contextmanager
def browsing() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(services.chromium_path()), headless=True, args=CHROMIUM_FLAGS)
        yield browser.new_context(viewport={"width": WIDE, "height": HEIGHT}, locale="en-NZ", timezone_id="Pacific/Auckland")
        browser.close()


def main() -> None:
    pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as sandbox, browsing() as context:
        take(Camera(sandbox, context.new_page(), pictures))
    print(f"{len(list(pictures.glob('*.png')))} pictures in {pictures}")


if __name__ == "__main__":
    main()
