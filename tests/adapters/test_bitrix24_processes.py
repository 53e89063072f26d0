"""Smart processes: which suit bills, how one is made, and the stages of the pipeline in which items begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from plugin.bitrix24 import bringing, kinds, processes
from plugin.bitrix24.fields import names
from plugin.domain.problems import Problem
from tests.adapters.bitrix24_calls import Refusal, ScriptedPortal


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def kind(type_id: int, id_: int, title: str, **options: str) -> dict[str, Any]:
    return {"id": id_, "entityTypeId": type_id, "title": title, **dict.fromkeys(processes.NEEDED, "Y"), **options}


def test_only_one_with_everything_a_bill_needs_suits(mock: responses.RequestsMock) -> None:
    told = [kind(1040, 17, "b"), kind(1030, 13, "A"), *(kind(1050 + number, 20 + number, name, **{name: "N"}) for number, name in enumerate(processes.NEEDED))]
    found = processes.processes(ScriptedPortal({"crm.type.list": lambda _: {"types": told}}).attach(mock))
    assert [(one.type_id, one.id, one.title) for one in found if one.suits] == [(1030, 13, "A"), (1040, 17, "b")]
    assert len(found) == 6


def test_who_may_not_list_them_is_told(mock: responses.RequestsMock) -> None:
    def refused(_: dict[str, Any]) -> Any:
        raise Refusal("ACCESS_DENIED")

    with pytest.raises(Problem) as raised:
        processes.processes(ScriptedPortal({"crm.type.list": refused}).attach(mock))
    assert raised.value.code == "bitrix24.access_denied"


def test_one_is_made_with_what_a_bill_needs(mock: responses.RequestsMock) -> None:
    asked: list[dict[str, Any]] = []

    def made(params: dict[str, Any]) -> Any:
        asked.append(params["fields"])
        return {"type": {**params["fields"], "id": 13, "entityTypeId": 1030}}

    found = processes.make(ScriptedPortal({"crm.type.add": made}).attach(mock), "Supplier bills")
    assert (found.type_id, found.id, found.suits) == (1030, 13, True)
    assert {name: asked[0][name] for name in processes.NEEDED} == dict.fromkeys(processes.NEEDED, "Y")
    assert asked[0]["isSetOpenPermissions"] == "N"


def test_an_answer_without_the_process_is_no_process(mock: responses.RequestsMock) -> None:
    assert not processes.make(ScriptedPortal({"crm.type.add": lambda _: True}).attach(mock), "Bills").type_id


def statuses(params: dict[str, Any]) -> list[dict[str, Any]]:
    entity = params["filter"]["ENTITY_ID"]
    prefix = "DT1030_" + entity.rpartition("_")[2]
    assert entity.startswith("DYNAMIC_1030_STAGE_")
    meanings = (("NEW", None), ("PREPARATION", "P"), ("SUCCESS", "S"), ("FAIL", "F"))
    return [{"ID": str(700 + number), "STATUS_ID": f"{prefix}:{code}", "SORT": str(number), "SEMANTICS": one} for number, (code, one) in enumerate(meanings)]


FIELDS = {"fields": {"title": {"type": "string"}, "stageId": {"type": "crm_status", "statusType": "DYNAMIC_1030_STAGE_9"}}}


def test_stages_are_those_of_the_pipeline_where_items_begin(mock: responses.RequestsMock) -> None:
    stages = processes.stages(ScriptedPortal({"crm.item.fields": lambda _: FIELDS, "crm.status.list": statuses}).attach(mock), 1030)
    assert [(one.id, one.semantics, one.kind) for one in stages] == [
        ("DT1030_9:NEW", "", "bill"),
        ("DT1030_9:PREPARATION", "", "bill"),
        ("DT1030_9:SUCCESS", "S", "bill"),
        ("DT1030_9:FAIL", "F", "bill"),
    ]


def test_stages_get_names_by_their_meaning_and_a_refusal_costs_one_name(mock: responses.RequestsMock) -> None:
    given: dict[int, str] = {}

    def rename(params: dict[str, Any]) -> Any:
        if params["fields"]["NAME"] == "Paid":
            raise Refusal("ACCESS_DENIED")
        given[int(params["id"])] = params["fields"]["NAME"]
        return True

    answers = {"crm.item.fields": lambda _: FIELDS, "crm.status.list": statuses, "crm.status.update": rename}
    processes.name_stages(ScriptedPortal(answers).attach(mock), 1030, ("Draft", "Awaiting approval", "Awaiting payment"), "Paid", "Voided")
    assert given == {700: "Draft", 701: "Awaiting approval", 703: "Voided"}


def test_rows_go_by_the_type_and_fields_by_the_id() -> None:
    bills = kinds.process(1030, 13)
    assert (bills.owner_type, bills.field_entity, bills.card(5)) == ("T406", "CRM_13", "/crm/type/1030/details/5/")
    assert "UF_CRM_13_XERO_DUE" in names(bills)
    assert kinds.process(128, 7).owner_type == "T80"


def test_a_portal_without_the_type_supplier_gets_its_companies_all_the_same(mock: responses.RequestsMock) -> None:
    """Types of companies are a list that a portal may change."""
    asked: list[dict[str, Any]] = []

    def imported(params: dict[str, Any]) -> Any:
        asked.append(params["fields"])
        if "typeId" in params["fields"]:
            raise Refusal("CRM_FIELD_ERROR_VALUE_NOT_VALID")
        return {"item": {"id": 7}}

    wanted = [bringing.NewCustomer("a", "company", "Cork & Co", supplier=True), bringing.NewCustomer("b", "company", "Kauri")]
    made = bringing.import_customers(ScriptedPortal({"crm.item.import": imported}).attach(mock), wanted)
    assert made == {"a": 7, "b": 7}
    assert [one.get("typeId", "") for one in asked] == ["SUPPLIER", "", ""]
