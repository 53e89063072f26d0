"""A desk with a browser on it: the CRM in a tab, the app in its frame served by this process, and the worker in our hands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from playwright.sync_api import BrowserContext, FloatRect, Frame, FrameLocator, Locator, Page, expect

from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings
from tests.sandbox.bitrix24_served import listen
from tests.stories.patience import PatientOffice

WIDTHS = (1280, 768, 390)
#: Every access rule of axe that a page breaks, with the first place where it does.
_AXE = "axe.run(document, {resultTypes: ['violations']}).then(all => all.violations.map(one => one.id + ': ' + one.nodes[0].html))"
_OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))"

D = TypeVar("D", bound="Desk")


def until_drawn(page: Page, frame: Frame) -> None:
    """Until the browser has drawn a frame whose height changed: before that it gives a press to the page around it, where a person sees no button yet."""
    for place in (page, frame, page):
        place.evaluate(_DRAWN)


@dataclass
class Desk:
    """Somebody's browser, with the CRM open."""

    office: PatientOffice
    page: Page
    axe: str
    faults: list[str] = field(default_factory=list)

    @property
    def crm(self) -> Any:
        return self.office.sandbox.bitrix24.portals["harbour"]

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator("section:not([hidden]) iframe, .slider iframe, .app-place iframe").last

    def frame(self) -> Frame:
        return next(one for one in reversed(self.page.frames) if one.url.startswith(self.office.sandbox.settings.app_url))

    def act_as(self, user: int) -> None:
        """Who sits here from now on."""
        self.page.request.post(f"{self.crm.url}/face/act-as", form={"user": str(user)})

    def open(self) -> FrameLocator:
        """The app on its own page of the CRM."""
        self.page.goto(f"{self.crm.url}/marketplace/app/")
        self.app.locator("main:not(.skeleton), .alone-card").first.wait_for()
        return self.app

    def card(self, path: str) -> FrameLocator:
        """Open a card, then our tab in it."""
        self.page.goto(f"{self.crm.url}{path}")
        self.page.get_by_role("tab", name="Xero").click()
        return self.app

    def go(self, path: str) -> None:
        """Another page of the app, as its links open it."""
        self.frame().evaluate("(path) => htmx.ajax('GET', path, { target: '#app', swap: 'innerHTML' }).catch(() => {})", path)
        self.settle()

    def settle(self) -> None:
        """Until nothing is on its way any more, apart from what asks again and again."""
        expect(self.app.locator(".htmx-request:not([data-quiet]), #app[aria-busy]")).to_have_count(0)

    def press(self, button: Locator) -> FloatRect:
        """The mouse goes down on a button and stays down; where the button was."""
        until_drawn(self.page, self.frame())
        place = button.bounding_box()
        assert place is not None
        self.page.mouse.move(place["x"] + 5, place["y"] + 5)
        self.page.mouse.down()
        return place

    def looks_right(self, where: str) -> None:
        """Nothing hangs over the side, and axe finds nothing."""
        assert self.what_is_wrong(where) == []

    def what_is_wrong(self, where: str, axe_at: tuple[int, ...] = WIDTHS) -> list[str]:
        """What hangs over the side, and what axe finds at these widths."""
        wrong = []
        for width in WIDTHS:
            self.resize(width)
            frame = self.frame()
            if (over := frame.evaluate(_OVER)) > 0:
                wrong.append(f"{where} at {width}: {over} px over the side")
            if width in axe_at:
                frame.evaluate(self.axe)
                wrong += [f"{where} at {width}: {one}" for one in frame.evaluate(_AXE)]
        self.resize(1280)
        return wrong

    def resize(self, width: int, height: int = 900) -> None:
        """Another window, and the frame as high again as its content in it."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_timeout(200)
        self.frame().evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@contextmanager
def at_desk(kind: type[D], sqlite_url: str, redis_url: str, context: BrowserContext, axe: str) -> Iterator[D]:
    """A desk in an office where nothing is installed yet; no page may have thrown an error at its end."""
    gate: list[Callable[..., Iterable[bytes]]] = []
    server = listen(lambda environ, start: gate[0](environ, start))
    sandbox = Sandbox(SandboxSettings(app_url=f"http://localhost:{server.bind_addr[1]}")).start()
    office = PatientOffice(sandbox, sqlite_url, redis_url)
    gate.append(office.app.wsgi_app)
    desk = kind(office, context.new_page(), axe)
    desk.page.on("pageerror", lambda error: desk.faults.append(str(error)))
    try:
        yield desk
    finally:
        office.close()
        sandbox.stop()
        server.stop()
    assert desk.faults == []
