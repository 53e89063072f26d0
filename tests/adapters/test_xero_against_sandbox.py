"""The Xero adapter against a partner that refuses what Xero refuses, over a real socket."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from plugin.config import Config
from plugin.domain.crm import Address, Customer
from plugin.domain.ledger import Draft, Item, Line
from plugin.domain.problems import Problem
from plugin.wire import NoAnswer
from plugin.xero import contacts, documents, items, ledgers, oauth, webhooks
from plugin.xero.client import WRITE_PARAMS
from plugin.xero.contacts import NewContact
from plugin.xero.documents import INVOICES
from plugin.xero.errors import problem_of, problem_of_errors, unknown_outcome
from plugin.xero.limits_seen import seen
from plugin.xero.resource import CREATE_METHOD, UPDATE_METHOD, Change
from tests.adapters.xero_calls import Call, make_wire

if TYPE_CHECKING:
    from sandbox.serve import Sandbox

GONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def config(sandbox: Sandbox) -> Config:
    sandbox.xero.controls.switches.set("webhooks", "off")
    return Config.from_env(sandbox.settings.app_environment(), needs=("database",))


@pytest.fixture
def call(sandbox: Sandbox, config: Config) -> Call:
    return Call(config, sandbox.xero.tokens(scopes=" ".join(oauth.SCOPES))["access_token"], sandbox.xero.HARBOUR)


def turn(sandbox: Sandbox, **positions: str) -> None:
    for name, position in positions.items():
        sandbox.xero.controls.switches.set(name, position)


def consent(config: Config, url: str, tenant: str, decision: str = "allow") -> dict[str, list[str]]:
    """What a person does in the window, and the query with which Xero sends them back."""
    answer = requests.post(url, data={"login": "olivia", "organisation": tenant, "decision": decision}, allow_redirects=False, timeout=10)
    assert answer.headers["Location"].startswith(config.xero_callback_url)
    return parse_qs(urlsplit(answer.headers["Location"]).query)


def signed_in(sandbox: Sandbox, config: Config) -> oauth.TokenSet:
    verifier = oauth.new_verifier()
    back = consent(config, oauth.authorise_url(config, "a state", verifier), sandbox.xero.HARBOUR)
    assert back["state"] == ["a state"]
    return oauth.exchange(make_wire(config), config, back["code"][0], verifier)


def contact_id(call: Call, name: str = "Tidewater Café Group Ltd") -> str:
    return contacts.contacts_by_name(call, name)[0].id


def make_draft(contact: str, number: str = "TB-1", **changes: Any) -> Draft:
    line = Line("Dining chair", Decimal(2), Decimal("189.1234"), "200", "OUTPUT2", "CH-OAK-01", Decimal(10))
    values = {
        "contact_id": contact,
        "date": date(2026, 11, 13),
        "due_date": date(2026, 11, 27),
        "currency": "NZD",
        "line_amount_types": "Exclusive",
        "lines": (line, Line("Delivery", Decimal(1), Decimal(65), "201", "OUTPUT2")),
        "total": Decimal("466.23"),
        "number": number,
        "reference": f"Deal {number}",
        "url": f"https://harbour.bitrix24.example/crm/type/31/details/{number or 'none'}/",
    }
    return Draft(**{**values, **changes})


def create(call: Call, *drafts: Draft, key: str = "test:1") -> tuple[Any, ...]:
    answer = call(CREATE_METHOD, "Invoices", params=WRITE_PARAMS, body=INVOICES.parcel(drafts).body, key=key)
    return documents.outcomes(answer, INVOICES.parcel(drafts).elements)


def update(call: Call, *changes: Change) -> tuple[Any, ...]:
    answer = call(UPDATE_METHOD, "Invoices", params=WRITE_PARAMS, body=INVOICES.parcel(changes).body)
    return documents.outcomes(answer, INVOICES.parcel(changes).elements)


# --- Signing in


def test_a_person_consents_and_the_organisation_of_this_consent_is_offered(sandbox: Sandbox, config: Config) -> None:
    tokens = signed_in(sandbox, config)
    assert (tokens.name, tokens.email) == ("Olivia Standard", "olivia@harbourandvine.example")
    assert tokens.xero_userid == sandbox.xero.world.identity.users["olivia"].id
    assert set(oauth.SCOPES) <= set(tokens.scopes)
    offered = oauth.connections(make_wire(config), config, tokens.access_token, tokens.auth_event_id)
    assert [(one.tenant_id, one.tenant_name) for one in offered] == [(sandbox.xero.HARBOUR, "Harbour & Vine Trading Ltd")]
    assert oauth.connections(make_wire(config), config, tokens.access_token, GONE) == ()


def test_a_code_works_once(sandbox: Sandbox, config: Config) -> None:
    verifier = oauth.new_verifier()
    code = consent(config, oauth.authorise_url(config, "s", verifier), sandbox.xero.HARBOUR)["code"][0]
    oauth.exchange(make_wire(config), config, code, verifier)
    with pytest.raises(Problem) as caught:
        oauth.exchange(make_wire(config), config, code, verifier)
    assert caught.value.code == "xero.grant_invalid"


def test_another_verifier_gets_nothing(sandbox: Sandbox, config: Config) -> None:
    code = consent(config, oauth.authorise_url(config, "s", oauth.new_verifier()), sandbox.xero.HARBOUR)["code"][0]
    with pytest.raises(Problem):
        oauth.exchange(make_wire(config), config, code, oauth.new_verifier())


def test_refresh_tokens_rotate_and_a_lost_answer_is_survived(sandbox: Sandbox, config: Config) -> None:
    wire, tokens = make_wire(config), signed_in(sandbox, config)
    sandbox.xero.controls.fail("lost", path="/connect/token")
    with pytest.raises(NoAnswer):
        oauth.refresh(wire, config, tokens.refresh_token)
    again = oauth.refresh(wire, config, tokens.refresh_token)
    assert again.refresh_token != tokens.refresh_token
    sandbox.xero.controls.clock.advance(31 * 60)
    with pytest.raises(Problem) as caught:
        oauth.refresh(wire, config, tokens.refresh_token)
    assert caught.value.code == "xero.grant_invalid"


def test_a_wrong_secret_is_our_own_fault(sandbox: Sandbox, config: Config) -> None:
    wrong = Config.from_env({**sandbox.settings.app_environment(), "XERO_CLIENT_SECRET": "wrong"}, needs=("database",))
    with pytest.raises(Problem) as caught:
        oauth.refresh(make_wire(wrong), wrong, "whatever")
    assert caught.value.code == "xero.client_invalid"


def test_disconnecting_twice_is_as_good_as_once(sandbox: Sandbox, config: Config) -> None:
    wire, tokens = make_wire(config), signed_in(sandbox, config)
    connection = oauth.connections(wire, config, tokens.access_token)[0]
    for _ in range(2):
        oauth.delete_connection(wire, config, tokens.access_token, connection.id)
    with pytest.raises(Problem) as caught:
        ledgers.accounts(Call(config, tokens.access_token, connection.tenant_id))
    assert caught.value.code == "xero.disconnected"


def test_revoking_ends_every_connection_of_that_user(sandbox: Sandbox, config: Config) -> None:
    tokens = signed_in(sandbox, config)
    oauth.revoke(make_wire(config), config, tokens.refresh_token)
    assert sandbox.xero.world.identity.connections == {}


# --- Reading


def test_the_organisation_and_its_lists_are_read(call: Call) -> None:
    found = ledgers.organisation(call)
    assert (found.name, found.country, found.base_currency, found.pays_tax) == ("Harbour & Vine Trading Ltd", "NZ", "NZD", True)
    assert found.short_code.startswith("!")
    accounts = {one.code: one for one in ledgers.accounts(call)}
    assert (accounts["200"].klass, accounts["200"].active, accounts["610"].system) == ("REVENUE", True, "DEBTORS")
    rates = {one.tax_type: one for one in ledgers.tax_rates(call)}
    assert (rates["OUTPUT2"].rate, rates["OUTPUT2"].revenue, rates["OUTPUT2"].expenses) == (15, True, False)
    assert not rates["OUTPUT"].active
    assert "NZD" in ledgers.currencies(call)
    assert ledgers.actions(call)["CreateApprovedInvoice"] is True
    assert all(one.options for one in ledgers.tracking(call))


def test_the_limits_are_seen(call: Call) -> None:
    told = seen(call("GET", "Accounts").headers)
    assert (told.minute_left, told.day_left) == (59, 4999)


def test_items_and_contacts_are_read_whole(call: Call) -> None:
    assert "CH-OAK-01" in {one.code for one in items.items(call)}
    found, pages = contacts.contacts_page(call, 1)
    assert pages == 1
    assert {one.active for one in found} == {True, False}
    assert all(one.id and one.name and one.updated_at for one in found)


@pytest.mark.parametrize("position", ["list", "304"])
def test_nothing_modified_is_nothing(sandbox: Sandbox, call: Call, position: str) -> None:
    turn(sandbox, ims_empty=position)
    later = datetime.now(UTC) + timedelta(days=1)
    assert contacts.contacts_page(call, 1, later) == ((), 0)
    assert documents.invoices_modified(call, later, 1) == ((), 0)
    assert items.items(call, later) == ()


def test_documents_are_read_by_id_and_number_with_their_lines(call: Call) -> None:
    by_number = documents.invoices_by_numbers(call, ["HV-1001", "HV-1002", "absent", "with,comma"])
    assert sorted(one.number for one in by_number) == ["HV-1001", "HV-1002"]
    by_id = documents.invoices_by_ids(call, [*(one.id for one in by_number), GONE])
    assert {one.id: one.lines for one in by_id} == {one.id: one.lines for one in by_number}
    assert all(one.lines for one in by_id)
    assert documents.invoice(call, by_id[0].id) == by_id[0]
    assert documents.invoice(call, GONE) is None


def test_the_longest_list_of_ids_fits_into_the_shortest_address(sandbox: Sandbox, call: Call) -> None:
    turn(sandbox, url_limit="2000")
    ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(100)]
    assert documents.invoices_by_ids(call, ids) == ()
    assert contacts.contacts_by_ids(call, ids) == ()
    assert documents.invoices_by_numbers(call, ["N" * 200 + str(number) for number in range(20)]) == ()


# --- Contacts and items


def make_contact(number: str, name: str, **changes: Any) -> NewContact:
    return NewContact(number, Customer(**{"kind": "company", "id": 7, "name": name, **changes}), name)


def create_contacts(call: Call, *wanted: NewContact) -> tuple[Any, ...]:
    answer = call(contacts.CREATE_METHOD, contacts.CREATE_PATH, params=contacts.CREATE_PARAMS, body=contacts.create_body(wanted))
    return contacts.outcomes(answer, wanted)


@pytest.mark.parametrize("spaces", ["collapsed", "refused"])
@pytest.mark.parametrize("order", ["kept", "shuffled"])
def test_customers_are_created_and_found_again(sandbox: Sandbox, call: Call, spaces: str, order: str) -> None:
    turn(sandbox, name_spaces=spaces, response_order=order)
    address = Address(8, "Box 1\nCentre", "", "Whangārei", "", "Northland", "0110", "New Zealand")
    phones = (("WORK", "+64 9 555 0101"), ("MOBILE", "+64 21 555 0101"))
    made = create_contacts(
        call,
        make_contact("B24-1-C1", "  New <Customer>   Ltd ", email="müller@firma.example", phones=phones, addresses=(address,), tax_number="000-901-111"),
        make_contact("B24-1-C2", "Tidewater Café Group Ltd"),
        make_contact("B24-1-C3", "Another One", email="a@b.example", first_name="An", last_name="Other"),
    )
    assert [one.ok for one in made] == [True, False, True]
    refusal = problem_of_errors(made[1].errors)
    assert (refusal.code, refusal.params["name"]) == ("xero.contact_name_taken", "Tidewater Café Group Ltd")
    found = contacts.contact_by_number(call, "B24-1-C1")
    assert found is not None
    assert (found.id, found.name, found.email, found.tax_number) == (made[0].id, "New Customer Ltd", "", "000-901-111")
    assert contacts.contact_by_number(call, "B24-1-C9") is None
    assert contacts.contacts_by_name(call, "another ONE")[0].first_name == "An"
    assert contacts.contacts_by_ids(call, [made[2].id, GONE])[0].number == "B24-1-C3"


def test_a_number_of_ours_is_ours_once(call: Call) -> None:
    create_contacts(call, make_contact("B24-1-C1", "One"))
    again = create_contacts(call, make_contact("B24-1-C1", "Two"))
    assert problem_of_errors(again[0].errors).code == "xero.contact_number_taken"


@pytest.mark.parametrize("name", ['The "Kettle" & Co #1', "Back\\slash Ltd", "O'Neill & Söhne, Inc."])
def test_difficult_names_are_found(call: Call, name: str) -> None:
    made = create_contacts(call, make_contact("B24-1-C1", name))
    assert [one.id for one in contacts.contacts_by_name(call, name)] == [made[0].id]


def test_a_merged_contact_says_where_it_went(sandbox: Sandbox, call: Call) -> None:
    made = create_contacts(call, make_contact("B24-1-C1", "Loser"), make_contact("B24-1-C2", "Winner"))
    sandbox.xero.actions.merge_contacts(sandbox.xero.HARBOUR, made[0].id, made[1].id)
    loser = contacts.contacts_by_ids(call, [made[0].id])[0]
    assert (loser.merged_to, loser.active) == (made[1].id, False)


def create_items(call: Call, *wanted: Item) -> tuple[Any, ...]:
    answer = call(items.CREATE_METHOD, items.CREATE_PATH, params=items.CREATE_PARAMS, body=items.create_body(wanted))
    return items.outcomes(answer, wanted)


@pytest.mark.parametrize("order", ["kept", "shuffled"])
def test_items_are_created_with_four_decimals(sandbox: Sandbox, call: Call, order: str) -> None:
    turn(sandbox, response_order=order)
    long = "B24-" + "7" * 40
    made = create_items(
        call,
        Item("", long, "Chair " * 20, unit_price=Decimal("0.1234"), account_code="200", tax_type="OUTPUT2"),
        Item("", "CH-OAK-01", "Dining chair"),
        Item("", "B24-8", "Bare"),
    )
    assert [one.ok for one in made] == [True, False, True]
    assert (problem_of_errors(made[1].errors).code, problem_of_errors(made[1].errors).params["item"]) == ("xero.item_exists", "CH-OAK-01")
    found = next(one for one in items.items(call) if one.id == made[0].id)
    assert (found.code, found.unit_price, found.description) == (items.fits_code(long), Decimal("0.1234"), ("Chair " * 20).strip())


@pytest.mark.parametrize("position", ["401", "403"])
def test_a_scope_that_is_missing_has_its_name(sandbox: Sandbox, call: Call, position: str) -> None:
    turn(sandbox, items_scope="settings", missing_scope=position)
    with pytest.raises(Problem) as caught:
        create_items(call, Item("", "B24-8", "Bare"))
    assert caught.value.code == "xero.scope_missing"


# --- Documents


@pytest.mark.parametrize("order", ["kept", "shuffled"])
@pytest.mark.parametrize("lines", ["kept", "reversed"])
def test_a_batch_is_judged_element_by_element(sandbox: Sandbox, call: Call, order: str, lines: str) -> None:
    turn(sandbox, response_order=order, line_order=lines)
    contact = contact_id(call)
    bad = Line("Chair", Decimal(1), Decimal(1), "999", "OUTPUT2")
    drafts = [
        make_draft(contact, "TB-1"),
        make_draft(contact, "HV-1001"),
        make_draft(contact, "", url="https://harbour.bitrix24.example/3", status="AUTHORISED"),
        make_draft(contact, "TB-4", lines=(bad,)),
        make_draft(contact, "TB-5", status="SUBMITTED"),
    ]
    made = create(call, *drafts)
    assert [one.ok for one in made] == [True, False, True, False, True]
    assert [problem_of_errors(made[place].errors).code for place in (1, 3)] == ["xero.number_taken", "xero.account_invalid"]
    assert [made[place].document.status for place in (0, 2, 4)] == ["DRAFT", "AUTHORISED", "SUBMITTED"]
    assert made[2].document.url == "https://harbour.bitrix24.example/3"
    assert made[0].document.total == drafts[0].total
    assert {one.unit_amount for one in made[0].document.lines} == {Decimal("189.1234"), Decimal(65)}


@pytest.mark.parametrize("characters", ["refused", "stripped"])
def test_texts_from_a_crm_are_accepted(sandbox: Sandbox, call: Call, characters: str) -> None:
    turn(sandbox, control_characters=characters)
    line = Line("\x0bKia ora\r\n<b>\u201cbold\u201d</b> " + "x" * 5000, Decimal(1), Decimal(1), "200", "OUTPUT2")
    made = create(call, make_draft(contact_id(call), "Счёт № 5", reference="a\x00\nb" * 200, url="https://xero-fans.example/1", lines=(line,)))
    assert made[0].ok
    assert made[0].document.number.startswith("INV")
    assert made[0].document.lines[0].description.startswith("Kia ora\n<b>\u201cbold\u201d</b> xxx")


def test_a_lost_answer_is_found_again_by_mark(sandbox: Sandbox, call: Call) -> None:
    started = datetime.now(UTC)
    draft = make_draft(contact_id(call), "", url="https://harbour.bitrix24.example/crm/31/9/")
    sandbox.xero.controls.fail("lost500", path="/Invoices", method="PUT")
    answer = call("PUT", "Invoices", params=WRITE_PARAMS, body=INVOICES.parcel([draft]).body, key="test:9")
    assert unknown_outcome(answer)
    assert problem_of(answer).code == "xero.server_error"
    found, pages = documents.invoices_modified(call, started - timedelta(minutes=5), 1, created_by_my_app=True)
    assert pages == 1
    assert [one.url for one in found] == [draft.url]
    assert found[0].lines is None


def test_the_same_bytes_and_key_create_nothing_twice(call: Call) -> None:
    draft = make_draft(contact_id(call))
    first, second = create(call, draft, key="test:7"), create(call, draft, key="test:7")
    assert first[0].id == second[0].id
    with pytest.raises(Problem) as caught:
        create(call, make_draft(draft.contact_id, "TB-8"), key="test:7")
    assert caught.value.code == "xero.key_reused"


@pytest.mark.parametrize("omitted", ["kept", "reset"])
def test_an_update_keeps_lines_and_clears_what_the_crm_took_away(sandbox: Sandbox, call: Call, omitted: str) -> None:
    turn(sandbox, line_fields_omitted=omitted)
    made = create(call, make_draft(contact_id(call)))[0]
    chair, delivery = made.document.lines
    bare = Line("Chair, plain", Decimal(3), Decimal("189.1234"), "200", "OUTPUT2", id=chair.id)
    added = Line("Assembly", Decimal(1), Decimal(10), "201", "OUTPUT2")
    changed = update(call, Change(made.id, {"line_amount_types": "Exclusive", "reference": "", "due_date": date(2026, 12, 1)}, (bare, delivery, added)))[0]
    assert changed.ok
    held = documents.invoice(call, made.id)
    assert held is not None
    assert held.lines is not None
    assert [(one.id, one.description, one.quantity, one.discount_rate, one.item_code) for one in held.lines[:1]] == [(chair.id, "Chair, plain", 3, 0, "")]
    assert (held.lines[1], len(held.lines)) == (delivery, 3)
    assert (held.reference, held.due_date, held.number) == ("", date(2026, 12, 1), "TB-1")


def test_a_status_alone_leaves_everything_else(call: Call) -> None:
    made = create(call, make_draft(contact_id(call)))[0]
    approved = update(call, Change(made.id, {"status": "AUTHORISED"}))[0]
    assert (approved.document.status, approved.document.lines) == ("AUTHORISED", made.document.lines)
    refused = update(call, Change(made.id, {"status": "DELETED"}))[0]
    assert (refused.ok, refused.id, problem_of_errors(refused.errors).code) == (False, made.id, "xero.wrong_status")
    assert documents.online_url(call, made.id).startswith("http")


@pytest.mark.parametrize("message", ["document", "status"])
def test_a_paid_document_is_said_to_be_paid(sandbox: Sandbox, call: Call, message: str) -> None:
    turn(sandbox, void_paid_message=message)
    made = create(call, make_draft(contact_id(call), status="AUTHORISED"))[0]
    sandbox.xero.pay("TB-1", "100.00")
    refused = update(call, Change(made.id, {"status": "VOIDED"}))[0]
    assert problem_of_errors(refused.errors).code == "xero.paid_or_credited"
    held = documents.invoice(call, made.id)
    assert held is not None
    assert (held.amount_paid, held.amount_due) == (Decimal(100), held.total - 100)


def test_locked_dates_and_archived_accounts_have_their_names(sandbox: Sandbox, call: Call) -> None:
    sandbox.xero.actions.lock_date(sandbox.xero.HARBOUR, period=date(2026, 11, 30))
    contact = contact_id(call)
    assert problem_of_errors(create(call, make_draft(contact))[0].errors).code == "xero.locked_period"
    sandbox.xero.actions.lock_date(sandbox.xero.HARBOUR, year=date(2026, 11, 30))
    sandbox.xero.actions.archive_account(sandbox.xero.HARBOUR, "200")
    late = make_draft(contact, date=date(2026, 12, 1), due_date=date(2026, 12, 1))
    archived = problem_of_errors(create(call, late, key="test:2")[0].errors)
    assert (archived.code, archived.params["account"]) == ("xero.account_archived", "200")
    assert ledgers.organisation(call).year_lock == date(2026, 11, 30)


@pytest.mark.parametrize("position", ["element", "404"])
def test_an_unknown_contact_stops_its_document_or_the_call_but_nothing_silently(sandbox: Sandbox, call: Call, position: str) -> None:
    turn(sandbox, unknown_contact_in_batch=position)
    draft = make_draft(GONE)
    if position == "404":
        with pytest.raises(Problem, match=r"xero\.not_found"):
            create(call, draft)
    else:
        assert (create(call, draft)[0].ok, create(call, draft)[0].errors != ()) == (False, True)


# --- Refusals


def test_an_expired_token_is_told_from_a_bad_one(sandbox: Sandbox, call: Call, config: Config) -> None:
    assert problem_of(Call(config, "nonsense", sandbox.xero.HARBOUR)("GET", "Accounts")).code == "xero.token_invalid"
    sandbox.xero.controls.clock.advance(31 * 60)
    assert problem_of(call("GET", "Accounts")).code == "xero.token_expired"


def test_another_organisation_is_not_reached(sandbox: Sandbox, call: Call, config: Config) -> None:
    token = sandbox.xero.tokens()["access_token"]
    with pytest.raises(Problem) as caught:
        ledgers.organisation(Call(config, token, sandbox.xero.BOB))
    assert caught.value.code == "xero.disconnected"


def test_the_minute_limit_says_how_long(sandbox: Sandbox, call: Call) -> None:
    sandbox.xero.actions.leave(sandbox.xero.HARBOUR, minute=0)
    problem = problem_of(call("GET", "Accounts"))
    assert problem.code == "xero.limit_minute"
    assert 0 <= problem.retry.seconds <= 60


def test_an_organisation_that_is_offline_is_named(sandbox: Sandbox, call: Call) -> None:
    sandbox.xero.actions.organisation_set(sandbox.xero.HARBOUR, offline=True)
    assert problem_of(call("GET", "Accounts")).code == "xero.organisation_offline"


def test_a_page_instead_of_an_answer_leaves_the_outcome_open(sandbox: Sandbox, call: Call) -> None:
    sandbox.xero.controls.fail("html", path="/Invoices")
    answer = call("PUT", "Invoices", params=WRITE_PARAMS, body=INVOICES.parcel([make_draft(GONE)]).body)
    assert unknown_outcome(answer)


# --- Webhooks


def test_a_message_signed_by_the_other_side_is_believed() -> None:
    from sandbox.xero.webhooks import sign

    raw = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"X"}'
    assert webhooks.verify(raw, sign("the-key", raw), ("another", "the-key"))
    assert not webhooks.verify(raw + b" ", sign("the-key", raw), ("the-key",))
