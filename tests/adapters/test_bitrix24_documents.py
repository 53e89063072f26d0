"""Lists, whole documents and write-backs: what is asked, in how many requests, and what is made of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import responses

from plugin.bitrix24.documents import LIMIT, Narrowed, Page, WriteBack, ids_matching, list_documents, may_edit, read_documents, updated_times, write_back
from plugin.bitrix24.fields import Value
from plugin.bitrix24.kinds import INVOICE
from plugin.domain.crm import Address
from plugin.domain.problems import Problem
from tests.adapters.bitrix24_calls import Listed, Refusal, ScriptedPortal

UF = "UF_CRM_SMART_INVOICE_"
WHOLE = {
    "id": 12,
    "title": "Invoice #12",
    "accountNumber": "INV-12",
    "stageId": "DT31_11:N",
    "categoryId": 11,
    "opportunity": 360_000,
    "taxValue": 156.54,
    "isManualOpportunity": "N",
    "currencyId": "NZD",
    "companyId": 5,
    "contactId": 0,
    "mycompanyId": 1,
    "assignedById": 7,
    "begindate": "2026-08-20T13:00:00+13:00",
    "closedate": "2026-08-27T13:00:00+13:00",
    "createdTime": "2026-08-20T09:00:00+13:00",
    "updatedTime": "2026-08-21T09:00:00+13:00",
    f"{UF}XERO_ID": "guid",
    f"{UF}XERO_NUMBER": None,
    f"{UF}XERO_PAID": "100.50|NZD",
    f"{UF}XERO_PAID_ON": "2026-08-25T13:00:00+13:00",
    f"{UF}XERO_SYNCED": "2026-08-25T13:00:00+13:00",
}
ROW = {
    "productName": "Chair",
    "price": 80000,
    "quantity": "1.5",
    "taxRate": 20,
    "taxIncluded": "Y",
    "priceExclusive": 66666.67,
    "priceNetto": 83333.34,
    "priceBrutto": 100000.01,
    "discountTypeId": 2,
    "discountRate": 20,
    "discountSum": 16666.67,
    "measureName": "pcs",
    "sort": 10,
}


def ids_of(value: Any) -> list[int]:
    return [int(one) for one in (value if isinstance(value, list) else [value])]


class Books(ScriptedPortal):
    """A portal with `count` invoices of three rows each, `companies` companies with two addresses each and `products` products."""

    def __init__(self, count: int = 60, companies: int = 20, products: int = 40, rows: int = 3) -> None:
        super().__init__(
            {
                "crm.item.list": self.items,
                "crm.item.get": self.get,
                "crm.item.productrow.list": self.product_rows,
                "crm.requisite.list": self.requisites,
                "crm.address.list": self.addresses,
                "catalog.catalog.list": lambda _: {
                    "catalogs": [{"iblockId": 14, "productIblockId": None}, {"iblockId": 15, "productIblockId": 14, "skuPropertyId": 97}]
                },
                "catalog.product.list": self.products,
                "crm.item.update": self.update,
                "crm.timeline.logmessage.add": lambda _: {"logMessage": {"id": 1}},
            }
        )
        self.all_ids, self.companies, self.product_count, self.rows = list(range(1, count + 1)), companies, products, rows
        self.hidden: set[int] = set()
        #: What the invoice says only the first time that it is asked for.
        self.totals: dict[int, int] = {}
        self.locked: set[int] = set()

    def invoice(self, id_: int) -> dict[str, Any]:
        who = {"companyId": 1 + id_ % self.companies if id_ % 10 else 0, "contactId": 900 + id_ if id_ % 10 == 0 else None}
        return {**WHOLE, "id": id_, **who, "opportunity": self.totals.pop(id_, 120_000 * self.rows)}

    def items(self, params: dict[str, Any]) -> Listed:
        type_id, wanted = int(params["entityTypeId"]), params.get("filter", {})
        assert type_id != 31 or params.get("useOriginalUfNames") == "Y" or not any(name.startswith(UF) for name in params["select"])
        if type_id != 31:
            assert int(params["start"]) == -1
            return Listed({"items": [self.client(type_id, id_) for id_ in ids_of(wanted["@id"])]}, 0)
        ids = [id_ for id_ in self.all_ids if id_ not in self.hidden]
        ids = [id_ for id_ in ids if "@id" not in wanted or id_ in ids_of(wanted["@id"])]
        ids = [id_ for id_ in ids if int(wanted.get(">id", 0)) < id_ <= int(wanted.get("<=id", 10**9))]
        ids.sort(reverse="DESC" in params["order"].values())
        start, total = max(0, int(params["start"])), len(ids) if int(params["start"]) >= 0 else 0
        return Listed({"items": [self.invoice(id_) for id_ in ids[start : start + 50]]}, total, start + 50 if start + 50 < total else None)

    def client(self, type_id: int, id_: int) -> dict[str, Any]:
        fm = [
            {"id": 1, "typeId": "EMAIL", "valueType": "HOME", "value": "home@acme.example"},
            {"id": 2, "typeId": "EMAIL", "valueType": "WORK", "value": f"books{id_}@acme.example"},
            {"id": 3, "typeId": "PHONE", "valueType": "MOBILE", "value": "+64 21 000"},
        ]
        return {"id": id_, "title": f"Acme {id_}", "fm": fm} if type_id == 4 else {"id": id_, "name": "Ann", "lastName": f"Lee {id_}", "fm": []}

    def get(self, params: dict[str, Any]) -> dict[str, Any]:
        if int(params["id"]) in self.all_ids:
            raise Refusal("ACCESS_DENIED", "Access denied")
        raise Refusal("NOT_FOUND", "gone")

    def product_rows(self, params: dict[str, Any]) -> Listed:
        wanted = params["filter"]
        assert wanted["=ownerType"] == "SI"
        owners = [id_ for id_ in ids_of(wanted["=ownerId"]) if id_ in self.all_ids]
        every = [
            {**ROW, "id": 10 * id_ + number, "ownerId": id_, "productId": 1 + (id_ + number) % self.product_count}
            for id_ in owners
            for number in range(self.rows)
        ]
        start = int(params["start"])
        return Listed({"productRows": every[start : start + 50]}, len(every), start + 50 if start + 50 < len(every) else None)

    def requisites(self, params: dict[str, Any]) -> Listed:
        wanted = params["filter"]
        rows = [
            {"ID": str(100 + id_), "ENTITY_ID": str(id_), "RQ_VAT_ID": "", "RQ_INN": f"INN{id_}", "RQ_COMPANY_ID": "94290"}
            for id_ in ids_of(wanted["@ENTITY_ID"])
        ]
        return Listed(rows, len(rows))

    def addresses(self, params: dict[str, Any]) -> Listed:
        wanted = params["filter"]
        anchors = ids_of(wanted["@ANCHOR_ID"] if "@ANCHOR_ID" in wanted else wanted["ANCHOR_ID"])
        every = [
            {"TYPE_ID": kind, "ENTITY_ID": str(100 + id_), "ANCHOR_ID": str(id_), "ADDRESS_1": "1 Wharf", "PROVINCE": "Otago"}
            for id_ in anchors
            for kind in ("6", "11", "1")
        ]
        start = int(params["start"])
        return Listed(every[start : start + 50], len(every), start + 50 if start + 50 < len(every) else None)

    def products(self, params: dict[str, Any]) -> Listed:
        wanted = ids_of(params["filter"]["id"])
        if int(params["filter"]["iblockId"]) == 15:
            rows = [
                {"id": id_, "name": "Chair, red", "code": "", "xmlId": f"x{id_}", "property97": {"value": "2000", "valueId": "1"}} for id_ in wanted if id_ % 2
            ]
        else:
            rows = [{"id": id_, "name": "Chair", "code": f"CH-{id_}", "xmlId": f"x{id_}", "iblockSectionId": 3} for id_ in wanted if id_ % 2 == 0]
        return Listed({"products": rows}, len(rows))

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        id_, fields = int(params["id"]), params["fields"]
        if id_ in self.locked:
            raise Refusal("ACCESS_DENIED", "Access denied")
        if fields.get("stageId") == "DT31_11:LOCKED":
            raise Refusal("", "You may not move it there")
        return {"item": {**self.invoice(id_), **fields, f"{UF}XERO_SENDING": ""}}


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


# --- One page of the list


def test_a_page_takes_two_requests(mock: responses.RequestsMock) -> None:
    books = Books(137)
    page = list_documents(books.attach(mock), INVOICE, Narrowed(), page=2, size=25)
    assert len(books.requests) == 2
    assert (page.total, page.page, page.pages, len(page.items)) == (137, 2, 6, 25)
    assert (page.items[0].id, page.items[0].company, page.items[0].amount) == (112, "Acme 13", Decimal(360_000))
    assert page.items[2].contact == "Ann Lee 1010"


@pytest.mark.parametrize(("page", "size", "start", "first"), [(1, 10, "0", 137), (5, 10, "0", 97), (6, 10, "50", 87), (3, 50, "100", 37), (4, 25, "50", 62)])
def test_each_page_lies_within_one_of_fifty(mock: responses.RequestsMock, page: int, size: int, start: str, first: int) -> None:
    books = Books(137)
    found = list_documents(books.attach(mock), INVOICE, Narrowed(), page=page, size=size)
    assert (str(books.inner[0][1]["start"]), found.items[0].id, len(books.requests)) == (start, first, 2)


def test_a_page_beyond_the_end_is_empty_and_needs_no_names(mock: responses.RequestsMock) -> None:
    books = Books(10)
    page = list_documents(books.attach(mock), INVOICE, Narrowed(), page=9, size=10)
    assert (page.items, page.total, page.pages, len(books.requests)) == ((), 10, 1, 1)


def test_no_ids_means_no_invoices_and_no_request(mock: responses.RequestsMock) -> None:
    books = Books()
    rest = books.attach(mock)
    assert list_documents(rest, INVOICE, Narrowed(ids=())) == Page((), 0, 1, 0)
    assert list(ids_matching(rest, INVOICE, Narrowed(ids=()), 100)) == []
    assert books.requests == []


def test_a_filter_speaks_bitrix24() -> None:
    narrowed = Narrowed(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC), " 10% ", ("DT31_11:N",), (1,), (5, 6), (7,))
    assert narrowed.as_filter(INVOICE) == {
        ">=updatedTime": "2026-08-01T00:00:00+00:00",
        "<updatedTime": "2026-09-01T00:00:00+00:00",
        "0": {"logic": "OR", "0": {"%accountNumber": "10%"}, "1": {"%title": "10%"}},
        "@stageId": ["DT31_11:N"],
        "@mycompanyId": [1],
        "@id": [5, 6],
        "!@id": [7],
    }
    assert Narrowed().as_filter(INVOICE) == {}


# --- Everything in a filter


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 999])
def test_every_id_comes_once_and_in_order(mock: responses.RequestsMock, count: int) -> None:
    books = Books(count)
    found = [id_ for part in ids_matching(books.attach(mock), INVOICE, Narrowed(), 5_000) for id_ in part]
    assert found == books.all_ids


@pytest.mark.parametrize("gaps", [[1] * 400, [700] * 120, [1] * 200 + [5_000] * 40 + [1] * 200, [1] * 60 + [10**6] + [3] * 100])
def test_gaps_of_every_kind_lose_nothing(mock: responses.RequestsMock, gaps: list[int]) -> None:
    books = Books()
    books.all_ids = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    found = [id_ for part in ids_matching(books.attach(mock), INVOICE, Narrowed(), 5_000) for id_ in part]
    assert found == books.all_ids
    assert len(books.requests) <= 16


def test_a_thousand_ids_of_a_dense_portal_take_two_requests(mock: responses.RequestsMock) -> None:
    books = Books(1_000)
    assert sum(len(part) for part in ids_matching(books.attach(mock), INVOICE, Narrowed(), 1_000)) == 1_000
    assert len(books.requests) == 2


def test_the_limit_is_kept(mock: responses.RequestsMock) -> None:
    books = Books(500)
    assert [id_ for part in ids_matching(books.attach(mock), INVOICE, Narrowed(), 120) for id_ in part] == list(range(1, 121))


def test_chosen_ids_are_asked_for_in_fifties_and_excluded_ones_never_sent(mock: responses.RequestsMock) -> None:
    books = Books(6_000)
    rest = books.attach(mock)
    chosen = tuple(range(1, 12_000, 2))
    parts = list(ids_matching(rest, INVOICE, Narrowed(ids=chosen, not_ids=(3,)), 9_999))
    assert [id_ for part in parts for id_ in part] == [1, *range(5, 6_000, 2)]
    assert max(len(part) for part in parts) <= LIMIT  # each can be read at once
    assert len(books.requests) == 3
    assert [id_ for part in ids_matching(rest, INVOICE, Narrowed(not_ids=tuple(range(1, 5_999))), 9_999) for id_ in part] == [5_999, 6_000]
    assert max(len(str(params)) for _, params in books.requests) < 150_000


def test_last_changes_are_read_in_fifties(mock: responses.RequestsMock) -> None:
    books = Books(120)
    assert updated_times(books.attach(mock), INVOICE, range(1, 131)) == dict.fromkeys(range(1, 121), datetime(2026, 8, 20, 20, tzinfo=UTC))
    assert len(books.requests) == 1


# --- Whole documents


def test_an_invoice_is_read_with_its_dates_decoded(mock: responses.RequestsMock) -> None:
    books = Books()
    invoice = read_documents(books.attach(mock), INVOICE, [12], as_admin=True).documents[12]
    assert (invoice.number, invoice.total, invoice.tax_total, invoice.manual_total) == ("INV-12", Decimal(360_000), Decimal("156.54"), False)
    assert (invoice.date, invoice.due_date) == (date(2026, 8, 20), date(2026, 8, 27))
    assert invoice.updated_at == datetime(2026, 8, 20, 20, tzinfo=UTC)
    assert (invoice.company_id, invoice.contact_id, invoice.seller_id, invoice.category_id) == (13, None, 1, 11)
    assert invoice.fields == {"xero_id": "guid", "xero_paid": "100.50|NZD", "xero_paid_on": "2026-08-25", "xero_synced": "2026-08-25T00:00:00+00:00"}
    assert invoice.rows_read


def test_rows_keep_every_price_exactly(mock: responses.RequestsMock) -> None:
    row = read_documents(Books().attach(mock), INVOICE, [12], as_admin=True).documents[12].rows[0]
    assert (row.price, row.quantity, row.price_exclusive, row.price_netto) == (Decimal(80000), Decimal("1.5"), Decimal("66666.67"), Decimal("83333.34"))
    assert (row.price_brutto, row.discount_type, row.discount_rate, row.discount_sum) == (Decimal("100000.01"), 2, Decimal(20), Decimal("16666.67"))
    assert (row.tax_rate, row.tax_included, row.measure, row.product_id) == (Decimal(20), True, "pcs", 13)


def test_customers_come_with_mail_phones_tax_number_and_addresses(mock: responses.RequestsMock) -> None:
    read = read_documents(Books().attach(mock), INVOICE, [12, 10], as_admin=True)
    company, person = read.customers[("company", 13)], read.customers[("contact", 910)]
    assert (company.name, company.email, company.phones) == ("Acme 13", "books13@acme.example", (("MOBILE", "+64 21 000"),))
    assert (company.tax_number, company.company_number) == ("INN13", "94290")
    assert company.addresses == (Address(1, "1 Wharf", province="Otago"), Address(6, "1 Wharf", province="Otago"))
    assert (person.kind, person.name, person.first_name, person.last_name) == ("contact", "Ann Lee 910", "Ann", "Lee 910")


def test_variations_bring_their_product(mock: responses.RequestsMock) -> None:
    read = read_documents(Books().attach(mock), INVOICE, [12], as_admin=True, code_field="xmlId")
    assert (read.products[13].parent_id, read.products[13].code) == (2000, "x13")
    assert (read.products[2000].code, read.products[14].section_id, read.products[14].parent_id) == ("x2000", 3, None)


def test_gone_and_forbidden_are_told_apart(mock: responses.RequestsMock) -> None:
    books = Books()
    books.hidden = {5}
    read = read_documents(books.attach(mock), INVOICE, [4, 5, 9_999], as_admin=True)
    assert (set(read.documents), read.missing, {id_: problem.code for id_, problem in read.denied.items()}) == ({4}, {9_999}, {5: "bitrix24.access_denied"})


def test_a_thousand_invoices_for_an_administrator(mock: responses.RequestsMock) -> None:
    books = Books(1_000, companies=200, products=300)
    read = read_documents(books.attach(mock), INVOICE, range(1, 1_001), as_admin=True)
    assert len(read.documents) == 1_000
    assert all(len(invoice.rows) == 3 for invoice in read.documents.values())
    assert (len(read.customers), len(read.products), read.lacking) == (300 - 20, 301, {})
    assert len(books.requests) <= 4
    assert len(books.asked("crm.item.productrow.list")) == 60


def test_a_thousand_invoices_of_a_thousand_companies(mock: responses.RequestsMock) -> None:
    books = Books(1_000, companies=1_000, products=300)
    read = read_documents(books.attach(mock), INVOICE, range(1, 1_001), as_admin=True)
    assert len(read.customers) == 1_000
    assert len(books.requests) <= 5


def test_an_invoice_saved_between_the_two_questions_is_asked_for_once_more(mock: responses.RequestsMock) -> None:
    books = Books(count=20)
    books.totals = {3: 5, 4: 5}
    read = read_documents(books.attach(mock), INVOICE, range(1, 21), as_admin=True)
    assert {read.documents[number].total for number in range(1, 21)} == {360_000}
    assert {tuple(ids_of(params["filter"]["@id"])) for params in books.asked("crm.item.list") if "accountNumber" in params["select"]} == {
        tuple(range(1, 21)),
        (3, 4),
    }


def test_a_thousand_bare_invoices_take_one_request(mock: responses.RequestsMock) -> None:
    books = Books(1_000)
    read = read_documents(books.attach(mock), INVOICE, range(1, 1_001), as_admin=False, details=False)
    assert (len(read.documents), len(books.requests), read.documents[1].rows_read, read.customers) == (1_000, 1, False, {})


def test_ordinary_people_are_asked_owner_by_owner(mock: responses.RequestsMock) -> None:
    books = Books()
    read = read_documents(books.attach(mock), INVOICE, range(1, 61), as_admin=False)
    assert all(isinstance(params["filter"]["=ownerId"], str) for params in books.asked("crm.item.productrow.list"))
    assert (len(read.documents[7].rows), read.products, len(books.requests)) == (3, {}, 3)


def test_rows_refused_for_many_are_asked_one_by_one(mock: responses.RequestsMock) -> None:
    books = Books()

    def rows(params: dict[str, Any]) -> Listed:
        owners = ids_of(params["filter"]["=ownerId"])
        if 3 in owners:
            raise Refusal("ACCESS_DENIED")
        return books.product_rows(params)

    books.methods["crm.item.productrow.list"] = rows
    read = read_documents(books.attach(mock), INVOICE, [1, 2, 3], as_admin=True)
    assert (set(read.documents), set(read.denied), len(read.documents[2].rows)) == ({1, 2}, {3}, 3)


@pytest.mark.parametrize("strangers", [1, 1_000])
def test_an_ignored_address_filter_never_mixes_addresses(mock: responses.RequestsMock, strangers: int) -> None:
    books = Books()

    def addresses(params: dict[str, Any]) -> Listed:
        if "@ANCHOR_ID" not in params["filter"]:
            return books.addresses(params)
        return Listed([{"TYPE_ID": "1", "ENTITY_ID": "1", "ANCHOR_ID": "13" if strangers == 1_000 else "77", "ADDRESS_1": "Elsewhere"}], strangers)

    books.methods["crm.address.list"] = addresses
    read = read_documents(books.attach(mock), INVOICE, [11, 12], as_admin=True)
    assert [[one.line1 for one in customer.addresses] for customer in read.customers.values()] == [["1 Wharf", "1 Wharf"]] * 2


def test_a_lagging_count_loses_no_row(mock: responses.RequestsMock) -> None:
    books = Books(60, rows=1)

    def rows(params: dict[str, Any]) -> Listed:
        page = books.product_rows(params)
        return Listed(page.result, (page.total or 0) - 1, page.next)

    books.methods["crm.item.productrow.list"] = rows
    books.rows = 51
    assert len(read_documents(books.attach(mock), INVOICE, [7], as_admin=True).documents[7].rows) == 51


def test_a_closed_catalogue_leaves_the_rest_standing(mock: responses.RequestsMock) -> None:
    books = Books()

    def closed(_: dict[str, Any]) -> Any:
        raise Refusal(200040300010, "Access Denied")

    books.methods["catalog.catalog.list"] = closed
    read = read_documents(books.attach(mock), INVOICE, [12], as_admin=True)
    assert (read.products, read.lacking["products"].code, len(read.documents)) == ({}, "bitrix24.access_denied", 1)


def test_a_passing_problem_ends_the_whole_read(mock: responses.RequestsMock) -> None:
    books = Books()

    def spent(_: dict[str, Any]) -> Any:
        raise Refusal("OPERATION_TIME_LIMIT")

    books.methods["crm.requisite.list"] = spent
    with pytest.raises(Problem) as raised:
        read_documents(books.attach(mock), INVOICE, [12], as_admin=True)
    assert (raised.value.code, raised.value.params["method"]) == ("bitrix24.operating_limit", "crm.requisite.list")


# --- Writing


def test_the_right_to_edit_is_tried_in_twenties(mock: responses.RequestsMock) -> None:
    books = Books()
    books.locked = {3}
    found = may_edit(books.attach(mock), INVOICE, range(1, 46), "2026-08-21 batch 7")
    assert len(books.requests) == 3
    assert [id_ for id_, problem in found.items() if problem] == [3]
    assert books.asked("crm.item.update")[0]["fields"] == {f"{UF}XERO_SENDING": "2026-08-21 batch 7"}
    assert found[3] is not None
    assert found[3].code == "bitrix24.access_denied"


def test_a_field_that_the_portal_lacks_is_noticed(mock: responses.RequestsMock) -> None:
    books = Books()
    books.methods["crm.item.update"] = lambda params: {"item": WHOLE}
    found = may_edit(books.attach(mock), INVOICE, [12], "x")[12]
    assert found is not None
    assert (found.code, found.params) == ("bitrix24.field_missing", {"id": 12, "field": f"{UF}XERO_SENDING"})


def test_fields_alone_go_by_forty_five_and_stages_by_fifteen(mock: responses.RequestsMock) -> None:
    books = Books(200)
    rest = books.attach(mock)
    write_back(rest, INVOICE, [WriteBack(id_, {"xero_id": "g"}) for id_ in range(1, 91)])
    assert len(books.requests) == 2
    write_back(rest, INVOICE, [WriteBack(id_, {"xero_id": "g"}, "DT31_11:P") for id_ in range(1, 91)])
    assert len(books.requests) == 2 + 6


def test_values_are_written_as_bitrix24_reads_them(mock: responses.RequestsMock) -> None:
    books = Books()
    values: dict[str, Value] = {
        "xero_paid": (Decimal("100.5"), "NZD"),
        "xero_paid_on": date(2026, 8, 21),
        "xero_synced": datetime(2026, 8, 21, 10, tzinfo=UTC),
        "xero_error": None,
        "xero_url": "https://go.xero.com/?a=1&b=2",
    }
    assert write_back(books.attach(mock), INVOICE, [WriteBack(12, values, "DT31_11:P", ("Paid", "100.50 NZD"))]).problems == {12: None}
    assert books.asked("crm.item.update")[0]["fields"] == {
        f"{UF}XERO_PAID": "100.50|NZD",
        f"{UF}XERO_PAID_ON": "2026-08-21",
        f"{UF}XERO_SYNCED": "2026-08-21T10:00:00+00:00",
        f"{UF}XERO_ERROR": "",
        f"{UF}XERO_URL": "https://go.xero.com/?a=1&b=2",
        "stageId": "DT31_11:P",
    }
    assert books.asked("crm.timeline.logmessage.add")[0]["fields"]["entityTypeId"] == "31"


def test_a_portal_that_takes_no_lines_in_the_history_has_its_fields_all_the_same(mock: responses.RequestsMock) -> None:
    books = Books()
    del books.methods["crm.timeline.logmessage.add"]
    rest = books.attach(mock)
    assert write_back(rest, INVOICE, [WriteBack(12, {"xero_number": "B-12"}, log=("Xero", "Created"))]).problems == {12: None}
    assert books.asked("crm.item.update")[0]["fields"] == {f"{UF}XERO_NUMBER": "B-12"}


def test_automation_hears_that_documents_are_paid_behind_their_fields_and_again_where_it_could_not(mock: responses.RequestsMock) -> None:
    books = Books()

    def execute(params: dict[str, Any]) -> bool:
        if params["OWNER_ID"] == "2":
            raise Refusal("OPERATION_TIME_LIMIT")
        return True

    rest = books.attach(mock)
    paid = [WriteBack(id_, {"xero_id": "g"}, "DT31_11:P", paid=True) for id_ in (1, 2)]
    assert write_back(rest, INVOICE, paid).heard == {1, 2}  # a portal without the method is not asked again
    books.methods["crm.automation.trigger.execute"] = execute
    written = write_back(rest, INVOICE, paid)
    assert written.heard == {1}
    assert written.problems[1] is None
    assert written.problems[2] is not None
    assert (written.problems[2].code, written.problems[2].retry.kind) == ("bitrix24.operating_limit", "after")
    assert len(books.requests) == 2
    assert books.asked("crm.automation.trigger.execute")[-1] == {"CODE": "tallybridge_paid", "OWNER_TYPE_ID": "31", "OWNER_ID": "2"}


def test_a_refused_stage_costs_only_the_stage(mock: responses.RequestsMock) -> None:
    books = Books()
    found = write_back(books.attach(mock), INVOICE, [WriteBack(1, {"xero_id": "g"}, "DT31_11:LOCKED"), WriteBack(2, {"xero_id": "g"}, "DT31_11:P")]).problems
    assert found[1] is not None
    assert (found[1].code, found[1].params["stage"], found[1].params["text"]) == ("bitrix24.stage_refused", "DT31_11:LOCKED", "You may not move it there")
    assert found[2] is None
    assert books.asked("crm.item.update")[-1] == {"entityTypeId": "31", "useOriginalUfNames": "Y", "id": "1", "fields": {f"{UF}XERO_ID": "g"}}


def test_nothing_to_write_asks_nothing(mock: responses.RequestsMock) -> None:
    books = Books()
    assert write_back(books.attach(mock), INVOICE, [WriteBack(1, {})]).problems == {1: None}
    assert books.requests == []
