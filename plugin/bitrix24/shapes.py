"""Rows of Bitrix24's answers as values of the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from plugin.bitrix24.fields import own_values
from plugin.bitrix24.kinds import CrmKind
from plugin.bitrix24.values import amount, decode_date, ident, moment, optional_amount, text, words, yes
from plugin.domain.crm import Address, Customer, Invoice, Product, Row

COMPANY, CONTACT = 4, 3
KINDS: Mapping[int, Literal["company", "contact"]] = {COMPANY: "company", CONTACT: "contact"}

#: Physical, registered, legal and postal addresses, as wanted for a contact (B§8.7).
ADDRESS_TYPES = (1, 4, 6, 8)

NEVER_SEEN = datetime(1970, 1, 1, tzinfo=UTC)


def document_of(kind: CrmKind, item: Mapping[str, Any]) -> Invoice:
    """A document without its rows (B§8.2: closedate is the due date)."""
    return Invoice(
        kind=kind.name,
        id=ident(item.get("id")) or 0,
        number=text(item.get(kind.number)),
        title=text(item.get("title")),
        stage_id=text(item.get("stageId")),
        currency=text(item.get("currencyId")),
        total=amount(item.get("opportunity")),
        tax_total=amount(item.get("taxValue")),
        manual_total=yes(item.get("isManualOpportunity")),
        date=decode_date(item.get("begindate")),
        due_date=next((day for name in kind.until if (day := decode_date(item.get(name)))), None),
        company_id=ident(item.get("companyId")),
        contact_id=ident(item.get("contactId")),
        seller_id=ident(item.get("mycompanyId")),
        assigned_by=ident(item.get("assignedById")),
        created_at=moment(item.get("createdTime")) or NEVER_SEEN,
        updated_at=moment(item.get("updatedTime")) or NEVER_SEEN,
        category_id=ident(item.get("categoryId")),
        summary=words(item.get("content"), item.get("contentType")),
        terms=words(item.get("terms"), item.get("termsType")),
        quote_id=ident(item.get("parentId7")),
        fields=own_values(kind, item),
    )


def row_of(row: Mapping[str, Any]) -> Row:
    """A product row; a tax rate of null is "no tax", 0 is a zero rate (B§8.6)."""
    return Row(
        id=ident(row.get("id")) or 0,
        product_id=ident(row.get("productId")) or 0,
        name=text(row.get("productName")),
        price=amount(row.get("price")),
        quantity=amount(row.get("quantity")),
        price_exclusive=amount(row.get("priceExclusive")),
        price_netto=amount(row.get("priceNetto")),
        price_brutto=amount(row.get("priceBrutto")),
        discount_type=ident(row.get("discountTypeId")) or 2,
        discount_rate=amount(row.get("discountRate")),
        discount_sum=amount(row.get("discountSum")),
        tax_rate=optional_amount(row.get("taxRate")),
        tax_included=yes(row.get("taxIncluded")),
        measure=text(row.get("measureName")),
        sort=ident(row.get("sort")) or 0,
    )


def person_name(item: Mapping[str, Any]) -> str:
    """A contact as people are called: first and last name."""
    return " ".join(part for part in (text(item.get("name")), text(item.get("lastName"))) if part)


def customer_of(type_id: int, item: Mapping[str, Any], requisites: Iterable[Mapping[str, Any]], addresses: Iterable[Address]) -> Customer:
    """A company or contact with its multifields, requisites and addresses in one value (B§8.4, §8.7)."""
    papers = list(requisites)
    person = type_id == CONTACT
    return Customer(
        kind=KINDS[type_id],
        id=ident(item.get("id")) or 0,
        name=person_name(item) if person else text(item.get("title")),
        first_name=text(item.get("name")) if person else "",
        last_name=text(item.get("lastName")) if person else "",
        email=_email(item),
        phones=tuple((text(one.get("valueType")), text(one.get("value"))) for one in _multifields(item, "PHONE")),
        addresses=tuple(addresses),
        tax_number=_first(papers, "RQ_VAT_ID") or _first(papers, "RQ_INN"),
        company_number=_first(papers, "RQ_COMPANY_ID"),
    )


def _email(item: Mapping[str, Any]) -> str:
    """The work address first, then any other."""
    found = sorted(_multifields(item, "EMAIL"), key=lambda one: one.get("valueType") != "WORK")
    return text(found[0].get("value")) if found else ""


def _multifields(item: Mapping[str, Any], type_id: str) -> list[Mapping[str, Any]]:
    return [one for one in item.get("fm") or [] if one.get("typeId") == type_id and text(one.get("value"))]


def _first(papers: Iterable[Mapping[str, Any]], name: str) -> str:
    return next((text(one[name]).strip() for one in papers if text(one.get(name)).strip()), "")


def address_of(row: Mapping[str, Any]) -> Address:
    """An address; PROVINCE is the state, REGION the district (B§8.7)."""
    return Address(
        type_id=ident(row.get("TYPE_ID")) or 0,
        line1=text(row.get("ADDRESS_1")),
        line2=text(row.get("ADDRESS_2")),
        city=text(row.get("CITY")),
        region=text(row.get("REGION")),
        province=text(row.get("PROVINCE")),
        postal_code=text(row.get("POSTAL_CODE")),
        country=text(row.get("COUNTRY")),
    )


def product_of(row: Mapping[str, Any], code_field: str, parent_field: str) -> Product:
    """A catalogue product or variation. `code_field` is the field that the portal chose to hold its item codes."""
    return Product(
        id=ident(row.get("id")) or 0,
        name=text(row.get("name")),
        code=text(_single(row.get(code_field))).strip(),
        section_id=ident(row.get("iblockSectionId")),
        parent_id=ident(_single(row.get("parentId"))) or (ident(_single(row.get(parent_field))) if parent_field else None),
    )


def _single(value: Any) -> Any:
    """Properties come as `{value, valueId}` or a list of those (B§9.3)."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value.get("value") if isinstance(value, Mapping) else value
