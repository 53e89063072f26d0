"""Who may go where: every address of the app, for nobody, a sales person, an administrator of another portal, and an administrator.

The table is complete or the test fails: a new address needs its line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from plugin.models import Base, Doubt, Exchange, Job, Link
from plugin.web.guide import chapters
from sandbox.serve import Sandbox
from tests.stories.main_story import document_of, sendable
from tests.stories.office import Office, Person
from tests.stories.seen import deliver, portal_row, says
from tests.stories.test_webhooks import event, told

#: So often Bitrix24 may say that it is busy.
BUSY_MOST = 20

#: For a page of the frame: what a sales person and the administrator of another portal get, and the form that goes with it.
PAGES: dict[tuple[str, str], tuple[int, int, dict[str, str]]] = {
    ("GET", "/app/"): (200, 200, {}),
    ("GET", "/app/connection"): (200, 200, {}),
    ("GET", "/app/first-sync"): (200, 200, {}),
    ("GET", "/app/invoices"): (200, 200, {}),
    ("GET", "/app/invoices/list"): (200, 200, {}),
    ("POST", "/app/invoices/view"): (200, 200, {"size": "10"}),
    ("GET", "/app/invoices/rows"): (200, 200, {}),
    ("GET", "/app/cards/documents/<document>/<int:crm_id>"): (404, 404, {}),
    ("GET", "/app/cards/documents/<document>/<int:crm_id>/state"): (404, 404, {}),
    ("GET", "/app/cards/documents/<document>/<int:crm_id>/differences"): (404, 404, {}),
    ("GET", "/app/cards/customers/<customer>/<int:customer_id>"): (404, 404, {}),
    ("GET", "/app/cards/customers/<customer>/<int:customer_id>/balance"): (404, 404, {}),
    ("GET", "/app/cards/unsaved"): (200, 200, {}),
    ("GET", "/app/batches"): (200, 200, {}),
    ("POST", "/app/batches"): (200, 200, {"kind": "send", "id": "{invoice}"}),
    ("GET", "/app/batches/<int:batch_id>/confirmation"): (404, 404, {}),
    ("GET", "/app/batches/<int:batch_id>"): (404, 404, {}),
    ("GET", "/app/batches/<int:batch_id>/progress"): (404, 404, {}),
    ("POST", "/app/batches/<int:batch_id>/confirm"): (404, 404, {}),
    ("POST", "/app/batches/<int:batch_id>/cancel"): (404, 404, {}),
    ("POST", "/app/batches/<int:batch_id>/again"): (404, 404, {}),
    ("GET", "/app/activity"): (200, 200, {}),
    ("GET", "/app/setup"): (403, 200, {}),
    ("GET", "/app/setup/<int:number>"): (403, 200, {}),
    ("POST", "/app/setup/<int:number>"): (403, 200, {}),
    ("POST", "/app/setup/confirm"): (403, 200, {}),
    ("GET", "/app/setup/accounts"): (403, 200, {}),
    ("POST", "/app/setup/take-over"): (403, 200, {}),
    ("GET", "/app/setup/doubtful"): (403, 200, {}),
    ("POST", "/app/setup/doubtful/<int:pair_id>"): (403, 404, {"same": "yes"}),
    ("POST", "/app/setup/automatic"): (403, 200, {"automatic": "off"}),
    ("GET", "/app/setup/deleted"): (403, 200, {}),
    ("POST", "/app/setup/deleted/<int:link_id>"): (403, 404, {"keep": "yes"}),
    ("POST", "/app/setup/brought"): (403, 200, {}),
    ("GET", "/app/setup/bills-place"): (403, 200, {}),
    ("GET", "/app/activity/list"): (200, 200, {}),
    ("POST", "/app/activity/export"): (200, 200, {}),
    ("GET", "/app/calls"): (403, 200, {}),
    ("GET", "/app/calls/list"): (403, 200, {}),
    ("GET", "/app/calls/<int:number>"): (403, 404, {}),
    ("GET", "/app/dashboard"): (200, 200, {}),
    ("GET", "/app/dashboard/now"): (200, 200, {}),
    ("GET", "/app/dashboard/causes/<int:failure_id>"): (404, 404, {}),
    ("POST", "/app/dashboard/causes/<int:failure_id>/again"): (404, 404, {}),
    ("GET", "/app/help"): (200, 200, {}),
    ("GET", "/app/help/<name>"): (200, 200, {}),
    ("GET", "/app/self-test"): (403, 200, {}),
    ("GET", "/app/self-test/now"): (403, 200, {}),
    ("POST", "/app/self-test"): (403, 200, {}),
    ("POST", "/app/invoices/<int:crm_id>/online"): (404, 404, {}),
    ("POST", "/app/setup/first-sync"): (403, 200, {}),
    ("POST", "/app/setup/stages"): (403, 200, {}),
    ("GET", "/app/setup/connection"): (403, 200, {}),
    ("POST", "/app/setup/connection/ticket"): (403, 200, {}),
    ("POST", "/app/setup/connection/organisation"): (403, 404, {"tenant_id": "{tenant}"}),
    ("POST", "/app/setup/connection/disconnect"): (403, 200, {}),
}
#: What the world may call, and what nobody gets there.
OPEN: dict[tuple[str, str], int] = {
    ("GET", "/static/<path:filename>"): 200,
    ("GET", "/"): 200,
    ("GET", "/bitrix24/install"): 200,
    ("GET", "/bitrix24/app"): 200,
    ("GET", "/bitrix24/placement"): 200,
    ("POST", "/bitrix24/install"): 409,
    ("POST", "/bitrix24/app"): 409,
    ("POST", "/bitrix24/placement"): 409,
    ("POST", "/bitrix24/events"): 403,
    ("POST", "/bitrix24/robot"): 403,
    ("GET", "/bitrix24/events"): 200,
    ("GET", "/bitrix24/robot"): 200,
    ("POST", "/app/pass"): 401,
    ("GET", "/healthz"): 200,
    ("GET", "/metrics"): 200,
    ("GET", "/xero/connect"): 409,
    ("GET", "/xero/callback"): 400,
    ("POST", "/xero/webhooks"): 401,
}


class Town:
    """Two portals at work, and what the first has that is nobody else's."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.alice = office.ready()
        self.sam = office.open(user=2)
        self.bob = office.install("stranger")
        self.bob.connect_xero("bob", "Bob's Boat Repairs")
        self.bob.set_up()
        office.work()
        harbour, theirs = office.sandbox.bitrix24.portals["harbour"], office.sandbox.bitrix24.portals["stranger"]
        # An invoice that Sam may not see and that the other portal does not have under that number.
        self.invoice = next(one for one in sendable(office, 20) if harbour.invoices[one]["assignedById"] != 2 and one not in theirs.invoices)
        self.batch = self.alice.order(self.invoice)
        self.company = self._secret_company()
        self.pair = self._doubt()
        self.failure = self._failure()
        self.call = self._call()
        self.gone = self._gone()
        self.tenant = next(one for one, books in office.sandbox.xero.organisations.items() if books.organisation.name.startswith("Harbour"))

    def _secret_company(self) -> int:
        """A customer of the first portal that its sales person may not see, under a number that the other portal does not have."""
        harbour = self.office.sandbox.bitrix24.portals["harbour"]
        number = harbour.add_item(4, title="Kauri Secret Ltd")
        harbour.users[2].rights[4] = {"read": "own", "add": "all", "update": "own"}
        assert number not in self.office.sandbox.bitrix24.portals["stranger"].companies
        return number

    def _failure(self) -> int:
        """An order of the first portal's administrator that a cause has stopped."""
        services = self.office.services
        with services.db.transaction() as tx:
            job = Job(
                portal_id=self.alice.portal_id, organisation_id=1, bell="organisation:1", kind="send", subject="invoice:999999", acting_user=self.alice.user
            )
            job.state, job.problem_code, job.created_at, job.run_at, job.finished_at = "done", "send.no_rows", services.now(), services.now(), services.now()
            tx.add(job)
            tx.flush()
            return job.id

    def _gone(self) -> int:
        """A document in Xero whose invoice was deleted in the first portal."""
        services = self.office.services
        with services.db.transaction() as tx:
            link = Link(portal_id=self.alice.portal_id, organisation_id=1, crm_kind="invoice", crm_id=999_998, xero_kind="invoice", xero_id="gone")
            link.created_at = link.crm_gone_at = services.now()
            tx.add(link)
            tx.flush()
            return link.id

    def _call(self) -> int:
        """A call that was made for the first portal."""
        self.office.services.call_log.flush()
        with self.office.services.db.reading() as session:
            return session.scalars(select(Exchange.id).where(Exchange.portal_id == self.alice.portal_id)).first() or 0

    def _doubt(self) -> int:
        services = self.office.services
        with services.db.transaction() as tx:
            doubt = Doubt(
                portal_id=self.alice.portal_id, organisation_id=1, crm_subject="company:1", xero_kind="contact", xero_id="x", created_at=services.now()
            )
            doubt.shown = {"crm_label": "Kauri", "crm_detail": "", "xero_label": "Kauri", "xero_detail": "", "reasons": []}
            tx.add(doubt)
            tx.flush()
            return doubt.id

    def filled(self, rule: str, form: dict[str, str]) -> tuple[str, dict[str, str]]:
        """The address and the form with what belongs to the first portal."""
        held = {"<int:batch_id>": self.batch, "<int:crm_id>": self.invoice, "<int:pair_id>": self.pair, "<int:number>": 5, "<path:filename>": "app.css"}
        held |= {"<document>": "invoice", "<customer>": "company", "<int:customer_id>": self.company, "<int:failure_id>": self.failure}
        held |= {"<int:link_id>": self.gone, "<name>": chapters()[0].name, "calls/<int:number>": f"calls/{self.call}"}
        for name, value in sorted(held.items(), key=lambda one: -len(one[0])):
            rule = rule.replace(name, str(value))
        return rule, {name: value.format(invoice=self.invoice, tenant=self.tenant) for name, value in form.items()}

    def ask(self, person: Person, method: str, rule: str, form: dict[str, str]) -> Any:
        """The answer; whoever opens all pages within seconds meets Bitrix24's limit, and tries again when the page says so."""
        address, data = self.filled(rule, form)
        for _ in range(BUSY_MOST):
            answer = person.post(address, data) if method == "POST" else person.get(address)
            if not says(answer.text, "bitrix24.busy"):
                break
            time.sleep(0.5)
        return answer

    def rows(self, only: tuple[str, ...] = ()) -> dict[str, int]:
        """How many rows each table has."""
        with self.office.services.db.reading() as session:
            tables = [one for one in Base.metadata.sorted_tables if not only or one.name in only]
            return {one.name: session.scalar(select(func.count()).select_from(one)) or 0 for one in tables}


@pytest.fixture
def town(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Town]:
    office = Office(sandbox, sqlite_url, redis_url)
    yield Town(office)
    office.close()


def addresses(office: Office) -> set[tuple[str, str]]:
    """Every verb and address that the app answers."""
    rules = office.app.url_map.iter_rules()
    return {(method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}


def test_every_address_has_its_line(town: Town) -> None:
    assert addresses(town.office) == set(PAGES) | set(OPEN)


def test_nobody_gets_nowhere_and_leaves_no_trace(town: Town) -> None:
    before = town.rows()
    for (method, rule), status in {**OPEN, **dict.fromkeys(PAGES, 401)}.items():
        address, form = town.filled(rule, PAGES.get((method, rule), (0, 0, {}))[2])
        for headers in ({}, {"X-Frame-Pass": "forged"}, {"X-Frame-Pass": town.alice.frame_pass[:-2] + "xx"}):
            answer = town.office.client.open(address, method=method, data=form or None, headers=headers)
            assert answer.status_code == status, (method, address, answer.text)
            assert "Kauri" not in answer.text
            answer.close()
    assert town.rows() == before


def test_a_sales_person_has_no_settings_and_nothing_of_others(town: Town) -> None:
    for (method, rule), (status, _, form) in PAGES.items():
        answer = town.ask(town.sam, method, rule, form)
        expected = 204 if rule == "/app/connection" and answer.status_code == 204 else status
        assert answer.status_code == expected, (method, rule, answer.text)
    assert outcome_of(town, town.sam) == {("refused", "send.may_not_see")}


def test_an_administrator_of_another_portal_finds_nothing_of_this_one(town: Town) -> None:
    number = str(town.office.sandbox.bitrix24.portals["harbour"].invoices[town.invoice]["accountNumber"])
    before = town.alice.get(f"/app/batches/{town.batch}").text
    last = ("POST", "/app/setup/connection/disconnect")
    for (method, rule), (_, status, form) in sorted(PAGES.items(), key=lambda one: one[0] == last):
        answer = town.ask(town.bob, method, rule, form)
        expected = 204 if rule == "/app/connection" and answer.status_code == 204 else status
        assert answer.status_code == expected, (method, rule, answer.text)
        assert number not in answer.text
        assert town.tenant not in answer.text
    assert outcome_of(town, town.bob) <= {("refused", "send.deleted"), ("refused", "send.may_not_see")}
    assert same(town.alice.get(f"/app/batches/{town.batch}").text) == same(before)
    assert "Kauri" in town.alice.get("/app/setup/doubtful").text
    assert town.alice.get("/app/setup/connection").text.count("Harbour") > 0


def test_the_administrator_comes_everywhere(town: Town) -> None:
    last = ("POST", "/app/setup/connection/disconnect")
    for (method, rule), (_, _, form) in sorted(PAGES.items(), key=lambda one: one[0] == last):
        answer = town.ask(town.alice, method, rule, form)
        assert answer.status_code in (200, 204) or rule.endswith("/organisation"), (method, rule, answer.text)


def same(page: str) -> str:
    """A page without what changes by itself."""
    return page.replace("\n", " ")


def outcome_of(town: Town, person: Person) -> set[tuple[str, str | None]]:
    """What became of the documents in this person's batches."""
    from plugin.models import Batch, BatchDocument

    with town.office.services.db.reading() as session:
        mine = select(BatchDocument).join(Batch, Batch.id == BatchDocument.batch_id)
        rows = session.scalars(mine.where(Batch.portal_id == person.portal_id, Batch.created_by == person.user)).all()
        return {(one.outcome or one.verdict, one.problem_code) for one in rows}


def test_an_uninstalled_portal_can_do_nothing(town: Town) -> None:
    """Old passes, old tokens and old secrets open nothing; news about what it had sent order nothing; not a word goes to a partner."""
    office, sandbox = town.office, town.office.sandbox
    crm = sandbox.bitrix24.portals["harbour"]
    sent = sendable(office, 1)[0]
    town.alice.send(sent)
    document = document_of(office, sent)
    waiting = town.alice.order(sendable(office, 2)[1])
    town.alice.post(f"/app/batches/{waiting}/confirm")
    opening, portal = crm.open_app(1), portal_row(office)
    secret = portal.application_token
    passes = [person.frame_pass for person in (town.alice, town.sam)]
    sandbox.bitrix24.delivery.log.clear()
    crm.uninstall(False)
    assert deliver(office, "ONAPPUNINSTALL") == [200]
    office.work()
    for partner in (sandbox.xero, sandbox.bitrix24):
        partner.controls.calls.clear()
    before = town.rows(("job", "batch", "link", "bitrix24_login", "connection", "consent"))

    for (method, rule), (_, _, form) in PAGES.items():
        address, data = town.filled(rule, form)
        for held in passes:
            answer = office.client.open(address, method=method, data=data or None, headers={"X-Frame-Pass": held})
            assert answer.status_code == 401, (method, address, answer.text)
    assert office.client.post("/app/pass", data={"AUTH_ID": opening.fields["AUTH_ID"]}, headers={"X-Frame-Pass": passes[0]}).status_code >= 400
    for path in ("/bitrix24/app", "/bitrix24/placement"):
        assert office.client.post(path, data=opening.fields).status_code == 409
    forged = {"event": "ONCRMDYNAMICITEMUPDATE_31", "auth[member_id]": crm.member_id, "auth[application_token]": secret}
    assert office.client.post("/bitrix24/events", data=forged).status_code == 403
    sandbox.xero.edit(document.id, Status="AUTHORISED")
    assert told(office, event(office, document.id)) == 200
    office.work()

    assert town.rows(tuple(before)) == before
    mine = [one.path for one in sandbox.xero.controls.calls if one.path.startswith(("/api.xro", "/connect"))]
    assert mine == []
    assert [one.path for one in sandbox.bitrix24.controls.calls if one.path not in ("/rest/app.info", "/rest/profile")] == []
    assert town.bob.get("/app/invoices").status_code == 200
