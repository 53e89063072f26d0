"""Items, rows, dates, filters and batches against B§4 and B§8."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.bitrix24.money import normalise, shown
from tests.sandbox.bitrix24_served import Served

INVOICE = {"entityTypeId": 31}


@pytest.mark.parametrize(
    ("price", "tax", "rate", "expected"),
    [(80000, 20, 20, (66666.67, 16666.67, 83333.34, 100000.01)), (90000, 10, 10, (81818.18, 9090.91, 90909.09, 100000))],
)
def test_the_normalisers_own_examples(price: float, tax: int, rate: float, expected: tuple[float, ...]) -> None:
    row = normalise({"price": price, "taxRate": tax, "taxIncluded": "Y", "discountTypeId": 2, "discountRate": rate})
    assert tuple(shown(row[name]) for name in ("priceExclusive", "discountSum", "priceNetto", "priceBrutto")) == expected


def test_zero_tax_is_an_integer_and_a_float_means_no_tax(served: Served) -> None:
    def rate(value: object) -> object:
        rows = [{"productName": "x", "price": 10, "taxRate": value}]
        return served.call("crm.item.productrow.set", {"ownerType": "SI", "ownerId": 1, "productRows": rows}).result["productRows"][0]["taxRate"]

    assert (rate(0), rate("0"), rate(0.0), rate(None), rate("15")) == (0, 0, None, None, 15)
    served.switch("zero_tax_float", "zero")
    assert rate(0.0) == 0


def test_discounts_need_their_number(served: Served) -> None:
    def error(**row: object) -> object:
        return served.call("crm.item.productrow.add", {"fields": {"ownerType": "SI", "ownerId": 1, "price": 5, **row}}).body.get("error")

    assert error(discountTypeId=2) == "CRM_PRODUCTROW_NORMALIZATION_DISCOUNT_RATE_REQUIRED"
    assert error(discountTypeId=1) == "CRM_PRODUCTROW_NORMALIZATION_DISCOUNT_SUM_REQUIRED"
    assert error(discountTypeId=2, discountRate=100) == "CRM_PRODUCTROW_NORMALIZATION_DISCOUNT_SUM_REQUIRED"
    assert error(discountTypeId=1, discountSum=1) is None


def test_the_total_follows_the_rows_unless_it_is_manual(served: Served) -> None:
    rows = [{"productName": "x", "price": 11.5, "quantity": 2, "taxRate": 15}]
    served.call("crm.item.productrow.set", {"ownerType": "SI", "ownerId": 1, "productRows": rows})
    item = served.call("crm.item.update", {**INVOICE, "id": 1, "fields": {"opportunity": 999}}).result["item"]
    assert (item["opportunity"], item["taxValue"]) == (23, 3)
    manual = served.call("crm.item.update", {**INVOICE, "id": 1, "fields": {"opportunity": 999, "isManualOpportunity": "Y"}}).result["item"]
    assert manual["opportunity"] == 999


def test_the_known_invoices_have_the_totals_of_their_rows(served: Served) -> None:
    invoice = served.harbour.invoice_by_number("HV-1001")
    rows = served.harbour.rows(invoice["id"])
    assert invoice["opportunity"] == pytest.approx(sum(row["price"] * row["quantity"] for row in rows))
    assert all(row["price"] == round(row["price"], 2) for row in rows)


def test_list_reads_only_what_was_selected_and_drops_unknown_names(served: Served) -> None:
    items = served.call("crm.item.list", {**INVOICE, "select": ["id", "title", "nonsense"], "filter": {"@id": [2, 1]}, "order": {"id": "DESC"}})
    assert [list(one) for one in items.result["items"]] == [["id", "title"]] * 2
    assert [one["id"] for one in items.result["items"]] == [2, 1]
    assert items.body["total"] == 2


def test_unknown_filters_and_orders_are_refused(served: Served) -> None:
    for wrong in ({"filter": {"nonsense": 1}}, {"order": {"nonsense": "ASC"}}, {"order": {"contactIds": "ASC"}}):
        answer = served.call("crm.item.list", {**INVOICE, **wrong})
        assert (answer.status, answer.error) == (400, "INVALID_ARG_VALUE")


def test_pages_of_fifty_and_the_fast_way_without_a_count(served: Served) -> None:
    first = served.call("crm.item.list", {**INVOICE, "select": ["id"]})
    assert (len(first.result["items"]), first.body["total"], first.body["next"]) == (50, 60, 50)
    last = served.call("crm.item.list", {**INVOICE, "select": ["id"], "start": 50})
    assert (len(last.result["items"]), "next" in last.body) == (10, False)
    fast = served.call("crm.item.list", {**INVOICE, "select": ["id"], "start": -1, "order": {"id": "ASC"}, "filter": {">id": 55}})
    assert ([one["id"] for one in fast.result["items"]], fast.body["total"]) == ([56, 57, 58, 59, 60], 0)


def test_operators(served: Served) -> None:
    def ids(**spec: object) -> list[int]:
        return [one["id"] for one in served.call("crm.item.list", {**INVOICE, "select": ["id"], "filter": spec.get("filter")}).result["items"]]

    assert ids(filter={"=accountNumber": "hv-1002"}) == [2]
    assert ids(filter={"%title": "flat price"}) == [59]
    assert ids(filter={"=%title": "Agreed%"}) == [59]
    assert ids(filter={"companyId": 0, "contactId": 0}) == [57]
    assert ids(filter={"@accountNumber": ["HV-1001", "HV-1003"]}) == [1, 3]
    assert ids(filter={"0": {"logic": "OR", "0": {"=accountNumber": "HV-1001"}, "1": {"=accountNumber": "HV-1003"}}, ">id": 1}) == [3]
    assert 2 not in ids(filter={"!accountNumber": "HV-1002"})
    assert ids(filter={">=opportunity": 2000, "<=opportunity": 2000}) == [59]


def test_times_are_whole_seconds_of_the_server_and_filters_convert(served: Served) -> None:
    before = served.call("crm.item.get", {**INVOICE, "id": 5}).result["item"]["updatedTime"]
    assert datetime.fromisoformat(before).utcoffset() in (timedelta(hours=12), timedelta(hours=13))
    now = datetime.now(UTC).replace(microsecond=0)
    served.harbour.change_invoice(5, title="Changed")
    found = served.call(
        "crm.item.list", {**INVOICE, "select": ["id"], "filter": {">=updatedTime": now.isoformat()}, "order": {"updatedTime": "ASC", "id": "ASC"}}
    )
    assert [one["id"] for one in found.result["items"]] == [5]


@pytest.mark.parametrize(("portal", "written"), [("harbour", "2026-07-18T"), ("westcoast", "2026-07-17T")])
def test_date_fields_come_as_a_shifted_midnight(served: Served, portal: str, written: str) -> None:
    """West of UTC the written date is the day before (B§8.0)."""
    served.call("crm.item.update", {**INVOICE, "id": 1, "fields": {"begindate": "2026-07-18"}}, portal=portal)
    value = served.call("crm.item.get", {**INVOICE, "id": 1}, portal=portal).result["item"]["begindate"]
    assert value.startswith(written)
    decoded = (datetime.fromisoformat(value).astimezone(UTC) + timedelta(hours=12)).date()
    assert decoded.isoformat() == "2026-07-18"


def test_a_datetime_for_a_date_moves_to_the_servers_zone_first(served: Served) -> None:
    served.call("crm.item.update", {**INVOICE, "id": 1, "fields": {"closedate": "2026-07-18T00:00:00+00:00"}}, portal="westcoast")
    assert served.bitrix24.portals["westcoast"].invoices[1]["closedate"].isoformat() == "2026-07-17"


def test_nothing_changed_is_not_saved(served: Served) -> None:
    before = served.harbour.invoices[5]["updatedTime"]
    title = served.harbour.invoices[5]["title"]
    served.call("crm.item.update", {**INVOICE, "id": 5, "fields": {"title": title, "nonsense": 1}})
    assert served.harbour.invoices[5]["updatedTime"] == before


def test_account_numbers_are_unique_unless_told_otherwise(served: Served) -> None:
    wish = {**INVOICE, "id": 5, "fields": {"accountNumber": "HV-1001"}}
    assert served.call("crm.item.update", wish).status == 400
    served.switch("account_number_writable", "no")
    assert served.call("crm.item.update", wish).result["item"]["accountNumber"] == "HV-1005"
    assert served.call("crm.item.fields", INVOICE).result["fields"]["accountNumber"]["isReadOnly"] is True


def test_rights_trim_lists_and_refuse_single_items(served: Served) -> None:
    sam, vera = served.token_of(2), served.token_of(3)
    own = served.call("crm.item.list", {**INVOICE, "select": ["id", "assignedById"]}, sam)
    assert {one["assignedById"] for one in own.result["items"]} == {2}
    assert own.body["total"] < 60
    assert (served.call("crm.item.get", {**INVOICE, "id": 1}, sam).status, served.call("crm.item.get", {**INVOICE, "id": 1}, sam).error) == (
        400,
        "ACCESS_DENIED",
    )
    assert served.call("crm.item.get", {**INVOICE, "id": 1}, vera).status == 200
    assert served.call("crm.item.update", {**INVOICE, "id": 1, "fields": {"title": "x"}}, vera).error == "ACCESS_DENIED"
    assert served.call("crm.item.get", {**INVOICE, "id": 9999}, vera).error == "NOT_FOUND"


def test_an_array_of_owners_tests_the_right_on_item_one(served: Served) -> None:
    sam = served.token_of(2)
    mine = [one["id"] for one in served.call("crm.item.list", {**INVOICE, "select": ["id"]}, sam).result["items"]][:2]
    many = {"filter": {"=ownerType": "SI", "=ownerId": mine}}
    assert served.call("crm.item.productrow.list", many, sam).error == "ACCESS_DENIED"
    assert served.call("crm.item.productrow.list", {"filter": {"=ownerType": "SI", "=ownerId": mine[0]}}, sam).status == 200
    served.switch("rows_array_rights", "each_owner")
    assert served.call("crm.item.productrow.list", many, sam).status == 200
    assert served.call("crm.item.productrow.list", {"filter": {"=ownerType": "SI"}}).error == "100"


def test_custom_fields_have_two_spellings(served: Served) -> None:
    field = {"entityId": "CRM_SMART_INVOICE", "fieldName": "UF_CRM_SMART_INVOICE_XERO_ID", "userTypeId": "string", "editFormLabel": {"en": "Xero ID"}}
    assert served.call("userfieldconfig.add", {"moduleId": "crm", "field": field}).result["field"]["id"] == "301"
    assert served.call("userfieldconfig.add", {"moduleId": "crm", "field": field}).error == ""
    update = {**INVOICE, "id": 1, "useOriginalUfNames": "Y", "fields": {"UF_CRM_SMART_INVOICE_XERO_ID": "abc"}}
    assert served.call("crm.item.update", update).result["item"]["UF_CRM_SMART_INVOICE_XERO_ID"] == "abc"
    assert served.call("crm.item.get", {**INVOICE, "id": 1}).result["item"]["ufCrm_SMART_INVOICE_XERO_ID"] == "abc"
    found = served.call("crm.item.list", {**INVOICE, "useOriginalUfNames": "Y", "select": ["id"], "filter": {"=UF_CRM_SMART_INVOICE_XERO_ID": "ABC"}})
    assert found.result["items"] == [{"id": 1}]
    assert served.call("crm.item.list", {**INVOICE, "filter": {"=UF_CRM_SMART_INVOICE_XERO_ID": "abc"}}).error == "INVALID_ARG_VALUE"
    assert served.call("userfieldconfig.list", {"moduleId": "crm"}, served.token_of(2)).error == ""


def test_phones_and_addresses_are_edited_by_id_and_added_by_list(served: Served) -> None:
    company = {"entityTypeId": 4, "id": 3}
    fm = served.call("crm.item.get", company).result["item"]["fm"]
    kept = fm[0]["id"]
    served.call("crm.item.update", {**company, "fields": {"fm": [{"typeId": "EMAIL", "valueType": "WORK", "value": "second@post.example"}]}})
    served.call("crm.item.update", {**company, "fields": {"fm": {str(kept): {"typeId": "PHONE", "valueType": "WORK", "value": ""}}}})
    after = served.call("crm.item.get", company).result["item"]
    assert [one["value"] for one in after["fm"]] == ["accounts@tidewater-cafe.example", "second@post.example"]
    assert (after["hasPhone"], after["emailWork"]) == ("N", "accounts@tidewater-cafe.example")
    assert "fm" not in served.call("crm.item.list", {"entityTypeId": 4, "select": ["id", "fm"], "filter": {"id": 3}}).result["items"][0]


def test_my_companies_are_asked_for_by_name(served: Served) -> None:
    mine = served.call("crm.item.list", {"entityTypeId": 4, "select": ["id"], "filter": {"isMyCompany": "Y"}}).result["items"]
    assert [one["id"] for one in mine] == [1, 2]
    everyone = {"entityTypeId": 4, "select": ["id"]}
    assert served.call("crm.item.list", everyone).body["total"] == 25
    served.switch("company_list_includes_mine", "yes")
    assert served.call("crm.item.list", everyone).body["total"] == 27


def test_old_invoices_have_no_type_31(served: Served) -> None:
    for method in ("crm.item.fields", "crm.category.list"):
        assert served.call(method, INVOICE, portal="oldinvoices").error == "NOT_FOUND"
    served.switch("old_invoices_answer", "empty")
    assert served.call("crm.category.list", INVOICE, portal="oldinvoices").result == {"categories": []}
    assert served.call("crm.item.list", {"entityTypeId": 5}).error == "ENTITY_TYPE_NOT_SUPPORTED"


def test_imports_run_no_robot_and_at_most_twenty(served: Served) -> None:
    data = [{"title": f"I{number}", "PHONE": [{"VALUE": "+64 9 555 0000", "VALUE_TYPE": "WORK"}]} for number in range(3)]
    answer = served.call("crm.item.batchImport", {"entityTypeId": 4, "data": [*data, {"title": ""}]}).result["items"]
    assert [sorted(one) for one in answer] == [["item"], ["item"], ["item"], ["error", "error_description"]]
    assert served.harbour.companies[answer[0]["item"]["id"]]["phoneWork"] == "+64 9 555 0000"
    assert served.call("crm.item.batchImport", {"entityTypeId": 4, "data": [{"title": "x"}] * 21}).error == "MAX_IMPORT_BATCH_SIZE_EXCEEDED"


class TestBatch:
    """B§4.2."""

    def test_references_results_and_errors(self, served: Served) -> None:
        commands = {
            "cat": "crm.category.list?entityTypeId=31",
            "stages": "crm.status.list?filter[ENTITY_ID]=SMART_INVOICE_STAGE_$result[cat][categories][0][id]&order[SORT]=ASC",
            "bad": "crm.item.get?entityTypeId=31&id=9999",
            "ids": "crm.item.list?entityTypeId=31&select[]=id&filter[%40id][]=1&filter[%40id][]=2",
            "row": "crm.item.productrow.list?filter[%3DownerType]=SI&filter[%3DownerId]=$result[ids][items][1][id]",
        }
        answer = served.call("batch", {"halt": 0, "cmd": commands}).result
        assert [one["STATUS_ID"] for one in answer["result"]["stages"]][:2] == ["DT31_3:N", "DT31_3:UC_CHK4S2"]
        assert answer["result_error"]["bad"]["error"] == "NOT_FOUND"
        assert {row["ownerId"] for row in answer["result"]["row"]["productRows"]} == {2}
        assert answer["result_total"]["ids"] == 2
        assert answer["result_next"] == []

    def test_halt_stops_and_nested_is_refused(self, served: Served) -> None:
        answer = served.call("batch", {"halt": 1, "cmd": ["profile", "batch?cmd[]=profile", "user.admin"]}).result
        assert list(answer["result"]) == ["0"]
        assert answer["result_error"]["1"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"

    def test_the_fifty_first_fails_by_itself_or_all_together(self, served: Served) -> None:
        commands = {f"c{number}": "server.time" for number in range(51)}
        answer = served.call("batch", {"cmd": commands}).result
        assert (len(answer["result"]), answer["result_error"]["c50"]["error"]) == (50, "ERROR_BATCH_LENGTH_EXCEEDED")
        served.switch("batch_over_length", "whole")
        assert served.call("batch", {"cmd": commands}).error == "ERROR_BATCH_LENGTH_EXCEEDED"

    def test_an_unresolved_reference_becomes_the_parent(self, served: Served) -> None:
        commands = {
            "one": "crm.item.get?entityTypeId=31&id=1",
            "set": "user.option.set?options[was]=$result[one][item][nothing]",
            "get": "user.option.get?option=was",
        }
        assert served.call("batch", {"cmd": commands}).result["result"]["get"]["id"] == 1
        served.switch("batch_unresolved", "empty")
        assert served.call("batch", {"cmd": commands}).result["result"]["get"] == ""

    def test_an_expired_token_fails_before_the_first_command(self, served: Served) -> None:
        opening = served.installed()
        served.bitrix24.controls.clock.advance(3700)
        assert served.call("batch", {"cmd": ["profile"]}, opening.fields["AUTH_ID"]).status == 401


def test_form_bodies_are_read_as_php_reads_them(served: Served) -> None:
    token = served.token_of(1)
    body = f"entityTypeId=31&select[]=id&filter[%40id][0]=1&filter[%40id][1]=3&auth={token}"
    answer = served.session.post(
        f"{served.harbour.url}/rest/crm.item.list.json", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    ).json()
    assert [one["id"] for one in answer["result"]["items"]] == [1, 3]


class TestLimits:
    """B§4.1."""

    def test_the_bucket_blocks_above_fifty_and_drains_two_a_second(self, served: Served) -> None:
        token = served.token_of(1)
        served.switch("limits", "on")
        statuses = [served.call("server.time", token=token).status for _ in range(56)]
        assert statuses.count(503) >= 3
        assert served.call("server.time", token=token).error == "QUERY_LIMIT_EXCEEDED"
        served.bitrix24.controls.clock.advance(30)
        assert served.call("server.time", token=token).status == 200

    def test_operating_time_blocks_one_method_until_its_bucket_falls_out(self, served: Served) -> None:
        token = served.token_of(1)
        served.switch("limits", "on")
        served.harbour.limits.costs["profile"] = 50.0
        for _ in range(10):
            served.call("profile", token=token)
        blocked = served.call("profile", token=token)
        assert (blocked.status, blocked.error) == (429, "OPERATION_TIME_LIMIT")
        good = served.call("server.time", token=token)
        assert good.status == 200
        assert good.body["time"]["operating_reset_at"] > 0
        served.bitrix24.controls.clock.advance(660)
        assert served.call("profile", token=token).status == 200

    def test_a_request_over_sixty_seconds_ends_without_an_answer(self, served: Served) -> None:
        token = served.token_of(1)
        served.switch("limits", "on")
        served.harbour.limits.costs["crm.item.update"] = 10.0
        commands = [f"crm.item.update?entityTypeId=31&id={number}&fields[title]=slow" for number in range(1, 11)]
        assert served.call("batch", {"cmd": commands}, token).status == 504
        done = [item["id"] for item in served.harbour.invoices.values() if item["title"] == "slow"]
        assert done == [1, 2, 3, 4, 5, 6, 7]

    def test_self_hosted_portals_count_nothing(self, served: Served) -> None:
        served.switch("limits", "on")
        served.bitrix24.portals["onpremise"].install_fully()
        answers = [served.call("server.time", portal="onpremise") for _ in range(60)]
        assert {one.status for one in answers} == {200}
        assert "operating" not in answers[0].body["time"]
