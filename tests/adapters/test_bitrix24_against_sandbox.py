"""The adapter against Bitrix24 in miniature, over a real socket, with the open facts in each of their positions (RULES 38)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from plugin.bitrix24.client import BatchReply, Command, Direct, Params, Reply
from plugin.bitrix24.documents import Narrowed, WriteBack, ids_matching, list_documents, may_edit, read_documents, write_back
from plugin.bitrix24.events import INVOICE_EVENTS, parse_event
from plugin.bitrix24.fields import Value, ensure_fields, names
from plugin.bitrix24.kinds import INVOICE
from plugin.bitrix24.launch import confirm, meet, parse_launch
from plugin.bitrix24.oauth import refresh
from plugin.bitrix24.people import log_line, notify, user_names
from plugin.bitrix24.placements import PLACES, ensure_installed
from plugin.bitrix24.stages import currencies, pipelines, portal_facts, sellers, tax_rates
from plugin.config import Config
from plugin.domain.problems import Problem
from plugin.wire import Addresses, NoAnswer, Wire
from sandbox.bitrix24.php import flatten

if TYPE_CHECKING:
    from sandbox.bitrix24 import Portal
    from sandbox.serve import Sandbox

ALICE, SAM, VERA = 1, 2, 3


class Counted:
    """A `Rest` that counts its requests."""

    def __init__(self, inner: Direct) -> None:
        self.inner, self.requests, self.commands = inner, 0, 0

    def call(self, method: str, params: Params | None = None) -> Reply:
        self.requests += 1
        return self.inner.call(method, params)

    def batch(self, commands: Mapping[str, Command], halt: bool = False) -> BatchReply:
        self.requests += 1
        self.commands += len(commands)
        return self.inner.batch(commands, halt)


def config(sandbox: Sandbox) -> Config:
    return Config.from_env(sandbox.settings.app_environment(), ("database",))


def addresses(sandbox: Sandbox) -> Addresses:
    return Addresses(config(sandbox).bitrix24_oauth_urls, config(sandbox).bitrix24_portals)


def wire(sandbox: Sandbox) -> Wire:
    return Wire(addresses(sandbox), "Tallybridge tests")


def rest(sandbox: Sandbox, user: int = ALICE, portal: str = "harbour") -> Counted:
    """This person's REST on a portal with the app installed and our fields made."""
    there = sandbox.bitrix24.portals[portal]
    if there.installation is None:
        there.install_fully()
        if there.smart_invoices:
            ensure_fields(rest(sandbox, ALICE, portal), INVOICE)
    return Counted(Direct(wire(sandbox), there.client_endpoint, sandbox.bitrix24.tokens.issue(there.member_id, user).access))


@pytest.fixture
def harbour(sandbox: Sandbox) -> Portal:
    sandbox.bitrix24.controls.switches.set("limits", "off")
    return sandbox.bitrix24.portals["harbour"]


def switch(sandbox: Sandbox, name: str, position: str) -> None:
    sandbox.bitrix24.controls.switches.set(name, position)


# --- Opening


@pytest.mark.parametrize("name", ["harbour", "onpremise", "westcoast"])
def test_an_opening_is_confirmed_and_the_person_known(sandbox: Sandbox, name: str) -> None:
    portal = sandbox.bitrix24.portals[name]
    portal.install_fully()
    opening = portal.open_app(SAM)
    launch = parse_launch(dict(parse_qsl(urlsplit(opening.url).query)), opening.fields)
    confirmed = confirm(wire(sandbox), config(sandbox), addresses(sandbox), launch)
    person = meet(Direct(wire(sandbox), confirmed.client_endpoint, launch.access_token), confirmed)
    assert (confirmed.member_id, confirmed.client_endpoint, confirmed.installed) == (portal.member_id, portal.client_endpoint, True)
    assert (person.id, person.name, person.admin) == (SAM, "Sam Sales", False)
    assert {"crm", "placement"} <= confirmed.scopes


def test_an_opening_in_the_name_of_another_portal_is_refused(sandbox: Sandbox) -> None:
    ours, theirs = sandbox.bitrix24.portals["stranger"], sandbox.bitrix24.portals["harbour"]
    ours.install_fully()
    theirs.install_fully()
    fields = {**ours.open_app(ALICE).fields, "member_id": theirs.member_id}
    with pytest.raises(Problem, match=r"launch\.wrong_portal"):
        confirm(wire(sandbox), config(sandbox), addresses(sandbox), parse_launch({"DOMAIN": theirs.domain}, fields))


def test_a_token_of_another_app_is_refused(sandbox: Sandbox) -> None:
    portal = sandbox.bitrix24.portals["harbour"]
    portal.install_fully()
    fields = {**portal.open_app(ALICE).fields, "AUTH_ID": sandbox.bitrix24.tokens.issue(portal.member_id, ALICE, "app.other.2").access}
    with pytest.raises(Problem, match=r"launch\.wrong_app"):
        confirm(wire(sandbox), config(sandbox), addresses(sandbox), parse_launch({"DOMAIN": portal.domain}, fields))


@pytest.mark.parametrize("verb", ["both", "get_only", "post_only"])
def test_tokens_are_renewed_whichever_verb_is_taken(sandbox: Sandbox, verb: str) -> None:
    switch(sandbox, "oauth_token_verb", verb)
    portal = sandbox.bitrix24.portals["harbour"]
    portal.install_fully()
    old = sandbox.bitrix24.tokens.issue(portal.member_id, SAM)
    new = refresh(wire(sandbox), config(sandbox), portal.server_endpoint, old.refresh)
    assert (new.user_id, new.member_id, new.client_endpoint) == (SAM, portal.member_id, portal.client_endpoint)
    assert new.access_token not in ("", old.access)
    with pytest.raises(Problem, match=r"bitrix24\.grant_invalid"):
        refresh(wire(sandbox), config(sandbox), portal.server_endpoint, old.refresh)


@pytest.mark.parametrize("status", ["400", "401", "200"])
@pytest.mark.parametrize("mismatch", ["invalid_client", "wrong_client_200"])
def test_a_wrong_secret_is_named_whatever_the_status(sandbox: Sandbox, status: str, mismatch: str) -> None:
    switch(sandbox, "oauth_error_status", status)
    switch(sandbox, "oauth_client_mismatch", mismatch)
    wrong = Config(bitrix24_client_id="app.5f3c0sandbox.00000001", bitrix24_client_secret="x", bitrix24_oauth_urls=config(sandbox).bitrix24_oauth_urls)
    with pytest.raises(Problem, match=r"bitrix24\.client_refused"):
        refresh(wire(sandbox), wrong, "", "r")


@pytest.mark.parametrize(("position", "code"), [("invalid_grant", "grant_invalid"), ("NOT_INSTALLED", "not_installed"), ("invalid_client", "client_refused")])
def test_after_an_uninstallation_a_refresh_asks_to_reconnect(sandbox: Sandbox, position: str, code: str) -> None:
    switch(sandbox, "oauth_uninstalled", position)
    portal = sandbox.bitrix24.portals["harbour"]
    portal.install_fully()
    old = sandbox.bitrix24.tokens.issue(portal.member_id, ALICE)
    portal.uninstall()
    with pytest.raises(Problem) as raised:
        refresh(wire(sandbox), config(sandbox), "", old.refresh)
    assert (raised.value.code, raised.value.retry.kind) == (f"bitrix24.{code}", "reconnect")


# --- Troubles of a portal


@pytest.mark.parametrize("case", ["documented", "upper"])
def test_an_old_token_is_told_from_an_unknown_one(sandbox: Sandbox, case: str) -> None:
    switch(sandbox, "error_case", case)
    here = rest(sandbox)
    sandbox.bitrix24.tokens.expire(sandbox.bitrix24.portals["harbour"].member_id, ALICE)
    with pytest.raises(Problem, match=r"bitrix24\.token_expired"):
        here.batch({"who": ("profile", {})})


@pytest.mark.parametrize(
    ("trouble", "code"), [("deleted", "portal_deleted"), ("not_commercial", "plan"), ("overload", "blocked"), ("internal_error", "portal_fault")]
)
def test_troubles_of_the_portal_have_their_own_names(sandbox: Sandbox, trouble: str, code: str) -> None:
    here = rest(sandbox)
    sandbox.bitrix24.portals["harbour"].troubles.add(trouble)
    with pytest.raises(Problem) as raised:
        here.call("profile")
    assert raised.value.code == f"bitrix24.{code}"


def test_a_full_bucket_says_when_to_come_back(sandbox: Sandbox) -> None:
    here = rest(sandbox)
    with pytest.raises(Problem) as raised:
        _hurry(here)
    assert (raised.value.code, raised.value.retry.kind) == ("bitrix24.busy", "after")


def _hurry(here: Counted) -> None:
    for _ in range(60):
        here.call("profile")


def test_a_spent_method_is_named_within_a_batch(sandbox: Sandbox) -> None:
    here = rest(sandbox)
    limits = sandbox.bitrix24.portals["harbour"].limits
    limits.operating_limit = 0.001
    here.call("profile")
    found = here.batch({"a": ("profile", {}), "b": ("server.time", {})})
    assert (found.errors["a"].code, found.errors["a"].retry.kind, found.errors["a"].params["method"]) == ("bitrix24.operating_limit", "after", "profile")
    assert found.spent["server.time"][0] > 0


def test_a_renamed_portal_names_its_new_address(sandbox: Sandbox) -> None:
    here = rest(sandbox)
    portal = sandbox.bitrix24.portals["harbour"]
    portal.rename()
    with pytest.raises(Problem) as raised:
        here.call("profile")
    assert (raised.value.code, raised.value.params["location"]) == ("bitrix24.moved", portal.client_endpoint)


@pytest.mark.parametrize(("kind", "expected"), [("html", Problem), ("cut", NoAnswer), ("lost", NoAnswer)])
def test_a_broken_answer_is_never_taken_for_a_result(sandbox: Sandbox, kind: str, expected: type[Exception]) -> None:
    here = rest(sandbox)
    sandbox.bitrix24.controls.fail(kind, path="/rest/")
    with pytest.raises(expected):
        here.call("profile")


# --- Installation


@pytest.mark.parametrize("listed", ["listed", "base_only"])
@pytest.mark.parametrize("filtering", ["works", "ignored", "refused"])
@pytest.mark.parametrize("with_ids", ["absent", "present"])
def test_an_installation_is_complete_and_repeatable(sandbox: Sandbox, harbour: Portal, listed: str, filtering: str, with_ids: str) -> None:
    for name, position in (("dynamic_event_names", listed), ("userfield_filter_entity", filtering), ("placement_get_id", with_ids)):
        switch(sandbox, name, position)
    harbour.install()
    here = rest(sandbox)
    first = ensure_installed(here, sandbox.settings.app_url, "en")
    assert (first.problems, first.absent) == ({}, ())
    assert {*names(INVOICE), *PLACES} <= set(first.added)
    assert {f"{name}_31" if listed == "listed" else name for name in INVOICE_EVENTS} <= set(first.added)
    assert not set(INVOICE_EVENTS) <= set(first.added) or listed == "base_only"
    again = rest(sandbox)
    second = ensure_installed(again, sandbox.settings.app_url, "en")
    # The rule and the trigger are told anew each time: no list says which words and address they have there.
    assert (second.added, second.removed, second.problems) == (("robot", "trigger"), (), {})
    # Fields of invoices and of quotes, what is there, what is told anew; a filter that is refused costs each kind a second look.
    assert again.requests == (4 if filtering != "refused" else 6)


def test_a_portal_that_learnt_the_names_of_one_type_drops_the_common_ones(sandbox: Sandbox, harbour: Portal) -> None:
    switch(sandbox, "dynamic_event_names", "base_only")
    ensure_installed(rest(sandbox), sandbox.settings.app_url, "en")
    switch(sandbox, "dynamic_event_names", "listed")
    ensure_installed(rest(sandbox), sandbox.settings.app_url, "en")
    assert harbour.installation is not None
    bound = {one.event for one in harbour.installation.handlers}
    assert not bound & set(INVOICE_EVENTS)
    assert {f"{name}_31" for name in INVOICE_EVENTS} <= bound


def test_an_ordinary_person_installs_nothing_and_breaks_nothing(sandbox: Sandbox, harbour: Portal) -> None:
    harbour.install_fully()
    here = Direct(wire(sandbox), harbour.client_endpoint, sandbox.bitrix24.tokens.issue(harbour.member_id, SAM).access)
    installed = ensure_installed(here, sandbox.settings.app_url, "en")
    assert "userfieldconfig" in installed.problems or set(names(INVOICE)) & set(installed.problems)
    assert not set(PLACES) & set(installed.added)


@pytest.mark.parametrize("separator", ["space", "comma"])
@pytest.mark.parametrize("extras", ["none", "all"])
def test_events_are_read_in_each_of_their_shapes(sandbox: Sandbox, harbour: Portal, separator: str, extras: str) -> None:
    switch(sandbox, "event_scope_separator", separator)
    switch(sandbox, "event_auth_extras", extras)
    app = harbour.install_fully()
    body = {"event": "onCrmDynamicItemUpdate_31", "data": {"FIELDS": {"ID": 5, "ENTITY_TYPE_ID": 31}}, "ts": 1766047124, "auth": harbour.event_auth(SAM)}
    event = parse_event(flatten(body))
    assert (event.member_id, event.application_token, event.subject_id, event.about_invoice) == (harbour.member_id, app.application_token, 5, True)
    assert {"crm", "placement"} <= event.scope


# --- What a portal is made of


@pytest.mark.parametrize("semantics", ["null", "P"])
def test_stages_with_the_customers_own(sandbox: Sandbox, harbour: Portal, semantics: str) -> None:
    switch(sandbox, "stage_semantics_progress", semantics)
    here = rest(sandbox)
    before = here.requests
    stages = {one.id: one for one in pipelines(here)}
    assert here.requests - before == 2
    assert (stages["DT31_3:P"].semantics, stages["DT31_3:D"].semantics, stages["DT31_3:N"].semantics) == ("S", "F", "")
    assert (stages["DT31_3:UC_CHK4S2"].name, stages["DT31_3:UC_CHK4S2"].system, stages["DT31_3:UC_CHK4S2"].category_id) == ("Check with sales", False, 3)


@pytest.mark.parametrize("answer", ["error", "empty"])
def test_smart_invoices_switched_off_is_a_sentence(sandbox: Sandbox, answer: str) -> None:
    switch(sandbox, "old_invoices_answer", answer)
    with pytest.raises(Problem, match=r"bitrix24\.no_smart_invoices"):
        pipelines(rest(sandbox, ALICE, "oldinvoices"))


@pytest.mark.parametrize("user", [ALICE, SAM])
@pytest.mark.parametrize("shape", ["nested", "top_level"])
def test_tax_rates_for_everybody(sandbox: Sandbox, harbour: Portal, user: int, shape: str) -> None:
    switch(sandbox, "catalog_list_shape", shape)
    rates = dict(tax_rates(rest(sandbox, user)))
    assert (rates["No tax"], rates["Zero rated"], rates["GST 15%"]) == (None, Decimal(0), Decimal(15))


@pytest.mark.parametrize("right", ["read", "crm_settings"])
def test_currencies_and_sellers_for_everybody(sandbox: Sandbox, harbour: Portal, right: str) -> None:
    switch(sandbox, "currency_list_right", right)
    found = currencies(rest(sandbox, SAM))
    assert [one.code for one in found if one.base] == ["NZD"]
    assert len(found) == (2 if right == "read" else 1)
    assert [title for _, title in sellers(rest(sandbox))] == ["Harbour & Vine Trading Ltd", "Harbour & Vine Australia Pty Ltd"]


def test_a_portal_about_itself(sandbox: Sandbox, harbour: Portal) -> None:
    facts = portal_facts(rest(sandbox))
    assert (facts.installed, facts.base_currency, facts.lacking) == (True, "NZD", {})
    assert facts.utc_offset in (timedelta(hours=12), timedelta(hours=13))
    assert {"crm", "catalog"} <= facts.scopes


# --- Lists


def test_a_page_of_the_list_takes_two_requests(sandbox: Sandbox, harbour: Portal) -> None:
    here = rest(sandbox)
    before = here.requests
    page = list_documents(here, INVOICE, Narrowed(), page=1, size=10)
    assert here.requests - before == 2
    assert page.total == len(harbour.invoices)
    assert [one.updated_at for one in page.items] == sorted((one.updated_at for one in page.items), reverse=True)
    for one in page.items:
        stored = harbour.invoices[one.id]
        assert (one.number, one.title, one.amount) == (stored["accountNumber"], stored["title"], Decimal(str(stored["opportunity"])))
        assert one.company == (harbour.companies[one.company_id]["title"] if one.company_id in harbour.companies else "")


def test_all_pages_together_are_the_whole_list(sandbox: Sandbox, harbour: Portal) -> None:
    here = rest(sandbox)
    first = list_documents(here, INVOICE, Narrowed(), page=1, size=25)
    seen = [one.id for number in range(1, first.pages + 1) for one in list_documents(here, INVOICE, Narrowed(), page=number, size=25).items]
    assert sorted(seen) == sorted(harbour.invoices)


def test_each_person_sees_what_bitrix24_lets_them_see(sandbox: Sandbox, harbour: Portal) -> None:
    page = list_documents(rest(sandbox, SAM), INVOICE, Narrowed(), size=50)
    assert {one.id for one in page.items} == {id_ for id_, one in harbour.invoices.items() if one["assignedById"] == SAM}
    assert 0 < page.total < len(harbour.invoices)


def test_narrowing_by_words_stage_time_and_ids(sandbox: Sandbox, harbour: Portal) -> None:
    here = rest(sandbox)
    some = next(iter(harbour.invoices.values()))
    assert some["id"] in {one.id for one in list_documents(here, INVOICE, Narrowed(search=some["accountNumber"]), size=50).items}
    paid = list_documents(here, INVOICE, Narrowed(stage_ids=("DT31_3:P",)), size=50)
    assert {one.stage_id for one in paid.items} == {"DT31_3:P"}
    assert list_documents(here, INVOICE, Narrowed(changed_from=datetime.now(UTC) + timedelta(days=1))).total == 0
    chosen = tuple(sorted(harbour.invoices)[:3])
    assert sorted(one.id for one in list_documents(here, INVOICE, Narrowed(ids=chosen)).items) == list(chosen)
    assert list_documents(here, INVOICE, Narrowed(not_ids=chosen)).total == len(harbour.invoices) - 3


def test_every_id_of_a_filter_comes_once(sandbox: Sandbox, harbour: Portal) -> None:
    for id_ in sorted(harbour.invoices)[5:40:3]:
        harbour.delete_invoice(id_)
    found = [id_ for part in ids_matching(rest(sandbox), INVOICE, Narrowed(), 5_000) for id_ in part]
    assert found == sorted(harbour.invoices)


# --- Whole documents


@pytest.mark.parametrize("total", ["exact", "lagging"])
@pytest.mark.parametrize("anchors", ["works", "ignored"])
@pytest.mark.parametrize("no_link", ["zero", "null"])
def test_whole_documents_equal_what_the_portal_holds(sandbox: Sandbox, harbour: Portal, total: str, anchors: str, no_link: str) -> None:
    for name, position in (("list_total", total), ("address_anchor_in", anchors), ("no_link_value", no_link)):
        switch(sandbox, name, position)
    read = read_documents(rest(sandbox), INVOICE, [*harbour.invoices, 999_999], as_admin=True)
    assert (set(read.documents), read.missing, read.denied, read.lacking) == (set(harbour.invoices), {999_999}, {}, {})
    for id_, invoice in read.documents.items():
        stored = harbour.rows(id_)
        assert [(row.id, row.name, row.quantity) for row in invoice.rows] == [(one["id"], one["productName"], Decimal(str(one["quantity"]))) for one in stored]
        assert [row.price for row in invoice.rows] == [Decimal(str(one["price"])) for one in stored]
        assert invoice.manual_total or invoice.total == sum((round(row.price * row.quantity, 2) for row in invoice.rows), Decimal(0))
        assert all(row.product_id == 0 or row.product_id in read.products for row in invoice.rows)
    companies = [one for one in read.customers.values() if one.kind == "company"]
    assert companies
    assert all(one.name and one.email and one.tax_number and len(one.addresses) == 2 for one in companies)


@pytest.mark.parametrize("written", ["shifted", "local_midnight"])
@pytest.mark.parametrize("name", ["harbour", "westcoast", "stranger", "onpremise"])
def test_dates_do_not_slip_by_a_day_anywhere(sandbox: Sandbox, written: str, name: str) -> None:
    switch(sandbox, "date_fields_out", written)
    here = rest(sandbox, ALICE, name)
    portal = sandbox.bitrix24.portals[name]
    days = (date(2026, 1, 15), date(2026, 7, 15))
    ids = {day: portal.add_invoice(begindate=day.isoformat(), closedate=day.isoformat()) for day in days}
    read = read_documents(here, INVOICE, ids.values(), as_admin=True, details=False)
    assert {day: (read.documents[id_].date, read.documents[id_].due_date) for day, id_ in ids.items()} == {day: (day, day) for day in days}


@pytest.mark.parametrize("rights", ["first_item", "each_owner"])
def test_an_ordinary_person_reads_their_own_and_is_denied_the_rest(sandbox: Sandbox, harbour: Portal, rights: str) -> None:
    switch(sandbox, "rows_array_rights", rights)
    own = {id_ for id_, one in harbour.invoices.items() if one["assignedById"] == SAM}
    read = read_documents(rest(sandbox, SAM), INVOICE, [*harbour.invoices, 999_999], as_admin=False)
    assert (set(read.documents), read.missing, set(read.denied)) == (own, {999_999}, set(harbour.invoices) - own)
    assert {problem.code for problem in read.denied.values()} == {"bitrix24.access_denied"}
    assert all(len(read.documents[id_].rows) == len(harbour.rows(id_)) for id_ in own)


def test_a_thousand_invoices_in_few_requests(sandbox: Sandbox, harbour: Portal) -> None:
    customers = [id_ for id_, one in harbour.companies.items() if one["isMyCompany"] == "N"]
    products = list(harbour.products)
    rows = [{"productId": products[number], "price": 11.5, "quantity": 1, "taxRate": 15} for number in range(3)]
    ids = [harbour.add_invoice(rows, companyId=customers[number % len(customers)]) for number in range(1_000)]
    here = rest(sandbox)
    before = here.requests
    read = read_documents(here, INVOICE, ids, as_admin=True)
    assert len(read.documents) == 1_000
    assert {len(invoice.rows) for invoice in read.documents.values()} == {3}
    assert here.requests - before <= 4
    assert [id_ for part in ids_matching(here, INVOICE, Narrowed(ids=tuple(ids[:200])), 1_000) for id_ in part] == ids[:200]


# --- Writing


def test_the_portal_decides_who_may_edit(sandbox: Sandbox, harbour: Portal) -> None:
    own = sorted(id_ for id_, one in harbour.invoices.items() if one["assignedById"] == SAM)
    others = sorted(set(harbour.invoices) - set(own))[:5]
    trial = may_edit(rest(sandbox, SAM), INVOICE, [*own, *others], "batch 7")
    assert ({id_ for id_, problem in trial.items() if problem is None}, {id_ for id_, problem in trial.items() if problem}) == (set(own), set(others))
    assert harbour.user_field_values(own[0])["UF_CRM_SMART_INVOICE_XERO_SENDING"] == "batch 7"
    assert {problem.code for problem in may_edit(rest(sandbox, VERA), INVOICE, own, "x").values() if problem} == {"bitrix24.access_denied"}


def test_missing_fields_are_noticed_when_the_right_is_tried(sandbox: Sandbox, harbour: Portal) -> None:
    harbour.install_fully()
    id_ = min(harbour.invoices)
    here = Direct(wire(sandbox), harbour.client_endpoint, sandbox.bitrix24.tokens.issue(harbour.member_id, ALICE).access)
    problem = may_edit(here, INVOICE, [id_], "x")[id_]
    assert problem is not None
    assert problem.code == "bitrix24.field_missing"


def test_results_are_written_and_read_back(sandbox: Sandbox, harbour: Portal) -> None:
    id_ = min(harbour.invoices)
    here = rest(sandbox)
    values: dict[str, Value] = {
        "xero_id": "6f5e",
        "xero_url": "https://go.xero.com/app/invoicing/view/6f5e",
        "xero_paid": (Decimal("100.5"), "NZD"),
        "xero_paid_on": date(2026, 8, 21),
        "xero_synced": datetime(2026, 8, 21, 10, tzinfo=UTC),
    }
    assert write_back(here, INVOICE, [WriteBack(id_, values, "DT31_3:P", ("Xero", "Paid in full"))]).problems == {id_: None}
    invoice = read_documents(here, INVOICE, [id_], as_admin=True, details=False).documents[id_]
    assert invoice.stage_id == "DT31_3:P"
    assert invoice.fields == {
        "xero_id": "6f5e",
        "xero_url": "https://go.xero.com/app/invoicing/view/6f5e",
        "xero_paid": "100.50|NZD",
        "xero_paid_on": "2026-08-21",
        "xero_synced": "2026-08-21T10:00:00+00:00",
    }
    assert len([one for one in harbour.timeline_of(id_) if one.get("text") == "Paid in full"]) == 1
    assert write_back(here, INVOICE, [WriteBack(id_, dict.fromkeys(values))]).problems == {id_: None}
    assert read_documents(here, INVOICE, [id_], as_admin=True, details=False).documents[id_].fields == {}


@pytest.mark.parametrize("code", ["empty", "dash"])
def test_a_refused_stage_leaves_the_fields_written(sandbox: Sandbox, harbour: Portal, code: str) -> None:
    switch(sandbox, "stage_refusal_code", code)
    here = rest(sandbox)
    harbour.users[ALICE].may_finish = False
    id_ = next(id_ for id_, one in harbour.invoices.items() if one["stageId"] == "DT31_3:N")
    problem = write_back(here, INVOICE, [WriteBack(id_, {"xero_id": "6f5e"}, "DT31_3:P")]).problems[id_]
    assert problem is not None
    assert (problem.code, problem.params["id"], problem.params["stage"]) == ("bitrix24.stage_refused", id_, "DT31_3:P")
    assert harbour.user_field_values(id_)["UF_CRM_SMART_INVOICE_XERO_ID"] == "6f5e"


def test_a_deleted_invoice_does_not_spoil_its_neighbours(sandbox: Sandbox, harbour: Portal) -> None:
    id_ = min(harbour.invoices)
    found = write_back(rest(sandbox), INVOICE, [WriteBack(999_999, {"xero_id": "a"}), WriteBack(id_, {"xero_id": "b"})]).problems
    assert found[999_999] is not None
    assert (found[999_999].code, found[id_]) == ("bitrix24.not_found", None)


# --- People


def test_people_are_told_and_named(sandbox: Sandbox, harbour: Portal) -> None:
    here = rest(sandbox)
    assert notify(here, SAM, "3 of 3 invoices exported", "batch-7")
    assert user_names(here, [ALICE, SAM, 77]) == {ALICE: "Alice Administrator", SAM: "Sam Sales"}
    id_ = min(harbour.invoices)
    log_line(here, 31, id_, "Xero", "Sent as INV-1")
    assert harbour.timeline_of(id_)[-1]["text"] == "Sent as INV-1"
