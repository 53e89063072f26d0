"""What the portals hold at the start: a believable business, and the awkward cases around it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sandbox.bitrix24.catalog import BASE_PRICE
from sandbox.bitrix24.crm import Actor
from sandbox.bitrix24.fields import COMPANY, CONTACT, INVOICE, QUOTE
from sandbox.bitrix24.methods.catalog import add_price, add_product, add_section
from sandbox.bitrix24.methods.directories import new_currency
from sandbox.bitrix24.methods.requisites import ADDRESS_KEY, ADDRESS_TEXTS, add_requisite
from sandbox.bitrix24.people import User
from sandbox.bitrix24.portal import Portal
from sandbox.seed import (
    COMPANIES,
    KNOWN_INVOICE_AGE_DAYS,
    KNOWN_INVOICE_TERM_DAYS,
    KNOWN_INVOICES,
    PEOPLE,
    PRODUCTS,
    SECTIONS,
    SELLER,
    SELLER_AUSTRALIA,
    Address,
    Company,
    product,
)

ALICE, SAM, VERA, TOM = 1, 2, 3, 4

#: Code after the colon, name, colour, semantics; two stages are the customer's own.
INVOICE_STAGES = (
    ("N", "New", "#39A8EF", None),
    ("UC_CHK4S2", "Check with sales", "#2FC6F6", None),
    ("S", "Sent to customer", "#55D0E0", None),
    ("UC_OVD7X1", "Overdue", "#FFA900", None),
    ("P", "Paid", "#7BD500", "S"),
    ("D", "Not paid", "#FF5752", "F"),
)
QUOTE_STAGES = (
    ("DRAFT", "Draft", "#39A8EF", None),
    ("SENT", "Sent to customer", "#55D0E0", None),
    ("UC_REVIEW", "In review", "#FFA900", None),
    ("APPROVED", "Accepted", "#7BD500", "S"),
    ("DECLAINED", "Declined", "#FF5752", "F"),
)
#: What the estimates are about, and the products in them.
ESTIMATES = (
    ("Two oak tables and their design", ("TB-OAK-04", "SV-DSG-37")),
    ("Dining chairs for the terrace", ("CH-OAK-01", "SV-DSG-37")),
    ("Place settings for sixty guests", ("CU-SET-17", "PL-SID-12")),
    ("Gift boxes for Christmas", ("VC-GFT-39", "DP-BND-40")),
    ("Refit of the front room", ("TB-OAK-04", "CH-OAK-01", "SV-DSG-37")),
    ("Kitchen mixers, a pair", ("KT-MIX-21", "SV-DSG-37")),
    ("Side plates and cutlery", ("PL-SID-12", "CU-SET-17")),
    ("Tasting room, first stage", ("TB-OAK-04", "CH-OAK-01")),
    ("Tasting room, second stage", ("KT-MIX-21", "PL-SID-12")),
    ("Opening night", ("CU-SET-17", "VC-GFT-39", "SV-DSG-37")),
    ("Chairs for the chapel", ("CH-OAK-01",)),
    ("Design hours on call", ("SV-DSG-37",)),
)
DIRECTORIES = {
    "SOURCE": (("CALL", "Call"), ("WEB", "Website"), ("RECOMMENDATION", "Recommendation"), ("OTHER", "Other")),
    "COMPANY_TYPE": (("CUSTOMER", "Customer"), ("SUPPLIER", "Supplier"), ("COMPETITOR", "Competitor"), ("PARTNER", "Partner"), ("OTHER", "Other")),
    "CONTACT_TYPE": (("CLIENT", "Clients"), ("SUPPLIER", "Suppliers"), ("PARTNER", "Partners"), ("OTHER", "Other")),
    "INDUSTRY": (("HOSPITALITY", "Hospitality"), ("RETAIL", "Retail"), ("OTHER", "Other")),
    "EMPLOYEES": (("EMPLOYEES_1", "less than 50"), ("EMPLOYEES_2", "50-250")),
    "HONORIFIC": (("HNR_EN_1", "Mr."), ("HNR_EN_2", "Ms.")),
    "DEAL_STAGE": (("NEW", "New"), ("WON", "Deal won"), ("LOSE", "Deal lost")),
}


def fill(portal: Portal, invoices: int) -> None:
    """Everything a portal needs, then so many invoices."""
    _people(portal)
    _directories(portal)
    _catalog(portal)
    companies = _companies(portal)
    contacts = _contacts(portal, companies)
    Invoices(portal, companies, contacts).make(invoices)


def _people(portal: Portal) -> None:
    portal.users = {
        ALICE: User(ALICE, "Alice", "Administrator", "alice@harbour-vine.example", admin=True, position="Operations director", time_zone=""),
        SAM: User(SAM, "Sam", "Sales", "sam@harbour-vine.example", position="Sales"),
        VERA: User(VERA, "Vera", "Viewer", "vera@harbour-vine.example", role="viewer", position="Bookkeeping assistant"),
        TOM: User(TOM, "Tama", "Second", "tama@harbour-vine.example", admin=True, position="Administrator"),
    }


def _directories(portal: Portal) -> None:
    _stages(portal, portal.invoice_stage_entity, INVOICE_STAGES, f"DT31_{portal.invoice_category}:", portal.invoice_category)
    _stages(portal, "QUOTE_STATUS", QUOTE_STAGES, "", None)
    for entity, rows in DIRECTORIES.items():
        colours = {"WON": ("#7BD500", "S"), "LOSE": ("#FF5752", "F")}
        _stages(portal, entity, tuple((code, text, *colours.get(code, ("", None))) for code, text in rows), "", None)
    portal.currencies = {"NZD": new_currency("NZD", "1", "New Zealand Dollar", 100), "AUD": new_currency("AUD", "1.09", "Australian Dollar", 200)}
    portal.presets = {
        id_: {"ID": id_, "ENTITY_TYPE_ID": 8, "COUNTRY_ID": country, "NAME": name, "ACTIVE": "Y", "SORT": 500, "XML_ID": f"#CRM_REQUISITE_PRESET_DEF_NZ_{id_}#"}
        for id_, name, country in ((1, "Company", 77), (2, "Person", 77), (3, "Company (Australia)", 14))
    }


def _stages(portal: Portal, entity: str, rows: tuple[tuple[Any, ...], ...], prefix: str, category: int | None) -> None:
    for place, (code, name, colour, semantics) in enumerate(rows):
        own = "N" if str(code).startswith("UC_") else "Y"
        row = {
            "ID": portal.next_id("status") + 100,
            "ENTITY_ID": entity,
            "STATUS_ID": f"{prefix}{code}",
            "NAME": name,
            "NAME_INIT": name if own == "Y" else "",
            "SORT": (place + 1) * 10,
        }
        portal.statuses.append(row | {"SYSTEM": own, "CATEGORY_ID": category, "COLOR": colour, "SEMANTICS": semantics})


def _catalog(portal: Portal) -> None:
    catalog = portal.catalog
    for name, rate in (("No tax", None), ("Zero rated", 0.0), ("GST 15%", 15.0), ("GST 10% (Australia)", 10.0)):
        id_ = catalog.take_id("vat")
        catalog.vats[id_] = {"id": id_, "name": name, "rate": rate, "active": "Y", "sort": id_ * 100, "timestampX": portal.moment()}
    sections = {name: add_section(portal, name)["id"] for name in SECTIONS}
    for one in PRODUCTS:
        rate = None if one.tax_rate is None else float(one.tax_rate)
        values = {
            "name": one.name,
            "code": one.code,
            "iblockSectionId": sections[one.section],
            "vatId": catalog.vat_id(rate),
            "measure": 6 if "per hour" in one.name else 5,
        }
        made = add_product(portal, values, ALICE, 7 if one.kind == "service" else 1)
        add_price(portal, made["id"], BASE_PRICE, float(one.price), "NZD")


def _companies(portal: Portal) -> dict[str, int]:
    """Two sellers first, then customers and suppliers; ids by key."""
    crm, actor = portal.crm, Actor(ALICE)
    made: dict[str, int] = {}
    for key, name in (("seller", SELLER), ("seller-au", SELLER_AUSTRALIA)):
        item = crm.create(COMPANY, {"title": name, "isMyCompany": "Y"}, actor, importing=True)
        add_requisite(
            portal,
            (COMPANY, item["id"]),
            1,
            {"NAME": name, "RQ_COMPANY_NAME": name, "RQ_VAT_ID": "000-500-000" if key == "seller" else "00 500 000 000"},
            ALICE,
        )
        made[key] = item["id"]
    for number, one in enumerate(COMPANIES):
        made[one.key] = _company(portal, one, SAM if number % 3 == 1 else ALICE)
    return made


def _company(portal: Portal, one: Company, owner: int) -> int:
    values: dict[str, Any] = {"title": one.name, "typeId": "CUSTOMER" if one.is_customer else "SUPPLIER", "currencyId": one.currency, "assignedById": owner}
    values["fm"] = [{"typeId": "PHONE", "valueType": "WORK", "value": one.phone}, {"typeId": "EMAIL", "valueType": "WORK", "value": one.email}]
    item = portal.crm.create(COMPANY, values, Actor(ALICE), importing=True)
    preset = 3 if one.postal.country == "Australia" else 1
    requisite = add_requisite(
        portal, (COMPANY, item["id"]), preset, {"NAME": one.name, "RQ_COMPANY_NAME": one.name, "RQ_COMPANY_ID": one.nzbn, "RQ_VAT_ID": one.tax_number}, ALICE
    )
    for kind, place in ((8, one.postal), (1, one.street)):
        _address(portal, kind, requisite, place)
    return int(item["id"])


def _address(portal: Portal, kind: int, requisite: int, place: Address) -> None:
    """REGION is the district, PROVINCE the state (B§8.7)."""
    key = (kind, 8, requisite)
    row = {**dict(zip(ADDRESS_KEY, key, strict=True)), **dict.fromkeys(ADDRESS_TEXTS)}
    portal.addresses[key] = row | {
        "ADDRESS_1": place.line,
        "CITY": place.city,
        "PROVINCE": place.region,
        "POSTAL_CODE": place.postal_code,
        "COUNTRY": place.country,
    }


def _contacts(portal: Portal, companies: dict[str, int]) -> dict[str, int]:
    made = {}
    for one in PEOPLE:
        values: dict[str, Any] = {
            "name": one.first_name,
            "lastName": one.last_name,
            "post": one.position,
            "typeId": "CLIENT",
            "assignedById": ALICE,
            "companyId": companies.get(one.company, 0),
        }
        values["fm"] = [{"typeId": "EMAIL", "valueType": "WORK", "value": one.email}, {"typeId": "PHONE", "valueType": "MOBILE", "value": one.phone}]
        item = portal.crm.create(CONTACT, values, Actor(ALICE), importing=True)
        made[one.key] = int(item["id"])
        if one.company in companies:
            portal.companies[companies[one.company]]["contactIds"].append(item["id"])
    return made


class Invoices:
    """Invoices in every stage, and quotes."""

    def __init__(self, portal: Portal, companies: dict[str, int], contacts: dict[str, int]) -> None:
        self.portal, self.companies, self.contacts = portal, companies, contacts
        self.customers = [one for one in COMPANIES if one.is_customer]
        self.by_code = {one["code"]: one for one in portal.catalog.products.values()}

    def make(self, count: int) -> None:
        self.portal.crm.number_prefix = "HV-"
        for number, key, lines in KNOWN_INVOICES[:count]:
            self._known(number, key, lines)
        awkward = (self._without_customer, self._without_rows, self._manual_total, self._deleted_company)
        ordinary = max(0, count - len(KNOWN_INVOICES) - len(awkward))
        for place in range(ordinary):
            self._ordinary(place)
        for make in awkward[: max(0, count - len(KNOWN_INVOICES))]:
            make()
        for place in range(min(len(ESTIMATES), count)):
            self._quote(place)

    def _row(self, code: str, quantity: float, currency: str = "NZD", discount: float = 0.0, absolute: bool = False) -> dict[str, Any]:
        """A row as the editor makes it: final price of two decimals out of the catalogue's net price."""
        one = product(code)
        rate = None if one.tax_rate is None else float(one.tax_rate)
        if currency == "AUD" and rate:
            rate = 0.0
        factor = 1 + (rate or 0.0) / 100
        net = float(one.price)
        taken = discount if absolute else net * discount / 100
        row: dict[str, Any] = {"productId": self.by_code[code]["id"], "price": round((net - taken) * factor + 1e-9, 2), "quantity": quantity}
        row |= {"taxRate": None if rate is None else int(rate), "taxIncluded": "N"}
        if absolute and discount:
            return row | {"discountTypeId": 1, "discountSum": discount}
        return row | {"discountTypeId": 2, "discountRate": discount}

    def _invoice(self, rows: list[dict[str, Any]], days_ago: int, stage: str = "N", author: int = ALICE, **values: Any) -> int:
        crm, portal = self.portal.crm, self.portal
        today = portal.now().astimezone(portal.zone).date()
        values = {
            "begindate": today - timedelta(days=days_ago),
            "closedate": today - timedelta(days=days_ago - KNOWN_INVOICE_TERM_DAYS),
            "stageId": portal.stage_id(stage),
            "mycompanyId": self.companies["seller"],
            **values,
        }
        item = crm.create(INVOICE, values, Actor(author), importing=True)
        if rows:
            crm.set_rows(INVOICE, item["id"], rows, Actor(author))
        moment = portal.moment() - timedelta(days=days_ago)
        item |= {"createdTime": moment, "updatedTime": moment, "movedTime": moment, "lastActivityTime": moment}
        crm.history[-1]["CREATED_TIME"] = moment
        return int(item["id"])

    def _known(self, number: str, key: str, lines: tuple[tuple[str, int], ...]) -> None:
        rows = [self._row(code, quantity) for code, quantity in lines]
        self._invoice(rows, KNOWN_INVOICE_AGE_DAYS, "S", accountNumber=number, title=f"Invoice {number}", companyId=self.companies[key], assignedById=ALICE)

    def _ordinary(self, place: int) -> None:
        codes = [one.code for one in PRODUCTS]
        customer = self.customers[place % len(self.customers)]
        currency = "AUD" if customer.currency == "AUD" and place % 2 else "NZD"
        rows = [
            self._row(codes[(place * 7 + line * 5) % len(codes)], 1 + (place + line * 3) % 8, currency, *self._discount(place, line))
            for line in range(1 + place % 4)
        ]
        stages = ("N", "N", "UC_CHK4S2", "S", "S", "UC_OVD7X1", "P", "N", "D")
        values: dict[str, Any] = {"companyId": self.companies[customer.key], "currencyId": currency, "assignedById": SAM if place % 4 == 1 else ALICE}
        person = next((key for one, key in ((one, self.contacts[one.key]) for one in PEOPLE) if one.company == customer.key), 0)
        if place % 2 == 0 and person:
            values["contactId"] = person
        if place % 17 == 5:
            values |= {"companyId": 0, "contactId": self.contacts["sina" if place % 2 else "wiremu"]}
        if customer.currency == "AUD" and place % 3 == 0:
            values["mycompanyId"] = self.companies["seller-au"]
        stage = f"DT31_{self.portal.invoice_category}:{stages[place % len(stages)]}"
        self._invoice(rows, 55 - place, stage, **values)

    @staticmethod
    def _discount(place: int, line: int) -> tuple[float, bool]:
        if (place + line) % 6 == 2:
            return (10.0, False)
        return (2.5, True) if (place + line) % 9 == 4 else (0.0, False)

    def _without_customer(self) -> None:
        self._invoice([self._row("VC-GFT-39", 2), self._row("DP-BND-40", 1)], 3, title="Walk-in sale", assignedById=SAM)

    def _without_rows(self) -> None:
        self._invoice([], 2, title="Deposit, lines to follow", companyId=self.companies["moana-events"])

    def _manual_total(self) -> None:
        self._invoice(
            [self._row("CH-OAK-01", 10)], 2, title="Agreed flat price", companyId=self.companies["pipi-street"], opportunity=2000.0, isManualOpportunity="Y"
        )

    def _deleted_company(self) -> None:
        crm, actor = self.portal.crm, Actor(ALICE)
        gone = crm.create(COMPANY, {"title": "Closed Down Deli"}, actor, importing=True)
        self._invoice([self._row("CU-SET-17", 4)], 1, title="For a company that is gone", companyId=gone["id"])
        crm.delete(COMPANY, gone, actor)

    def _quote(self, place: int) -> None:
        portal = self.portal
        customer = self.customers[(place * 3) % len(self.customers)]
        today = portal.now().astimezone(portal.zone).date()
        stages = [row[0] for row in QUOTE_STAGES]
        values = {
            "title": ESTIMATES[place][0],
            "content": f"For {customer.name}, as talked over.",
            "contentType": 1,
            "terms": "<p>Prices hold until the date above.</p><p>Half on order, half on delivery.</p>",
            "termsType": 3,
            "companyId": self.companies[customer.key],
            "stageId": stages[place % len(stages)],
            "assignedById": SAM if place % 3 == 1 else ALICE,
        }
        values |= {"begindate": today - timedelta(days=10 - place), "actualDate": today + timedelta(days=20), "mycompanyId": self.companies["seller"]}
        item = portal.crm.create(QUOTE, values, Actor(ALICE), importing=True)
        codes = ESTIMATES[place][1]
        rows = [self._row(code, 1 + (place + line) % 5, discount=5.0 if line == 1 else 0.0) for line, code in enumerate(codes)]
        portal.crm.set_rows(QUOTE, item["id"], rows, Actor(ALICE))


def harbour(portal: Portal) -> None:
    portal.title = "Harbour & Vine Trading"
    fill(portal, 60)


def stranger(portal: Portal) -> None:
    """Bob's portal: another customer of the app, who must never see the first one's things."""
    portal.title = "Bob's Bindery"
    fill(portal, 5)
    portal.users = {
        1: User(1, "Bob", "Stranger", "bob@bobs-bindery.example", admin=True, position="Owner"),
        2: User(2, "Nia", "Nibs", "nia@bobs-bindery.example", position="Sales"),
    }


def onpremise(portal: Portal) -> None:
    """Self-hosted and older (B§1.4, B§4.1)."""
    portal.title = "Kauri Crates (self-hosted)"
    fill(portal, 8)


def oldinvoices(portal: Portal) -> None:
    """Still on the old invoices: type 31 is switched off (B§14.53)."""
    portal.title = "Larchwood Lettings"
    fill(portal, 0)
    portal.smart_invoices = False


def westcoast(portal: Portal) -> None:
    """A server west of UTC, where date fields show the day before (B§8.0)."""
    portal.title = "Westcoast Wicker"
    fill(portal, 12)


SEEDS: dict[str, Callable[[Portal], None]] = {
    "harbour": harbour,
    "stranger": stranger,
    "onpremise": onpremise,
    "oldinvoices": oldinvoices,
    "westcoast": westcoast,
}
