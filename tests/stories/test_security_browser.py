"""In a real browser: framed by the portal and by nobody else, no script but our own, and hostile names are only words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from sandbox.bitrix24.fields import COMPANY
from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings
from tests.running import Running, free_port
from tests.services import Databases
from tests.stories.test_browser_walk import Walk

EVIL = '<script>window.tbHacked=1</script><img src=x onerror="window.tbHacked=1">"\'><svg onload=window.tbHacked=1>'


class Elsewhere:
    """A page of another origin that posts a genuine opening into a frame of its own, as a click-jacker would."""

    def __init__(self) -> None:
        elsewhere = self
        self.html = ""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = elsewhere.html.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    one = Elsewhere()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def walk(databases: Databases, redis_url: str, browser_context: BrowserContext, axe_script: str, tmp_path: Path) -> Iterator[Walk]:
    port = free_port()
    sandbox = Sandbox(SandboxSettings(app_url=f"http://localhost:{port}")).start()
    running = Running(sandbox.settings.app_environment(), databases.migrated("sqlite"), redis_url, port, tmp_path)
    walk = Walk(sandbox, running, browser_context.new_page(), axe_script)
    yield walk
    running.close()
    sandbox.stop()


def hacked(page: Page) -> list[str]:
    """The frames in which something of the hostile words has run."""
    return [frame.url for frame in page.frames if frame.evaluate("window.tbHacked") is not None]


def test_framed_by_the_portal_only_with_no_script_but_ours_and_hostile_names_as_words(walk: Walk, elsewhere: Elsewhere) -> None:
    walk.install()
    refused_by_everybody_else(walk, elsewhere)
    nothing_inline_runs(walk)
    hostile_names_are_words(walk)


def refused_by_everybody_else(walk: Walk, elsewhere: Elsewhere) -> None:
    """The portal's frame shows the app (install has just done so); another origin's frame of the same opening stays empty."""
    opening = walk.crm.open_app(1)
    inputs = "".join(f"<input name=\"{name}\" value='{value}'>" for name, value in opening.fields.items())
    elsewhere.html = f'<form id="f" method="post" action="{opening.url}" target="x">{inputs}</form><iframe name="x"></iframe><script>f.submit()</script>'
    page = walk.page.context.new_page()
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text))
    page.goto(elsewhere.url)
    page.wait_for_timeout(1_500)
    assert any("frame-ancestors" in one for one in said), said
    assert all("localhost" not in frame.url or "Connect" not in frame.content() for frame in page.frames[1:])
    page.close()


def nothing_inline_runs(walk: Walk) -> None:
    """Whatever somebody manages to put into the page stays dead, and nothing is fetched from elsewhere."""
    frame = next(one for one in walk.page.frames if one.url.startswith("http://localhost"))
    blocked = frame.evaluate(
        """async () => {
            const blocked = [];
            document.addEventListener('securitypolicyviolation', (event) => blocked.push(event.effectiveDirective));
            const box = document.createElement('div');
            box.innerHTML = '<img src="https://evil.example/x.png" onerror="window.tbHacked=1">'
                + '<button onclick="window.tbHacked=1">x</button><a href="javascript:window.tbHacked=1">y</a>'
                + '<form action="https://evil.example/"><input></form>';
            document.body.append(box);
            box.querySelector('button').click();
            box.querySelector('a').click();
            box.querySelector('form').submit();
            const script = document.createElement('script');
            script.textContent = 'window.tbHacked=1';
            document.body.append(script);
            const far = document.createElement('script');
            far.src = 'https://evil.example/x.js';
            document.body.append(far);
            try { await fetch('https://evil.example/'); } catch { blocked.push('fetch'); }
            await new Promise((done) => setTimeout(done, 300));
            box.remove();
            return blocked;
        }"""
    )
    assert hacked(walk.page) == []
    for directive in ("script-src-attr", "script-src-elem", "form-action", "connect-src", "img-src", "fetch"):
        assert any(one.startswith(directive) for one in blocked), (directive, blocked)
    walk.faults.clear()  # the browser wrote each refusal to its console


def hostile_names_are_words(walk: Walk) -> None:
    """Title, company, row and Xero's own names: on every page, in the confirmation, in the batch, in the activity."""
    crm, xero = walk.crm, walk.sandbox.xero
    walk.page.reload()
    walk.connect()
    like = next(one for _, one in sorted(crm.invoices.items()) if one.get("companyId") and one["currencyId"] == "NZD")
    company = crm.add_item(COMPANY, title=f"Evil {EVIL}")
    fields = {name: like[name] for name in ("mycompanyId", "currencyId")} | {"stageId": crm.stage_id("N"), "companyId": company}
    row = {"productName": f"Chair {EVIL}", "price": 115, "quantity": 1, "taxRate": 15, "taxIncluded": "Y"}
    crm_id = crm.add_invoice([row], title=f"Title {EVIL}", **fields)
    number = str(crm.invoices[crm_id]["accountNumber"])
    for contact in xero.contacts()[:3]:
        contact.name = f"Xero {EVIL} {contact.name}"
    walk.set_up()
    expect(walk.app.get_by_text("customers linked")).to_be_visible(timeout=60_000)
    walk.app.get_by_role("link", name="Invoices", exact=True).click()
    expect(walk.app.get_by_text("window.tbHacked=1").first).to_be_visible()
    walk.tick(number)
    walk.app.get_by_role("button", name="Create / Edit on Xero").first.click()
    expect(walk.app.get_by_role("button", name="Send 1 invoice")).to_be_visible(timeout=15_000)
    expect(walk.app.get_by_role("dialog").get_by_text("window.tbHacked=1").first).to_be_visible()
    walk.app.get_by_role("button", name="Send 1 invoice").click()
    expect(walk.app.get_by_text("1 of 1 invoices exported").or_(walk.app.get_by_text("1 of 1 invoice exported")).first).to_be_visible(timeout=20_000)
    for name in ("Batches", "Activity", "Settings", "Invoices"):
        walk.app.get_by_role("link", name=name, exact=True).click()
        expect(walk.app.get_by_role("heading", name=name).first).to_be_visible()
        assert hacked(walk.page) == []
    assert [one for one in walk.faults if "tbHacked" in one] == []
    assert not any("[" in one["message"] for one in crm.notifications)
