"""Installation, events, placements, robots and notifications against B§1, B§5, B§6, B§8.9 and B§10."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.bitrix24 import NotInstalled
from sandbox.bitrix24.automation import Binding
from tests.sandbox.bitrix24_served import Served

UPDATE = "ONCRMDYNAMICITEMUPDATE_31"


def bind(served: Served, event: str = UPDATE, token: str = "", **more: object) -> None:
    assert served.call("event.bind", {"event": event, "handler": f"{served.settings.app_url}/bitrix24/events", **more}, token).status == 200


def test_the_opening_post_has_the_documented_shape(served: Served) -> None:
    opening = served.installed()
    query = parse_qs(urlsplit(opening.url).query)
    assert opening.url.startswith(f"{served.settings.app_url}/bitrix24/app?")
    assert query == {"DOMAIN": [served.harbour.domain], "PROTOCOL": ["0"], "LANG": ["en"], "APP_SID": [opening.sid]}
    expected = {
        "AUTH_ID",
        "AUTH_EXPIRES",
        "REFRESH_ID",
        "SERVER_ENDPOINT",
        "APPLICATION_TOKEN",
        "APPLICATION_SCOPE",
        "member_id",
        "status",
        "PLACEMENT",
        "PLACEMENT_OPTIONS",
    }
    assert set(opening.fields) == expected
    assert opening.frame_name == f"{served.harbour.domain}|0|{opening.sid}"


def test_a_self_hosted_portal_sends_the_old_opening_post(served: Served) -> None:
    opening = served.installed("onpremise")
    assert not {"SERVER_ENDPOINT", "APPLICATION_TOKEN", "APPLICATION_SCOPE"} & set(opening.fields)
    assert "operating" not in served.call("server.time", portal="onpremise").body["time"]


def test_before_the_installer_has_finished(served: Served) -> None:
    portal = served.harbour
    with pytest.raises(NotInstalled):
        portal.open_app(1)
    portal.install(1)
    opening = portal.open_app(1)
    token = opening.fields["AUTH_ID"]
    assert opening.url.startswith(f"{served.settings.app_url}/bitrix24/install?")
    assert served.call("app.info", token=token).result["INSTALLED"] is False
    with pytest.raises(NotInstalled):
        portal.open_app(2)
    bind(served, token=token)
    portal.change_invoice(1, title="Quiet")
    assert served.heard_events(UPDATE) == []
    portal.finish_install(1)
    portal.change_invoice(1, title="Loud")
    assert len(served.heard_events(UPDATE)) == 1
    assert portal.open_app(2).url.startswith(f"{served.settings.app_url}/bitrix24/app?")


@pytest.mark.parametrize(("position", "before", "after"), [("with_opening", 1, 1), ("after_finish", 0, 1), ("never", 0, 0)])
def test_onappinstall_comes_early_late_or_never(served: Served, position: str, before: int, after: int) -> None:
    served.switch("install_event_order", position)
    served.harbour.install(1)
    assert len(served.heard_events("ONAPPINSTALL")) == before
    served.harbour.finish_install(1)
    heard = served.heard_events("ONAPPINSTALL")
    assert len(heard) == after
    for one in heard:
        assert {"access_token", "refresh_token", "application_token", "member_id", "domain", "client_endpoint", "server_endpoint"} <= set(one["auth"])
        assert set(one["data"]) == {"VERSION", "ACTIVE", "INSTALLED", "LANGUAGE_ID"}


def test_an_event_tells_the_id_and_who_and_nothing_else(served: Served) -> None:
    served.installed()
    bind(served)
    served.harbour.change_invoice(7, user=4, title="By Tama")
    (one,) = served.heard_events(UPDATE)
    assert one["data"] == {"FIELDS": {"ID": "7", "ENTITY_TYPE_ID": "31"}}
    assert served.trusted(one["auth"]["access_token"]).result["user_id"] == 4
    assert "refresh_token" not in one["auth"]
    assert served.harbour.installation is not None
    assert one["auth"]["application_token"] == served.harbour.installation.application_token
    served.harbour.change_invoice(7, robot=True, title="By a robot")
    assert "access_token" not in served.heard_events(UPDATE)[1]["auth"]


def test_whose_token_comes_with_auth_type(served: Served) -> None:
    served.installed()
    bind(served, auth_type=4)
    for position, user in (("auth_type", 4), ("acting", 1)):
        served.switch("event_auth_type_token", position)
        served.harbour.change_invoice(7, title=position)
        assert served.trusted(served.heard_events(UPDATE)[-1]["auth"]["access_token"]).result["user_id"] == user
    served.switch("event_auth_type_token", "none")
    served.harbour.change_invoice(7, title="none")
    assert "access_token" not in served.heard_events(UPDATE)[-1]["auth"]


@pytest.mark.parametrize(("position", "same_total", "other_total"), [("when_total_changes", 0, 1), ("always", 1, 1), ("twice", 2, 2), ("never", 0, 0)])
def test_rows_and_the_owners_update(served: Served, position: str, same_total: int, other_total: int) -> None:
    served.installed()
    bind(served)
    served.switch("rows_fire_update", position)
    rows = [{"productName": "A", "price": 10, "quantity": 1}]
    served.harbour.change_invoice(1, rows)
    served.heard_events(UPDATE)
    served.heard.events.clear()
    served.harbour.change_invoice(1, [{**rows[0], "productName": "B"}])
    assert len(served.heard_events(UPDATE)) == same_total
    served.heard.events.clear()
    served.harbour.change_invoice(1, [{**rows[0], "price": 20}])
    assert len(served.heard_events(UPDATE)) == other_total


def test_levers_on_the_way(served: Served) -> None:
    served.installed()
    bind(served)
    delivery = served.bitrix24.delivery
    delivery.flush()
    delivery.drop(1)
    served.harbour.change_invoice(1, title="lost")
    delivery.hold()
    served.harbour.change_invoice(1, title="held")
    assert delivery.waiting() == 1
    assert served.heard.named(UPDATE) == []
    delivery.release()
    assert len(served.heard_events(UPDATE)) == 1
    delivery.duplicate()
    served.harbour.change_invoice(1, title="twice")
    assert len(served.heard_events(UPDATE)) == 3


@pytest.mark.parametrize(("position", "in_order"), [("kept", True), ("shuffled", False)])
def test_the_order_of_events_may_be_lost(served: Served, position: str, in_order: bool) -> None:
    served.installed()
    bind(served)
    served.switch("event_order", position)
    served.bitrix24.delivery.hold()
    for number in range(1, 31):
        served.harbour.change_invoice(number, title="Probe")
    served.bitrix24.delivery.release()
    ids = [int(one["data"]["FIELDS"]["ID"]) for one in served.heard_events(UPDATE)]
    assert sorted(ids) == list(range(1, 31))
    assert (ids == sorted(ids)) is in_order


def test_the_catalogue_of_events(served: Served) -> None:
    served.installed()
    wanted = ["ONCRMDYNAMICITEMADD", "ONCRMDYNAMICITEMDELETE", "ONCRMQUOTEUPDATE", "ONCRMCOMPANYUPDATE", "ONCRMREQUISITEUPDATE", "ONCRMADDRESSREGISTER"]
    for event in [*wanted, "ONCRMCURRENCYADD", "CATALOG.PRODUCT.ON.ADD", "CATALOG.PRICE.ON.UPDATE"]:
        bind(served, event)
    invoice = served.harbour.add_invoice([{"productName": "x", "price": 1}], companyId=3)
    served.harbour.delete_invoice(invoice)
    served.harbour.change_item(7, 1, title="Estimate")
    served.call("crm.requisite.update", {"id": 3, "fields": {"RQ_VAT_ID": "1"}})
    served.call("crm.address.update", {"fields": {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": 3, "CITY": "Napier"}})
    served.call("crm.currency.add", {"fields": {"CURRENCY": "USD", "AMOUNT": 1.6}})
    product = served.call("catalog.product.add", {"fields": {"iblockId": 15, "name": "New"}}).result["element"]["id"]
    price = served.call("catalog.price.add", {"fields": {"productId": product, "catalogGroupId": 2, "price": 5, "currency": "NZD"}}).result["price"]["id"]
    served.call("catalog.price.update", {"id": price, "fields": {"price": 6}})
    served.bitrix24.delivery.flush()
    assert {one["event"] for one in served.heard.events if "event" in one} >= {
        *wanted,
        "ONCRMCURRENCYADD",
        "CATALOG.PRODUCT.ON.ADD",
        "CATALOG.PRICE.ON.UPDATE",
    } - {"ONCRMCOMPANYUPDATE"}
    assert served.heard.named("ONCRMCOMPANYUPDATE") == []
    assert served.heard.named("ONCRMADDRESSREGISTER")[0]["data"]["FIELDS"]["ANCHOR_ID"] == "3"


def test_binding_has_rules(served: Served) -> None:
    sam = served.token_of(2)
    bind(served)
    handler = f"{served.settings.app_url}/bitrix24/events"
    assert served.call("event.bind", {"event": UPDATE, "handler": handler}).error == "ERROR_CORE"
    assert served.call("event.bind", {"event": "ONNOTHING", "handler": handler}).error == "ERROR_EVENT_NOT_FOUND"
    assert served.call("event.bind", {"event": UPDATE, "handler": "https://elsewhere.example/x"}).error == "ERROR_WRONG_HANDLER_URL"
    assert served.call("event.bind", {"event": UPDATE, "event_type": "offline"}, sam).status == 403
    assert served.call("event.bind", {"event": UPDATE, "handler": handler, "auth_type": 1}, sam).status == 403
    served.switch("dynamic_event_names", "base_only")
    assert served.call("event.bind", {"event": "ONCRMDYNAMICITEMADD_31", "handler": handler}).error == "ERROR_EVENT_NOT_FOUND"
    assert served.call("event.unbind", {"event": UPDATE, "handler": handler}).result == {"count": 1}


def test_offline_events_keep_the_latest_of_each_object(served: Served) -> None:
    served.call("event.bind", {"event": UPDATE, "event_type": "offline"})
    for title in ("a", "b"):
        served.harbour.change_invoice(1, title=title)
    served.harbour.change_invoice(2, title="c")
    reserved = served.call("event.offline.get", {"clear": 0}).result
    assert [one["EVENT_DATA"]["FIELDS"]["ID"] for one in reserved["events"]] == [1, 2]
    assert served.call("event.offline.get", {"clear": 0}).result["events"] == []
    assert served.call("event.offline.clear", {"process_id": reserved["process_id"]}).result is True
    assert served.call("event.offline.list").result == []


def test_an_update_takes_the_handlers_and_may_change_the_token(served: Served) -> None:
    served.installed()
    bind(served)
    app = served.harbour.installation
    assert app is not None
    token = app.application_token
    served.switch("update_changes_application_token", "yes")
    served.harbour.update_app()
    (one,) = served.heard_events("ONAPPUPDATE")
    assert one["data"] == {"VERSION": "2", "PREVIOUS_VERSION": "1", "LANGUAGE_ID": "en"}
    assert one["auth"]["application_token"] != token
    assert served.call("event.get").result == []
    assert served.harbour.open_app(1).url.startswith(f"{served.settings.app_url}/bitrix24/install?")


@pytest.mark.parametrize(("clean", "told"), [(False, "0"), (True, "1")])
def test_uninstall_tells_without_tokens(served: Served, clean: bool, told: str) -> None:
    served.installed()
    served.call("app.option.set", {"options": {"kept": "yes"}})
    served.harbour.uninstall(clean)
    (one,) = served.heard_events("ONAPPUNINSTALL")
    assert one["data"]["CLEAN"] == told
    assert set(one["auth"]) == {"domain", "server_endpoint", "client_endpoint", "member_id", "application_token"}
    assert bool(served.harbour.app_options) is not clean


def test_placements_have_their_exact_codes_and_refuse_under_200(served: Served) -> None:
    handler = f"{served.settings.app_url}/bitrix24/placement"
    offered = served.call("placement.list").result
    assert "CRM_SMART_INVOICE_LIST_TOOLBAR" in offered
    assert not [code for code in offered if code.startswith(("CRM_DYNAMIC_31", "CRM_INVOICE"))]
    missing = served.call("placement.bind", {"PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB"})
    assert (missing.status, missing.error, missing.body["argument"]) == (200, "ERROR_ARGUMENT", "HANDLER")
    served.call("placement.bind", {"PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB", "HANDLER": handler, "LANG_ALL": {"en": {"TITLE": "Xero"}}})
    assert served.call("placement.bind", {"PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB", "HANDLER": handler}).error == "ERROR_CORE"
    assert served.call("placement.get").result[0]["langAll"]["en"]["TITLE"] == "Xero"
    assert served.call("placement.get", token=served.token_of(2)).status == 403
    opening = served.harbour.open_app(2, "CRM_SMART_INVOICE_DETAIL_TAB", {"ID": 12})
    assert opening.url.startswith(f"{handler}?")
    assert '"ID": "12"' in opening.fields["PLACEMENT_OPTIONS"]


def test_a_robot_is_called_and_answers_once(served: Served) -> None:
    robot = {"CODE": "to_xero", "HANDLER": f"{served.settings.app_url}/bitrix24/robot", "NAME": {"en": "To Xero"}, "USE_SUBSCRIPTION": "Y", "AUTH_USER_ID": 1}
    assert served.call("bizproc.robot.add", robot).result is True
    assert served.call("bizproc.robot.add", robot).error == "ERROR_ACTIVITY_ALREADY_INSTALLED"
    assert served.call("bizproc.robot.list").result == ["to_xero"]
    served.harbour.automation.add_rule(31, served.harbour.stage_id("S"), "to_xero", {"mode": "draft"})
    served.harbour.set_stage(60, "Sent to customer")
    (one,) = served.heard_events("to_xero")
    assert one["document_id"][2] == "SMART_INVOICE_60"
    assert one["properties"] == {"mode": "draft"}
    answer = {"event_token": one["event_token"], "return_values": {"number": "INV-1"}}
    assert served.call("bizproc.event.send", answer).result is True
    assert served.call("bizproc.event.send", answer).status == 403


def test_rules_behind_a_waiting_robot_use_its_results(served: Served) -> None:
    robot = {"CODE": "r", "HANDLER": f"{served.settings.app_url}/bitrix24/robot", "NAME": "R", "RETURN_PROPERTIES": {"number": {"Name": "Number"}}}
    invoices = {"INCLUDE": [list(served.harbour.document_type(31))]}
    served.call("bizproc.robot.add", {**robot, "FILTER": invoices})
    stage, automation = served.harbour.stage_id("S"), served.harbour.automation
    with pytest.raises(ValueError, match="not offered"):
        automation.add_rule(7, served.harbour.stage_id("SENT", 7), "r")
    automation.add_rule(31, stage, "r")
    automation.add_rule(31, stage, comment="It is {{number}}{{secret}}.")
    served.harbour.set_stage(60, "Sent to customer")
    assert [one.state for one in automation.runs] == ["waiting"]
    assert served.harbour.timeline_of(60) == []
    values = {"number": "INV-1", "secret": "undeclared"}
    assert served.call("bizproc.event.send", {"event_token": automation.runs[0].token, "return_values": values}).result is True
    assert [one["text"] for one in served.harbour.timeline_of(60)] == ["It is INV-1."]


def test_triggers_have_errors_without_codes(served: Served) -> None:
    name = {"CODE": "paid", "NAME": "Paid"}
    assert served.call("crm.automation.trigger.add", name, served.token_of(2)).status == 403
    assert served.call("crm.automation.trigger.add", {"CODE": "p ä", "NAME": "x"}).error == ""
    assert served.call("crm.automation.trigger.add", {"CODE": "paid"}).body["error_description"] == "Empty trigger name!"
    assert served.call("crm.automation.trigger.add", name).result is True
    assert served.call("crm.automation.trigger.list").result == [{"NAME": "Paid", "CODE": "paid"}]
    fire = {"CODE": "paid", "OWNER_TYPE_ID": 31, "OWNER_ID": 60}
    assert "not registered" in served.call("crm.automation.trigger.execute", {**fire, "CODE": "other"}).body["error_description"]
    assert served.call("crm.automation.trigger.execute", {**fire, "OWNER_TYPE_ID": 99}).body["error_description"] == "Incorrect parameter OWNER_TYPE_ID."
    assert served.call("crm.automation.trigger.execute", {**fire, "OWNER_ID": 99999}).result is True
    stages = list(served.harbour.stages(31))
    served.harbour.automation.bindings.append(Binding("paid", 31, stages[2]))
    served.harbour.set_stage(60, stages[0])
    assert served.call("crm.automation.trigger.execute", fire).result is True
    assert served.harbour.invoices[60]["stageId"] == stages[2]
    served.harbour.set_stage(60, stages[3])
    assert served.call("crm.automation.trigger.execute", fire).result is True
    assert served.harbour.invoices[60]["stageId"] == stages[3]


def test_notes_and_notifications(served: Served) -> None:
    log = {"entityTypeId": 31, "entityId": 1, "title": "Sent", "text": "INV-1", "iconCode": "info"}
    assert served.call("crm.timeline.logmessage.add", {"fields": log}).result["logMessage"]["title"] == "Sent"
    assert served.call("crm.timeline.logmessage.add", {"fields": log}, served.token_of(3)).error == "ACCESS_DENIED"
    assert served.call("crm.timeline.logmessage.add", {"fields": {**log, "entityId": 9999}}).error == "OWNER_NOT_FOUND"
    comment = {"ENTITY_ID": 1, "ENTITY_TYPE": "dynamic_31", "COMMENT": "hello"}
    assert served.call("crm.timeline.comment.add", {"fields": comment}).status == 400
    served.switch("timeline_comment_entity", "dynamic_31")
    assert served.call("crm.timeline.comment.add", {"fields": comment}).status == 200
    assert [one["kind"] for one in served.harbour.timeline_of(1)] == ["log", "comment"]
    for text in ("one", "two"):
        assert served.call("im.notify.system.add", {"USER_ID": 1, "MESSAGE": text, "TAG": "T"}).result
    assert [one["message"] for one in served.harbour.notifications] == ["two"]
    assert served.call("im.notify.system.add", {"USER_ID": 77, "MESSAGE": "x"}).result is False


def test_catalogue_rights_and_shapes(served: Served) -> None:
    sam = served.token_of(2)
    ask = {"select": ["id", "iblockId", "name"], "filter": {"iblockId": 15}}
    assert served.call("catalog.product.list", ask, sam).body["total"] == 40
    assert served.call("catalog.product.list", {**ask, "filter": {"iblockId": 15, "@id": [101]}}).status == 400
    assert len(served.call("catalog.product.list", {**ask, "filter": {"iblockId": 15, "id": [101, 102]}}).result["products"]) == 2
    for method in ("catalog.catalog.list", "catalog.vat.list", "catalog.section.list"):
        refused = served.call(method, token=sam)
        assert refused.status == 403
    assert len(served.call("catalog.vat.list").result["vats"]) == 4
    served.switch("catalog_list_shape", "top_level")
    assert len(served.call("catalog.vat.list").body["vats"]) == 4


def test_another_portal_has_other_people_and_other_keys(served: Served) -> None:
    assert served.call("profile", portal="stranger").result["NAME"] == "Bob"
    portals = served.bitrix24.portals.values()
    assert len({one.member_id for one in portals}) == len({one.invoice_category for one in portals}) == 5


def test_a_fault_loses_the_answer_and_not_the_work(served: Served) -> None:
    token = served.token_of(1)
    served.bitrix24.controls.fail("lost500", path="crm.item.update")
    assert served.call("crm.item.update", {"entityTypeId": 31, "id": 1, "fields": {"title": "done"}}, token).status == 500
    assert served.harbour.invoices[1]["title"] == "done"
    seen = served.bitrix24.controls.calls[-1]
    assert (seen.fault, seen.detail["portal"], seen.detail["method"], seen.detail["user"]) == ("lost500", "harbour", "crm.item.update", 1)


def test_levers_over_http(served: Served) -> None:
    served.installed()
    base = f"{served.harbour.url}/_sandbox"
    act = served.session.post(f"{base}/act", json={"act": "add_invoice", "fields": {"title": "By lever"}, "rows": [{"productName": "x", "price": 2}]}).json()
    told = served.session.get(f"{base}/state").json()
    assert next(one for one in told["invoices"] if one["id"] == act["done"])["opportunity"] == 2
    opening = served.session.get(f"{base}/open", params={"user": 2, "placement": "DEFAULT"}).json()
    assert served.trusted(opening["fields"]["AUTH_ID"]).result["user_id"] == 2
    assert served.session.post(f"{base}/act", json={"act": "nonsense"}).status_code == 400
    served.session.post(f"{base}/act", json={"act": "take_rights", "user": 2})
    assert served.call("crm.item.list", {"entityTypeId": 31}, served.token_of(2)).result["items"] == []
    served.session.post(f"{base}/reset")
    assert served.harbour.installation is None
