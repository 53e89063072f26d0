"""Every open fact has a switch, and every position of every switch answers differently."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.bitrix24.switches import FACTS
from tests.sandbox.bitrix24_served import Served

Probe = Callable[[Served], Any]
INVOICE = {"entityTypeId": 31}
UPDATE = "ONCRMDYNAMICITEMUPDATE_31"
FIELD = {"entityId": "CRM_SMART_INVOICE", "fieldName": "UF_CRM_SMART_INVOICE_PROBE", "userTypeId": "string"}

#: Proved in another file of this folder, or only visible in the browser.
ELSEWHERE = {
    "oauth_token_verb", "oauth_client_mismatch", "oauth_previous_refresh", "app_removed_error", "update_changes_application_token", "install_event_order",
    "dynamic_event_names", "rows_fire_update", "event_auth_type_token", "rows_array_rights", "zero_tax_float", "timeline_comment_entity", "catalog_list_shape",
    "batch_unresolved", "batch_over_length", "old_invoices_answer", "limits", "account_number_writable", "company_list_includes_mine", "event_order",
}  # fmt: skip


def handler(served: Served, path: str = "events") -> str:
    return f"{served.settings.app_url}/bitrix24/{path}"


def heard(served: Served, event: str, act: Callable[[], object]) -> list[dict[str, Any]]:
    """What arrives when this is done."""
    served.call("event.bind", {"event": event, "handler": handler(served)})
    served.bitrix24.delivery.flush()
    served.heard.events.clear()
    act()
    served.bitrix24.delivery.flush()
    return [one for one in served.heard.events if one.get("event", "").upper() == event]


def twice_the_same_type(served: Served) -> Any:
    served.harbour.add_process("Bills", entity_type_id=150)
    return served.call("crm.type.add", {"fields": {"title": "Bills again", "entityTypeId": 150}}).error


def pipelines_of_a_process(served: Served) -> Any:
    return served.call("crm.category.list", {"entityTypeId": served.harbour.add_process("Bills")["entityTypeId"]}).status


def refused_refresh(served: Served) -> Any:
    served.installed()
    return served.oauth(grant_type="refresh_token", refresh_token="nonsense").status


def code_answer(served: Served) -> Any:
    served.installed()
    return sorted(served.oauth(grant_type="authorization_code", code=served.bitrix24.tokens.issue_code(served.harbour.member_id, 1)).body)


def refresh_after_uninstall(served: Served) -> Any:
    refresh = served.installed().fields["REFRESH_ID"]
    served.harbour.uninstall()
    return served.oauth(grant_type="refresh_token", refresh_token=refresh).error


def trusted_in_wizard(served: Served) -> Any:
    served.harbour.install(1)
    return served.trusted(served.harbour.open_app(1).fields["AUTH_ID"]).result["install"]["installed"]


def expired_code(served: Served) -> Any:
    token = served.installed().fields["AUTH_ID"]
    served.bitrix24.controls.clock.advance(3700)
    return served.call("profile", token=token).error


def scope_refusal(served: Served) -> Any:
    served.token_of(1)
    assert served.harbour.installation is not None
    served.harbour.installation.scopes = ("crm",)
    return served.call("placement.list").status


def admin_refusal(served: Served) -> Any:
    answer = served.call("placement.get", token=served.token_of(2))
    return answer.status, answer.error


def deleted_status(served: Served) -> Any:
    token = served.token_of(1)
    served.harbour.troubles.add("deleted")
    return served.call("profile", token=token).status


def waiting_status(served: Served) -> Any:
    served.harbour.confirm_methods["crm.item.list"] = None
    return served.call("crm.item.list", INVOICE).status


def fields_after_uninstall(served: Served) -> Any:
    served.call("userfieldconfig.add", {"moduleId": "crm", "field": FIELD})
    served.harbour.uninstall(clean=True)
    return len(served.harbour.user_fields)


def robots_after_reinstall(served: Served) -> Any:
    served.call("bizproc.robot.add", {"CODE": "r", "HANDLER": handler(served, "robot"), "NAME": "R"})
    served.harbour.uninstall()
    return served.call("bizproc.robot.list").result


def answer_after_a_move(served: Served) -> Any:
    served.call("bizproc.robot.add", {"CODE": "r", "HANDLER": handler(served, "robot"), "NAME": "R"})
    served.harbour.automation.add_rule(31, served.harbour.stage_id("S"), "r")
    served.harbour.set_stage(60, "Sent to customer")
    token = served.harbour.automation.runs[0].token
    served.harbour.set_stage(60, "Overdue")
    return served.call("bizproc.event.send", {"event_token": token, "return_values": {}}).status


def places_after_update(served: Served) -> Any:
    served.call("placement.bind", {"PLACEMENT": "LEFT_MENU", "HANDLER": handler(served, "placement")})
    served.harbour.update_app()
    return len(served.call("placement.get").result)


def opened_after_update(served: Served) -> Any:
    served.installed()
    served.harbour.update_app()
    return served.harbour.open_app(1).url.partition("?")[0]


def event_body(served: Served) -> Any:
    (one,) = heard(served, UPDATE, lambda: served.harbour.change_invoice(1, title="Probe"))
    return sorted(one), sorted(one["auth"]), one["auth"]["scope"]


def payment_body(served: Served) -> Any:
    served.installed()
    served.harbour.payment_event()
    (one,) = served.heard_events("ONAPPPAYMENT")
    return one["data"]["STATUS"], "application_token" in one["auth"]


def requisite_name(served: Served) -> Any:
    return heard(served, "ONCRMREQUISITEUPDATE", lambda: served.call("crm.requisite.update", {"id": 3, "fields": {"RQ_EMAIL": "a@b.example"}}))[0]["event"]


def company_events(served: Served) -> Any:
    return len(heard(served, "ONCRMCOMPANYUPDATE", lambda: served.call("crm.requisite.update", {"id": 3, "fields": {"RQ_EMAIL": "a@b.example"}})))


def events_of_six_changes(served: Served) -> Any:
    return len(heard(served, UPDATE, lambda: [served.harbour.change_invoice(1, title=str(number)) for number in range(6)]))


def offline_data(served: Served) -> Any:
    served.call("event.bind", {"event": UPDATE, "event_type": "offline"})
    served.harbour.change_invoice(1, title="Probe")
    return json.dumps(served.call("event.offline.get").result["events"][0]["EVENT_DATA"])


def offline_reserve(served: Served) -> Any:
    return served.call("feature.get", {"CODE": "rest_offline_extended"}).result["value"], served.call("event.offline.get", {"clear": 0}).status


def connector(served: Served) -> Any:
    return served.call("event.bind", {"event": UPDATE, "event_type": "offline", "auth_connector": "key"}).status


def shown_place(served: Served) -> Any:
    served.call("placement.bind", {"PLACEMENT": "LEFT_MENU", "HANDLER": handler(served, "placement")})
    return sorted(served.call("placement.get").result[0])


def new_card(served: Served) -> Any:
    served.call("placement.bind", {"PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB", "HANDLER": handler(served, "placement")})
    page = served.session.get(f"{served.harbour.url}/crm/type/31/details/0/").text
    return page.partition("data-app-mount")[2].partition("data-options='")[2].partition("'")[0]


def host_facts(served: Served) -> Any:
    return served.session.get(f"{served.harbour.url}/face/api/host").text


def written_date(served: Served) -> Any:
    return served.call("crm.item.get", {**INVOICE, "id": 1}).result["item"]["begindate"][11:]


def no_company(served: Served) -> Any:
    return json.dumps(served.call("crm.item.get", {**INVOICE, "id": 57}).result["item"]["companyId"])


def doubled_number(served: Served) -> Any:
    return served.call("crm.item.update", {**INVOICE, "id": 5, "fields": {"accountNumber": "HV-1001"}}).status


def semantics(served: Served) -> Any:
    return str(served.call("crm.status.list", {"filter": {"STATUS_ID": "DT31_3:N"}}).result[0]["SEMANTICS"])


def refused_finish(served: Served) -> Any:
    served.harbour.users[1].may_finish = False
    return served.call("crm.item.update", {**INVOICE, "id": 1, "fields": {"stageId": "DT31_3:P"}}).error


def row_ids(served: Served) -> Any:
    before = [row["id"] for row in served.harbour.rows(1)]
    rows = [{"productName": "a", "price": 1}, {"productName": "b", "price": 2}]
    return [row["id"] for row in served.call("crm.item.productrow.set", {"ownerType": "SI", "ownerId": 1, "productRows": rows}).result["productRows"]] == before


def addresses(served: Served) -> Any:
    return served.call("crm.address.list", {"filter": {"ANCHOR_TYPE_ID": 4, "@ANCHOR_ID": [3]}}).body["total"]


def custom_fields(served: Served) -> Any:
    served.call("userfieldconfig.add", {"moduleId": "crm", "field": FIELD})
    served.call("userfieldconfig.add", {"moduleId": "crm", "field": {**FIELD, "entityId": "CRM_QUOTE", "fieldName": "UF_CRM_QUOTE_PROBE"}})
    answer = served.call("userfieldconfig.list", {"moduleId": "crm", "filter": {"entityId": "CRM_SMART_INVOICE"}})
    return answer.status, answer.body.get("total")


def after_comment(served: Served) -> Any:
    before = served.harbour.invoices[5]["updatedTime"]
    served.call("crm.timeline.comment.add", {"fields": {"ENTITY_ID": 5, "ENTITY_TYPE": "smart_invoice", "COMMENT": "x"}})
    return served.harbour.invoices[5]["updatedTime"] == before


def stage_after_payment(served: Served) -> Any:
    payment = served.call("crm.item.payment.add", {"entityId": 2, "entityTypeId": 31}).result
    served.call("crm.item.payment.pay", {"id": payment})
    return served.harbour.invoices[2]["stageId"]


def products_since_tomorrow(served: Served) -> Any:
    ask = {"select": ["id", "iblockId"], "filter": {"iblockId": 15, ">timestampX": "2100-01-01T00:00:00+00:00"}}
    return served.call("catalog.product.list", ask).body["total"]


def robot_calls(served: Served) -> Any:
    served.call("bizproc.robot.add", {"CODE": "r", "HANDLER": handler(served, "robot"), "NAME": "R"})
    served.harbour.call_robot("r", 31, 1)
    return len(served.heard_events("r"))


PROBES: dict[str, Probe] = {
    "oauth_error_status": refused_refresh,
    "oauth_code_extras": code_answer,
    "oauth_uninstalled": refresh_after_uninstall,
    "trusted_installed_before_finish": trusted_in_wizard,
    "unknown_token_error": lambda served: served.call("profile", token="garbage").error,
    "error_case": expired_code,
    "insufficient_scope_status": scope_refusal,
    "admin_refusal": admin_refusal,
    "portal_deleted_status": deleted_status,
    "method_confirm_status": waiting_status,
    "uninstall_removes_userfields": fields_after_uninstall,
    "uninstall_removes_robots": robots_after_reinstall,
    "placements_survive_update": places_after_update,
    "update_runs_installer": opened_after_update,
    "event_auth_extras": event_body,
    "event_scope_separator": event_body,
    "event_handler_id": event_body,
    "payment_event": payment_body,
    "event_name_case": requisite_name,
    "requisite_fires_company": company_events,
    "event_duplicates": events_of_six_changes,
    "offline_event_data": offline_data,
    "offline_extended": offline_reserve,
    "auth_connector": connector,
    "placement_get_id": shown_place,
    "placement_options_uri": lambda served: served.installed().fields["PLACEMENT_OPTIONS"],
    "creation_form_id": new_card,
    "open_path_quote": host_facts,
    "open_path_invoice": host_facts,
    "host_age": host_facts,
    "date_fields_out": written_date,
    "no_link_value": no_company,
    "account_number_duplicates": doubled_number,
    "stage_semantics_progress": semantics,
    "stage_refusal_code": refused_finish,
    "rows_set_ids": row_ids,
    "address_anchor_in": addresses,
    "userfield_filter_entity": custom_fields,
    "comment_bumps_updated": after_comment,
    "currency_list_right": lambda served: served.call("crm.currency.list", token=served.token_of(2)).status,
    "payment_moves_stage": stage_after_payment,
    "catalog_timestamp_filter": products_since_tomorrow,
    "list_total": lambda served: served.call("crm.item.list", INVOICE).body["total"],
    "honorific_entity": lambda served: len(served.call("crm.status.list", {"filter": {"ENTITY_ID": "HONORIFIC"}}).result),
    "robot_delivery": robot_calls,
    "stage_change_stops_rules": answer_after_a_move,
    "smart_processes": lambda served: served.call("crm.type.add", {"fields": {"title": "Bills"}}).body.get("error"),
    "process_without_title": lambda served: served.call("crm.type.add", {"fields": {"isStagesEnabled": "Y"}}).error,
    "process_id_taken": twice_the_same_type,
    "process_category_list": pipelines_of_a_process,
    "status_error_code": lambda served: served.call("crm.status.update", {"id": 99999, "fields": {"NAME": "x"}}).error,
}


def test_every_switch_is_proved_somewhere() -> None:
    assert {name for name, _, _ in FACTS} == set(PROBES) | ELSEWHERE


@pytest.mark.parametrize("name", sorted(PROBES))
def test_every_position_answers_differently(running: Served, name: str) -> None:
    positions = next(one[1] for one in FACTS if one[0] == name)
    answers = []
    for position in positions:
        running.reset()
        running.switch(name, position)
        answers.append(json.dumps(PROBES[name](running), default=str))
    assert len(set(answers)) == len(positions), dict(zip(positions, answers, strict=True))
