"""What a portal is made of, and what the app hangs into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import responses

from plugin.bitrix24.events import INVOICE_EVENTS
from plugin.bitrix24.fields import ensure_fields, names
from plugin.bitrix24.kinds import INVOICE, QUOTE
from plugin.bitrix24.people import log_line, notify, user_names
from plugin.bitrix24.placements import PLACES, ensure_installed, event_names
from plugin.bitrix24.stages import currencies, pipelines, portal_facts, quote_stages, sellers, tax_rates
from plugin.domain.problems import Problem
from tests.adapters.bitrix24_calls import Listed, Refusal, ScriptedPortal

URL = "https://app.example"


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def refuse(code: str) -> Callable[[dict[str, Any]], Any]:
    def method(_: dict[str, Any]) -> Any:
        raise Refusal(code)

    return method


# --- Facts


def statuses(params: dict[str, Any]) -> list[dict[str, Any]]:
    category = params["filter"]["ENTITY_ID"].removeprefix("SMART_INVOICE_STAGE_")
    return [
        {"STATUS_ID": f"DT31_{category}:N", "NAME": "New", "SORT": "10", "SYSTEM": "Y", "COLOR": "#fff", "SEMANTICS": None},
        {"STATUS_ID": f"DT31_{category}:UC_1", "NAME": "Checked", "SORT": "20", "SYSTEM": "N", "COLOR": None, "SEMANTICS": "P"},
        {"STATUS_ID": f"DT31_{category}:P", "NAME": "Paid", "SORT": "30", "SYSTEM": "Y", "COLOR": "#0f0", "SEMANTICS": "S"},
    ]


def test_every_pipeline_is_read_in_two_requests(mock: responses.RequestsMock) -> None:
    categories = {"categories": [{"id": 12, "name": "Second", "sort": 200}, {"id": 11, "name": "First", "sort": 100}]}
    portal = ScriptedPortal({"crm.category.list": lambda _: categories, "crm.status.list": statuses})
    stages = pipelines(portal.attach(mock))
    assert [(one.id, one.semantics, one.category_name) for one in stages[:4]] == [
        ("DT31_11:N", "", "First"),
        ("DT31_11:UC_1", "", "First"),
        ("DT31_11:P", "S", "First"),
        ("DT31_12:N", "", "Second"),
    ]
    assert (stages[1].system, stages[1].color, stages[1].sort, len(portal.requests)) == (False, "", 20, 2)


def test_quotes_have_one_pipeline_whose_meaning_may_stand_aside(mock: responses.RequestsMock) -> None:
    rows = [
        {"ENTITY_ID": "QUOTE_STATUS", "STATUS_ID": "DRAFT", "NAME": "Draft", "SORT": "10", "SYSTEM": "Y", "SEMANTICS": None, "EXTRA": {"COLOR": "#39a8ef"}},
        {"ENTITY_ID": "QUOTE_STATUS", "STATUS_ID": "APPROVED", "NAME": "Won", "SORT": "20", "SEMANTICS": "S", "EXTRA": {"SEMANTICS": "success"}},
        {"ENTITY_ID": "QUOTE_STATUS", "STATUS_ID": "DECLAINED", "NAME": "Lost", "SORT": "30", "EXTRA": {"SEMANTICS": "failure"}},
        {"ENTITY_ID": "SOURCE", "STATUS_ID": "CALL", "NAME": "Call", "SORT": "40"},
    ]
    stages = quote_stages(ScriptedPortal({"crm.status.list": lambda _: rows}).attach(mock))
    assert [(one.id, one.semantics, one.kind) for one in stages] == [("DRAFT", "", "quote"), ("APPROVED", "S", "quote"), ("DECLAINED", "F", "quote")]
    assert stages[0].color == "#39a8ef"


def test_a_portal_without_quotes_is_no_problem(mock: responses.RequestsMock) -> None:
    assert quote_stages(ScriptedPortal({"crm.status.list": refuse("ACCESS_DENIED")}).attach(mock)) == ()


@pytest.mark.parametrize("answer", [lambda _: {"categories": []}, refuse("NOT_FOUND"), refuse("ENTITY_TYPE_NOT_SUPPORTED")])
def test_a_portal_without_smart_invoices_says_so(mock: responses.RequestsMock, answer: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(Problem) as raised:
        pipelines(ScriptedPortal({"crm.category.list": answer}).attach(mock))
    assert raised.value.code == "bitrix24.no_smart_invoices"


def test_missing_rights_are_not_taken_for_missing_invoices(mock: responses.RequestsMock) -> None:
    with pytest.raises(Problem) as raised:
        pipelines(ScriptedPortal({"crm.category.list": refuse("ACCESS_DENIED")}).attach(mock))
    assert raised.value.code == "bitrix24.access_denied"


def test_currencies_fall_back_to_the_base_one(mock: responses.RequestsMock) -> None:
    listed = [{"CURRENCY": "NZD", "FULL_NAME": "Dollar", "BASE": "Y", "DECIMALS": "2"}, {"CURRENCY": "JPY", "FULL_NAME": "Yen", "BASE": "N", "DECIMALS": "0"}]
    portal = ScriptedPortal({"crm.currency.list": lambda _: listed, "crm.currency.base.get": lambda _: "NZD"})
    rest = portal.attach(mock)
    assert [(one.code, one.base, one.decimals) for one in currencies(rest)] == [("NZD", True, 2), ("JPY", False, 0)]
    portal.methods["crm.currency.list"] = refuse("ACCESS_DENIED")
    assert [(one.code, one.base) for one in currencies(rest)] == [("NZD", True)]


def test_sellers_are_asked_for_explicitly(mock: responses.RequestsMock) -> None:
    portal = ScriptedPortal({"crm.item.list": lambda _: {"items": [{"id": 1, "title": "Harbour & Vine"}]}})
    assert sellers(portal.attach(mock)) == ((1, "Harbour & Vine"),)
    assert portal.inner[0][1]["filter"] == {"isMyCompany": "Y"}


def test_no_vat_is_kept_apart_from_zero(mock: responses.RequestsMock) -> None:
    vats = [
        {"name": "GST", "rate": 15, "active": "Y"},
        {"name": "Zero", "rate": 0, "active": "Y"},
        {"name": "None", "rate": None, "active": "Y"},
        {"name": "Old", "rate": 12, "active": "N"},
    ]
    portal = ScriptedPortal({"catalog.vat.list": lambda _: {"vats": vats}, "crm.vat.list": refuse("X")})
    assert tax_rates(portal.attach(mock)) == (("GST", Decimal(15)), ("Zero", Decimal(0)), ("None", None))


@pytest.mark.parametrize("refusal", ["ACCESS_DENIED", "insufficient_scope", "200040300010"])
def test_rates_are_told_by_the_old_method_too(mock: responses.RequestsMock, refusal: str) -> None:
    old = [{"NAME": "GST", "RATE": "15.00", "ACTIVE": "Y"}, {"NAME": "None", "RATE": None, "ACTIVE": "Y"}]
    portal = ScriptedPortal({"catalog.vat.list": refuse(refusal), "crm.vat.list": lambda _: old})
    assert tax_rates(portal.attach(mock)) == (("GST", Decimal(15)), ("None", None))


def test_facts_come_in_one_request_and_lack_what_is_refused(mock: responses.RequestsMock) -> None:
    info = {"INSTALLED": True, "VERSION": 3, "STATUS": "F", "PAYMENT_EXPIRED": "N", "LANGUAGE_ID": "de"}
    answers: dict[str, Any] = {"server.time": "2026-08-21T10:00:00+12:00", "app.info": info, "scope": ["crm", "im"]}
    portal = ScriptedPortal({name: (lambda _, value=value: value) for name, value in answers.items()} | {"crm.currency.base.get": refuse("ACCESS_DENIED")})
    facts = portal_facts(portal.attach(mock))
    assert (facts.utc_offset, facts.installed, facts.version, facts.scopes) == (timedelta(hours=12), True, "3", frozenset({"crm", "im"}))
    assert (facts.base_currency, set(facts.lacking), len(portal.requests)) == ("", {"crm.currency.base.get"}, 1)


# --- Installation


class Installing(ScriptedPortal):
    """Keeps what is hung into it."""

    def __init__(self, listed: tuple[str, ...] = ()) -> None:
        names = (
            "userfieldconfig.list",
            "userfieldconfig.add",
            "events",
            "event.get",
            "event.bind",
            "event.unbind",
            "placement.list",
            "placement.get",
            "placement.bind",
            "placement.unbind",
        )
        super().__init__({name: getattr(self, name.replace(".", "_")) for name in names})
        self.fields: list[dict[str, Any]] = [{"fieldName": "UF_CRM_DEAL_X", "entityId": "CRM_DEAL"}] * 60
        self.handlers: list[dict[str, Any]] = []
        self.places: list[dict[str, Any]] = []
        self.listed = listed or (*INVOICE_EVENTS, "ONCRMCOMPANYUPDATE", "ONAPPUNINSTALL")
        self.offered: tuple[str, ...] = tuple(PLACES)

    def userfieldconfig_list(self, params: dict[str, Any]) -> Listed:
        start = int(params["start"])
        return Listed({"fields": self.fields[start : start + 50]}, len(self.fields), start + 50 if start + 50 < len(self.fields) else None)

    def userfieldconfig_add(self, params: dict[str, Any]) -> dict[str, Any]:
        self.fields.append(params["field"])
        return {"field": params["field"]}

    def events(self, params: dict[str, Any]) -> tuple[str, ...]:
        return self.listed

    def event_get(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return self.handlers

    def event_bind(self, params: dict[str, Any]) -> bool:
        if (params["event"], params["handler"]) in [(one["event"], one["handler"]) for one in self.handlers]:
            raise Refusal("ERROR_CORE", "Unable to set event handler")
        self.handlers.append({"event": params["event"], "handler": params["handler"], "offline": 0})
        return True

    def event_unbind(self, params: dict[str, Any]) -> dict[str, int]:
        self.handlers = [one for one in self.handlers if (one["event"], one["handler"]) != (params["event"], params["handler"])]
        return {"count": 1}

    def placement_list(self, params: dict[str, Any]) -> tuple[str, ...]:
        return self.offered

    def placement_get(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return self.places

    def placement_bind(self, params: dict[str, Any]) -> bool:
        self.places.append({"placement": params["PLACEMENT"], "handler": params["HANDLER"]})
        return True

    def placement_unbind(self, params: dict[str, Any]) -> dict[str, int]:
        self.places = [one for one in self.places if one["handler"] != params["HANDLER"]]
        return {"count": 1}


def test_an_installation_adds_what_is_missing_and_the_second_one_nothing(mock: responses.RequestsMock) -> None:
    portal = Installing()
    rest = portal.attach(mock)
    first = ensure_installed(rest, URL, "en")
    assert set(first.added) == {*names(INVOICE), *names(QUOTE), *PLACES, *INVOICE_EVENTS, "ONCRMCOMPANYUPDATE", "ONAPPUNINSTALL"}
    assert not portal.asked("bizproc.robot.add")
    assert {one["handler"] for one in portal.handlers} == {f"{URL}/bitrix24/events"}
    assert {one["handler"] for one in portal.places} == {f"{URL}/bitrix24/placement"}
    second = ensure_installed(rest, URL, "en")
    assert (second.added, second.removed, second.problems) == ((), (), {})


def test_handlers_at_a_former_address_are_removed_and_strangers_left(mock: responses.RequestsMock) -> None:
    portal = Installing()
    portal.handlers = [
        {"event": "ONCRMCOMPANYUPDATE", "handler": "https://old.example/bitrix24/events", "offline": 0},
        {"event": "ONCRMDEALUPDATE", "handler": "https://old.example/bitrix24/events", "offline": 0},
        {"event": "ONCRMCOMPANYUPDATE", "handler": "", "offline": 1},
    ]
    portal.places = [{"placement": "CRM_SMART_INVOICE_LIST_MENU", "handler": "https://old.example/bitrix24/placement"}]
    installed = ensure_installed(portal.attach(mock), URL, "en")
    assert len(installed.removed) == 2
    assert {"event": "ONCRMDEALUPDATE", "handler": "https://old.example/bitrix24/events", "offline": 0} in portal.handlers
    assert {one["handler"] for one in portal.places} == {f"{URL}/bitrix24/placement"}


def test_invoices_are_bound_by_their_own_names_where_the_portal_lists_them(mock: responses.RequestsMock) -> None:
    own = tuple(f"{name}_31" for name in INVOICE_EVENTS)
    assert event_names({*own, *INVOICE_EVENTS}) == own
    assert event_names({*own[:2], *INVOICE_EVENTS}) == INVOICE_EVENTS
    portal = Installing((*own, *INVOICE_EVENTS))
    portal.handlers = [{"event": INVOICE_EVENTS[0], "handler": f"{URL}/bitrix24/events", "offline": 0}]
    ensure_installed(portal.attach(mock), URL, "en")
    assert sorted(one["event"] for one in portal.handlers) == sorted(own)


def test_what_a_portal_does_not_offer_is_left_out_and_named(mock: responses.RequestsMock) -> None:
    portal = Installing()
    portal.offered = ("CRM_SMART_INVOICE_LIST_MENU",)
    installed = ensure_installed(portal.attach(mock), URL, "en")
    assert set(installed.absent) == set(PLACES) - {"CRM_SMART_INVOICE_LIST_MENU"}
    assert installed.problems == {}


def test_a_refused_part_does_not_stop_the_rest(mock: responses.RequestsMock) -> None:
    portal = Installing()
    portal.methods |= {"userfieldconfig.list": refuse("ACCESS_DENIED"), "placement.get": refuse("ACCESS_DENIED"), "event.bind": refuse("ERROR_CORE")}
    installed = ensure_installed(portal.attach(mock), URL, "en")
    assert installed.added == ()
    assert {"userfieldconfig", "places", *INVOICE_EVENTS} <= set(installed.problems)


def test_methods_that_no_batch_takes_are_called_alone(mock: responses.RequestsMock) -> None:
    portal = Installing()
    bind = portal.methods["placement.bind"]

    def only_alone(params: dict[str, Any]) -> Any:
        if portal.requests[-1][0] == "batch":
            raise Refusal("ERROR_BATCH_METHOD_NOT_ALLOWED")
        return bind(params)

    portal.methods["placement.bind"] = only_alone
    installed = ensure_installed(portal.attach(mock), URL, "en")
    assert {one["placement"] for one in portal.places} == set(PLACES)
    assert installed.problems == {}


def test_the_rule_is_registered_once_and_brought_up_to_date_after_that(mock: responses.RequestsMock) -> None:
    portal = Installing()
    robots: list[str] = []
    portal.methods |= {
        "bizproc.robot.list": lambda _: robots,
        "bizproc.robot.add": lambda params: bool(robots.append(params["CODE"])) or True,
        "bizproc.robot.update": lambda _: True,
        "crm.automation.trigger.list": lambda _: [],
        "crm.automation.trigger.add": lambda _: True,
    }
    rest = portal.attach(mock)
    assert {"robot", "trigger"} <= set(ensure_installed(rest, URL, "de").added)
    (added,) = portal.asked("bizproc.robot.add")
    assert (added["HANDLER"], added["USE_SUBSCRIPTION"], set(added["RETURN_PROPERTIES"])) == (
        f"{URL}/bitrix24/robot",
        "Y",
        {"number", "status", "link", "problem"},
    )
    assert portal.asked("crm.automation.trigger.add")[0]["NAME"] == "Rechnung in Xero bezahlt"
    ensure_installed(rest, "https://new.example", "de")
    (changed,) = portal.asked("bizproc.robot.update")
    assert (changed["CODE"], changed["FIELDS"]["HANDLER"]) == (added["CODE"], "https://new.example/bitrix24/robot")


def test_without_its_scope_the_rule_is_named_and_the_rest_goes_on(mock: responses.RequestsMock) -> None:
    portal = Installing()
    portal.methods |= {"bizproc.robot.list": refuse("insufficient_scope"), "crm.automation.trigger.list": refuse("ACCESS_DENIED")}
    installed = ensure_installed(portal.attach(mock), URL, "en")
    assert {name: one.code for name, one in installed.problems.items()} == {"robots": "robot.scope_missing", "triggers": "bitrix24.access_denied"}
    assert {one["placement"] for one in portal.places} == set(PLACES)


def test_titles_come_in_the_languages_of_the_portal(mock: responses.RequestsMock) -> None:
    portal = Installing()
    ensure_installed(portal.attach(mock), URL, "de")
    menu = next(params for params in portal.asked("placement.bind") if params["PLACEMENT"].endswith("LIST_MENU"))
    assert menu["TITLE"] == menu["LANG_ALL"]["de"]["TITLE"] == "In Xero anlegen / bearbeiten"
    assert menu["LANG_ALL"]["en"]["TITLE"] == "Create / Edit on Xero"


@pytest.mark.parametrize("refusal", ["", "INVALID_ARG_VALUE"])
def test_fields_are_found_where_the_list_refuses_to_filter(mock: responses.RequestsMock, refusal: str) -> None:
    portal = Installing()
    portal.fields.append({"fieldName": names(INVOICE)[0], "entityId": "CRM_SMART_INVOICE"})
    listing = portal.methods["userfieldconfig.list"]

    def picky(params: dict[str, Any]) -> Any:
        if "filter" in params:
            raise Refusal(refusal)
        return listing(params)

    portal.methods["userfieldconfig.list"] = picky
    added, problems = ensure_fields(portal.attach(mock), INVOICE)
    assert (added, problems) == (names(INVOICE)[1:], {})


def test_field_names_fit_and_labels_are_words() -> None:
    assert all(len(name) <= 50 for name in names(INVOICE))


# --- People


def test_a_notification_carries_its_tag(mock: responses.RequestsMock) -> None:
    portal = ScriptedPortal({"im.notify.system.add": lambda _: 17})
    assert notify(portal.attach(mock), 7, "3 of 3 invoices exported", "batch-7")
    assert portal.inner[0][1] == {"USER_ID": 7, "MESSAGE": "3 of 3 invoices exported", "TAG": "batch-7"}


def test_a_line_in_the_history(mock: responses.RequestsMock) -> None:
    portal = ScriptedPortal({"crm.timeline.logmessage.add": lambda _: {"logMessage": {"id": 1}}})
    log_line(portal.attach(mock), 31, 12, "Xero", "Sent")
    assert portal.inner[0][1]["fields"] == {"entityTypeId": 31, "entityId": 12, "title": "Xero", "text": "Sent", "iconCode": "info"}


def test_names_are_told_where_the_scope_permits(mock: responses.RequestsMock) -> None:
    portal = ScriptedPortal({"user.get": lambda _: [{"ID": "7", "NAME": "Ann", "LAST_NAME": "Lee"}]})
    rest = portal.attach(mock)
    assert user_names(rest, [7, 7, 8]) == {7: "Ann Lee"}
    assert user_names(rest, []) == {}
    portal.methods["user.get"] = refuse("insufficient_scope")
    with pytest.raises(Problem, match=r"bitrix24\.scope_missing"):
        user_names(rest, [7])
