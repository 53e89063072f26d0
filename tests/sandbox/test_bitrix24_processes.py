"""Smart processes: types that a portal defines for itself, and their items, stages, rows, fields and events."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.bitrix24.processes import OPTIONS
from tests.sandbox.bitrix24_served import Served

ROW = {"productName": "Coffee beans", "price": 23, "quantity": 2, "taxRate": 15, "taxIncluded": "Y"}
FOR_BILLS = {f"is{name}Enabled": "Y" for name in ("Stages", "Client", "LinkWithProducts", "BeginCloseDates", "Mycompany")}


def bills(served: Served, **options: bool) -> dict[str, Any]:
    return served.harbour.add_process("Bills", **options)


def add(served: Served, type_id: int, token: str = "", **fields: Any) -> Any:
    return served.call("crm.item.add", {"entityTypeId": type_id, "fields": fields}, token)


class TestTypes:
    """crm.type.*"""

    def test_a_new_type_is_told_with_both_ids_its_options_and_its_relations(self, served: Served) -> None:
        made = served.call("crm.type.add", {"fields": {"title": "Bills", **FOR_BILLS}}).result["type"]
        assert (made["id"], made["entityTypeId"], made["title"], made["createdBy"]) == (13, 1030, "Bills", 1)
        assert {name for name in OPTIONS if made[name] == "Y"} == {*FOR_BILLS, "isSetOpenPermissions"}
        assert (made["isPaymentsEnabled"], made["isCountersEnabled"]) == ("N", "N")
        assert made["relations"] == {
            "parent": [{"entityTypeId": one, "isChildrenListEnabled": "Y", "isPredefined": "Y"} for one in (3, 4)],
            "child": [],
        }
        assert (set(made["linkedUserFields"].values()), made["customSections"], made["customSectionId"], "code" in made) == ({"N"}, [], None, False)

    def test_the_second_gets_the_next_even_number_and_another_id(self, served: Served) -> None:
        types = [served.call("crm.type.add", {"fields": {"title": title}}).result["type"] for title in ("One", "Two")]
        assert [(one["id"], one["entityTypeId"]) for one in types] == [(13, 1030), (14, 1032)]
        assert {types[0][name] for name in OPTIONS if name != "isSetOpenPermissions"} == {"N"}

    @pytest.mark.parametrize(
        ("wanted", "allowed"), [(128, True), (177, True), (192, True), (193, False), (127, False), (31, False), (1029, False), (1031, False)]
    )
    def test_the_entity_type_id_lies_in_its_two_ranges(self, served: Served, wanted: int, allowed: bool) -> None:
        answer = served.call("crm.type.add", {"fields": {"title": "Bills", "entityTypeId": wanted}})
        if allowed:
            assert answer.result["type"]["entityTypeId"] == wanted
        else:
            assert (answer.status, answer.error, answer.body["error_description"]) == (400, "INVALID_ARG_VALUE", "entityTypeId is out of allowed range")

    def test_what_is_missing_taken_or_not_paid_for_is_refused(self, served: Served) -> None:
        bills(served)
        assert served.call("crm.type.add", {}).error == "100"
        assert served.call("crm.type.add", {"fields": {"isStagesEnabled": "Y"}}).error == "BX_EMPTY_REQUIRED"
        assert served.call("crm.type.add", {"fields": {"title": "Again", "entityTypeId": 1030}}).error == "INVALID_ARG_VALUE"
        assert served.call("crm.type.add", {"fields": {"title": "Out", "isExternal": "true"}}).error == 0
        served.switch("smart_processes", "restricted")
        assert served.call("crm.type.add", {"fields": {"title": "One too many"}}).error == "CREATE_DYNAMIC_TYPE_RESTRICTED"
        assert list(served.harbour.processes) == [1030]

    def test_only_administrators_list_and_make_types_but_readers_may_read_one(self, served: Served) -> None:
        made, vera, sam = bills(served), served.token_of(3), served.token_of(2)
        for method, params in (("crm.type.list", {}), ("crm.type.add", {"fields": {"title": "Mine"}})):
            answer = served.call(method, params, vera)
            assert (answer.status, answer.error) == (400, "ACCESS_DENIED")
        assert served.call("crm.type.get", {"id": made["id"]}, vera).result["type"]["title"] == "Bills"
        served.harbour.users[2].rights[made["entityTypeId"]] = {}
        assert served.call("crm.type.getByEntityTypeId", {"entityTypeId": made["entityTypeId"]}, sam).error == "ACCESS_DENIED"

    def test_one_id_does_not_stand_for_the_other(self, served: Served) -> None:
        made = bills(served)
        by_id = served.call("crm.type.get", {"id": made["id"]}).result["type"]
        assert by_id == served.call("crm.type.getByEntityTypeId", {"entityTypeId": made["entityTypeId"]}).result["type"]
        assert (by_id["code"], by_id["customSectionId"], len(by_id["relations"]["parent"])) == ("", None, 2)
        wrong = served.call("crm.type.get", {"id": made["entityTypeId"]})
        assert (wrong.status, wrong.error, wrong.body["error_description"]) == (400, 0, "SPA not found")
        wrong = served.call("crm.type.getByEntityTypeId", {"entityTypeId": made["id"]})
        assert (wrong.status, wrong.error, wrong.body["error_description"]) == (400, 0, "Smart process not found")

    def test_the_list_has_pages_filters_and_orders(self, served: Served) -> None:
        for number in range(52):
            served.harbour.add_process(f"Process {number}", isStagesEnabled=number == 7)
        first = served.call("crm.type.list", {})
        assert (len(first.result["types"]), first.body["next"], first.body["total"]) == (50, 50, 52)
        assert [one["title"] for one in served.call("crm.type.list", {"start": 50}).result["types"]] == ["Process 50", "Process 51"]
        assert not {"relations", "linkedUserFields", "customSections"} & set(first.result["types"][0])
        assert first.result["types"][0]["code"] == ""

        def titles(**params: Any) -> list[str]:
            return [one["title"] for one in served.call("crm.type.list", params).result["types"]]

        assert titles(filter={"title": "process 7"}) == ["Process 7"]
        assert titles(filter={"isStagesEnabled": "Y"}) == ["Process 7"]
        assert titles(filter={"@entityTypeId": [1030, 1032]}, order={"id": "DESC"}) == ["Process 1", "Process 0"]
        assert titles(filter={"id": 13}) == ["Process 0"]

    @pytest.mark.parametrize(
        "params", [{"filter": {"relations": 1}}, {"filter": {"id": "x"}}, {"order": {"nonsense": "ASC"}}, {"order": {"id": "UPWARDS"}}], ids=str
    )
    def test_the_list_refuses_what_it_does_not_know(self, served: Served, params: dict[str, Any]) -> None:
        bills(served)
        assert served.call("crm.type.list", params).error == "INVALID_ARG_VALUE"


class TestItems:
    """crm.item.* of a smart process."""

    def test_the_fields_follow_the_options(self, served: Served) -> None:
        bare = served.harbour.add_process("Bare", **dict.fromkeys(FOR_BILLS, False))["entityTypeId"]
        full = served.harbour.add_process("Full", **dict.fromkeys(OPTIONS, True))["entityTypeId"]

        def names(type_id: int) -> set[str]:
            return set(served.call("crm.item.fields", {"entityTypeId": type_id}).result["fields"])

        always = {"id", "entityTypeId", "title", "xmlId", "createdTime", "updatedTime", "createdBy", "updatedBy", "assignedById", "opened", "webformId"}
        assert names(bare) == always | {"categoryId", "lastActivityBy", "lastActivityTime"}
        more = {"begindate", "closedate", "companyId", "contactId", "contactIds", "observers", "stageId", "previousStageId", "movedBy", "movedTime"}
        assert names(full) - names(bare) == more | {
            *("sourceId", "sourceDescription", "currencyId", "isManualOpportunity", "opportunity", "taxValue", "mycompanyId"),
        }
        told = served.call("crm.item.fields", {"entityTypeId": full}).result["fields"]
        assert told["stageId"]["statusType"] == served.harbour.stage_entity(full)

    def test_fields_that_the_type_lacks_are_lost_silently(self, served: Served) -> None:
        type_id = bills(served, isClientEnabled=False)["entityTypeId"]
        item = add(served, type_id, companyId=3, accountNumber="B-1", comments="x", title="Beans").result["item"]
        assert (item["title"], {"companyId", "accountNumber", "comments"} & set(item)) == ("Beans", set())

    def test_a_new_item_has_the_documented_defaults(self, served: Served) -> None:
        type_id = bills(served)["entityTypeId"]
        item = add(served, type_id, xmlId="key").result["item"]
        stored = served.harbour.items(type_id)[item["id"]]
        assert (item["title"], item["entityTypeId"], item["assignedById"], item["opened"]) == ("Bills #1", type_id, 1, "Y")
        assert (item["stageId"], item["categoryId"]) == (served.harbour.process_stage(type_id, "NEW"), served.harbour.category_of(type_id))
        assert (stored["closedate"] - stored["begindate"]).days == 7
        assert (item["currencyId"], item["isManualOpportunity"], item["opportunity"], item["taxValue"], item["mycompanyId"]) == ("NZD", "N", None, None, 1)
        assert served.call("crm.item.list", {"entityTypeId": type_id, "select": ["id"], "filter": {"=xmlId": "key"}}).result["items"] == [{"id": 1}]

    def test_items_are_changed_deleted_and_imported(self, served: Served) -> None:
        type_id = bills(served)["entityTypeId"]
        base = {"entityTypeId": type_id}
        one = served.call("crm.item.import", {**base, "fields": {"title": "Imported", "createdTime": "2024-05-01T10:00:00+00:00"}}).result["item"]["id"]
        assert served.harbour.items(type_id)[one]["createdTime"].year == 2024
        assert served.call("crm.item.batchImport", {**base, "data": [{"title": "Two"}]}).result["items"] == [{"item": {"id": 2}}]
        stage = served.harbour.process_stage(type_id, "Success")
        changed = served.call("crm.item.update", {**base, "id": 2, "fields": {"contactIds": [2, 1], "stageId": stage}}).result["item"]
        assert (changed["contactId"], changed["stageId"], changed["previousStageId"]) == (2, stage, served.harbour.process_stage(type_id, "NEW"))
        assert served.call("crm.item.update", {**base, "id": 2, "fields": {"stageId": "DT31_3:N"}}).error == "CRM_FIELD_ERROR_VALUE_NOT_VALID"
        assert served.call("crm.item.delete", {**base, "id": 2}).result == []
        assert served.call("crm.item.get", {**base, "id": 2}).error == "NOT_FOUND"

    def test_an_unknown_type_is_refused_and_so_is_the_id_instead_of_the_entity_type_id(self, served: Served) -> None:
        made = bills(served)
        for wrong in (1032, made["id"]):
            answer = served.call("crm.item.list", {"entityTypeId": wrong})
            assert (answer.status, answer.error) == (400, "NOT_FOUND")

    def test_rights_are_those_of_any_other_item(self, served: Served) -> None:
        type_id, sam, vera = bills(served)["entityTypeId"], served.token_of(2), served.token_of(3)
        add(served, type_id)
        assert served.call("crm.item.get", {"entityTypeId": type_id, "id": 1}, sam).error == "ACCESS_DENIED"
        assert add(served, type_id, vera).error == "ACCESS_DENIED"
        assert add(served, type_id, sam).result["item"]["assignedById"] == 2
        assert [one["id"] for one in served.call("crm.item.list", {"entityTypeId": type_id}, sam).result["items"]] == [2]

    def test_one_that_is_not_open_to_all_is_for_administrators_until_they_give_rights(self, served: Served) -> None:
        closed = {"title": "Bills", **FOR_BILLS, "isSetOpenPermissions": "N"}
        type_id, vera = served.call("crm.type.add", {"fields": closed}).result["type"]["entityTypeId"], served.token_of(3)
        add(served, type_id)
        asked = {"entityTypeId": type_id}
        assert served.call("crm.item.list", asked).result["items"]
        assert not (served.call("crm.item.list", asked, vera).result or {}).get("items")
        assert served.call("crm.item.get", {**asked, "id": 1}, vera).error == "ACCESS_DENIED"
        del served.harbour.users[3].rights[type_id]
        assert served.call("crm.item.get", {**asked, "id": 1}, vera).result["item"]["id"] == 1

    def test_a_parent_that_was_bound_has_its_field(self, served: Served) -> None:
        relations = {"parent": [{"entityTypeId": 2, "isChildrenListEnabled": "true"}]}
        type_id = served.call("crm.type.add", {"fields": {"title": "Bills", "relations": relations}}).result["type"]["entityTypeId"]
        assert add(served, type_id, parentId2=5, parentId7=5).result["item"]["parentId2"] == 5
        assert "parentId7" not in served.harbour.items(type_id)[1]


class TestStages:
    """crm.category.list, crm.status.*"""

    def test_one_pipeline_with_five_stages(self, served: Served) -> None:
        type_id = bills(served)["entityTypeId"]
        [category] = served.call("crm.category.list", {"entityTypeId": type_id}).result["categories"]
        assert (category["entityTypeId"], category["isDefault"]) == (type_id, "Y")
        assert category["id"] not in (type_id, 13)
        entity = f"DYNAMIC_{type_id}_STAGE_{category['id']}"
        stages = served.call("crm.status.list", {"filter": {"ENTITY_ID": entity}, "order": {"SORT": "ASC"}}).result
        assert [(one["STATUS_ID"], one["NAME"], one["SEMANTICS"], one["SYSTEM"]) for one in stages] == [
            (f"DT{type_id}_{category['id']}:{code}", name, semantics, system)
            for code, name, semantics, system in (
                ("NEW", "Start", None, "Y"),
                ("PREPARATION", "Preparation", None, "N"),
                ("CLIENT", "Approval", None, "N"),
                ("SUCCESS", "Success", "S", "Y"),
                ("FAIL", "Failure", "F", "Y"),
            )
        ]
        assert (stages[0]["COLOR"], stages[0]["CATEGORY_ID"], "EXTRA" in stages[0]) == ("#22B9FF", str(category["id"]), False)
        assert entity in [one["ID"] for one in served.call("crm.status.entity.types").result]
        served.switch("stage_semantics_progress", "P")
        assert served.call("crm.status.list", {"filter": {"ENTITY_ID": entity, "STATUS_ID": stages[0]["STATUS_ID"]}}).result[0]["SEMANTICS"] == "P"

    def test_a_stage_is_renamed_by_an_administrator(self, served: Served) -> None:
        type_id = bills(served)["entityTypeId"]
        new = served.harbour.process_stage(type_id, "NEW")
        id_ = served.harbour.stages(type_id)[new]["ID"]
        assert served.call("crm.status.update", {"id": id_, "fields": {"NAME": "Received", "COLOR": "#39A8EF", "STATUS_ID": "x"}}).result is True
        stage = served.harbour.stages(type_id)[new]
        assert (stage["NAME"], stage["NAME_INIT"], stage["COLOR"], served.harbour.process_stage(type_id, "Received")) == ("Received", "Start", "#39A8EF", new)
        assert served.call("crm.status.update", {"id": id_, "fields": {"SORT": 45}}).result is True
        assert list(served.harbour.stages(type_id))[-2] == new

    @pytest.mark.parametrize(
        ("params", "user", "error"),
        [
            ({"id": 101, "fields": {"NAME": "x"}}, 3, "Access denied."),
            ({"id": 0, "fields": {"NAME": "x"}}, 1, "Invalid identifier."),
            ({"id": 99999, "fields": {"NAME": "x"}}, 1, "Status is not found."),
            ({"id": 101, "fields": {"NAME": ""}}, 1, "Error on updating status."),
        ],
    )
    def test_a_stage_is_not_renamed(self, served: Served, params: dict[str, Any], user: int, error: str) -> None:
        answer = served.call("crm.status.update", params, served.token_of(user))
        assert (answer.status, answer.error) == (400, error)


class TestRows:
    """crm.item.productrow.* with the owner T{hex}."""

    def test_rows_make_the_total(self, served: Served) -> None:
        type_id = bills(served)["entityTypeId"]
        add(served, type_id)
        rows = served.call("crm.item.productrow.set", {"ownerType": "T406", "ownerId": 1, "productRows": [ROW]}).result["productRows"]
        assert (rows[0]["ownerType"], rows[0]["ownerId"]) == ("T406", 1)
        item = served.harbour.items(type_id)[1]
        assert (item["opportunity"], item["taxValue"]) == (46, 6)
        listed = served.call("crm.item.productrow.list", {"filter": {"=ownerType": "T406", "=ownerId": [1]}}).result["productRows"]
        assert listed == rows == served.harbour.rows(1, type_id)
        served.call("crm.item.productrow.update", {"id": rows[0]["id"], "fields": {"quantity": 1}})
        assert item["opportunity"] == 23

    def test_the_short_code_is_lower_case_and_needs_products(self, served: Served) -> None:
        served.harbour.add_process("Bills", entity_type_id=156)
        add(served, 156)
        assert served.call("crm.item.productrow.set", {"ownerType": "T9c", "ownerId": 1, "productRows": [ROW]}).status == 200
        assert served.call("crm.item.productrow.set", {"ownerType": "T9C", "ownerId": 1, "productRows": [ROW]}).error == "ENTITY_TYPE_NOT_SUPPORTED"
        served.harbour.add_process("No products", entity_type_id=128, isLinkWithProductsEnabled=False)
        add(served, 128)
        assert served.call("crm.item.productrow.set", {"ownerType": "T80", "ownerId": 1, "productRows": [ROW]}).error == "ENTITY_TYPE_NOT_SUPPORTED"
        codes = {one["ID"]: (one["SYMBOL_CODE"], one["SYMBOL_CODE_SHORT"]) for one in served.call("crm.enum.ownertype").result}
        assert (codes[156], codes[128]) == (("DYNAMIC_156", "T9c"), ("DYNAMIC_128", "T80"))


def test_custom_fields_are_bound_to_the_id_and_not_to_the_entity_type_id(served: Served) -> None:
    made = bills(served)

    def field(number: int) -> Any:
        wish = {"entityId": f"CRM_{number}", "fieldName": f"UF_CRM_{number}_XERO_NUMBER", "userTypeId": "string"}
        return served.call("userfieldconfig.add", {"moduleId": "crm", "field": wish})

    assert field(made["id"]).result["field"]["entityId"] == "CRM_13"
    assert field(made["entityTypeId"]).error == ""
    add(served, made["entityTypeId"])
    update = {"entityTypeId": made["entityTypeId"], "id": 1, "useOriginalUfNames": "Y", "fields": {"UF_CRM_13_XERO_NUMBER": "B-7"}}
    assert served.call("crm.item.update", update).result["item"]["UF_CRM_13_XERO_NUMBER"] == "B-7"
    assert served.call("crm.item.get", {"entityTypeId": made["entityTypeId"], "id": 1}).result["item"]["ufCrm13_XERO_NUMBER"] == "B-7"
    assert served.harbour.user_field_values(1, made["entityTypeId"]) == {"UF_CRM_13_XERO_NUMBER": "B-7"}


def test_the_timeline_takes_log_messages_and_comments(served: Served) -> None:
    type_id = bills(served)["entityTypeId"]
    add(served, type_id)
    entry = {"entityTypeId": type_id, "entityId": 1, "title": "Xero", "text": "Arrived", "iconCode": "info"}
    assert served.call("crm.timeline.logmessage.add", {"fields": entry}).status == 200
    assert served.call("crm.timeline.comment.add", {"fields": {"ENTITY_ID": 1, "ENTITY_TYPE": f"dynamic_{type_id}", "COMMENT": "Hello"}}).status == 200
    assert [one["text"] for one in served.harbour.timeline_of(1, type_id)] == ["Arrived", "Hello"]
    assert served.call("crm.timeline.comment.add", {"fields": {"ENTITY_ID": 1, "ENTITY_TYPE": "dynamic_999", "COMMENT": "x"}}).error == "0"


def test_base_names_carry_every_type_and_a_types_own_name_only_that_type(served: Served) -> None:
    type_id = bills(served)["entityTypeId"]
    served.installed()
    base, own = "ONCRMDYNAMICITEMADD", f"ONCRMDYNAMICITEMADD_{type_id}"
    assert {own, base, "ONCRMDYNAMICITEMADD_31"} <= set(served.call("events").result)
    assert "ONCRMDYNAMICITEMADD_1032" not in served.call("events").result
    for event in (base, own):
        served.call("event.bind", {"event": event, "handler": f"{served.settings.app_url}/bitrix24/events"})
    add(served, type_id)
    served.harbour.add_invoice(title="Other")
    assert [one["data"]["FIELDS"]["ENTITY_TYPE_ID"] for one in served.heard_events(base)] == [str(type_id), "31"]
    assert [one["data"]["FIELDS"] for one in served.heard_events(own)] == [{"ID": "1", "ENTITY_TYPE_ID": str(type_id)}]
    served.switch("dynamic_event_names", "base_only")
    assert own not in served.call("events").result


def test_the_app_may_stand_on_a_process_of_this_portal(served: Served) -> None:
    type_id = bills(served)["entityTypeId"]
    served.installed()
    place = {"PLACEMENT": f"CRM_DYNAMIC_{type_id}_DETAIL_TAB", "HANDLER": f"{served.settings.app_url}/bitrix24/tab"}
    assert served.call("placement.bind", place).result is True
    assert served.call("placement.bind", place, portal="stranger").error == "ERROR_PLACEMENT_NOT_FOUND"


def test_another_portal_sees_nothing_of_it(served: Served) -> None:
    made = bills(served)
    add(served, made["entityTypeId"])

    def there(method: str, **params: Any) -> Any:
        return served.call(method, params, portal="stranger")

    assert there("crm.type.list").result == {"types": []}
    assert there("crm.type.get", id=made["id"]).error == 0
    assert there("crm.item.get", entityTypeId=made["entityTypeId"], id=1).error == "NOT_FOUND"
    assert there("crm.status.list", filter={"ENTITY_ID": served.harbour.stage_entity(made["entityTypeId"])}).result == []
    assert there("crm.item.productrow.list", filter={"=ownerType": "T406", "=ownerId": 1}).error == "ENTITY_TYPE_NOT_SUPPORTED"
    own = served.bitrix24.portals["stranger"].add_process("Bills")
    assert served.harbour.category_of(made["entityTypeId"]) != served.bitrix24.portals["stranger"].category_of(own["entityTypeId"])
    assert there("crm.item.list", entityTypeId=own["entityTypeId"]).result == {"items": []}


def test_a_process_that_somebody_deletes_takes_all_with_it(served: Served) -> None:
    type_id = bills(served)["entityTypeId"]
    served.harbour.add_item(type_id, [ROW])
    stages = served.harbour.stage_entity(type_id)
    served.harbour.remove_process(type_id)
    assert served.call("crm.item.list", {"entityTypeId": type_id}).error == "NOT_FOUND"
    assert served.call("crm.status.list", {"filter": {"ENTITY_ID": stages}}).result == []
    assert served.call("crm.type.list").result == {"types": []}


def test_scripts_have_the_same_levers(served: Served) -> None:
    base = f"{served.harbour.url}/_sandbox"
    made = served.session.post(f"{base}/act", json={"act": "add_process", "title": "Bills", "options": {"isSourceEnabled": True}}).json()["done"]
    assert (made["entityTypeId"], made["isSourceEnabled"], made["isStagesEnabled"]) == (1030, "Y", "Y")
    wish = {"act": "add_item", "type": 1030, "rows": [ROW], "fields": {"title": "Beans"}}
    served.session.post(f"{base}/act", json=wish)
    [told] = served.session.get(f"{base}/state").json()["processes"]
    assert [(one["title"], one["sourceId"], one["rows"][0]["productName"]) for one in told["items"]] == [("Beans", "CALL", "Coffee beans")]
    served.session.post(f"{base}/act", json={"act": "remove_process", "entity_type": 1030})
    assert served.session.get(f"{base}/state").json()["processes"] == []
