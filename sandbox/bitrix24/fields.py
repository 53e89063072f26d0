"""The fields of the CRM's types, and how values are read and written (B§8.0, B§8.2–8.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

DEAL, CONTACT, COMPANY, QUOTE, INVOICE = 2, 3, 4, 7, 31

#: Kinds whose value is the id of something else; "no link" is stored as 0.
LINKS = {"crm_company", "crm_contact", "crm_deal", "crm_lead", "crm_quote", "user", "crm_category", "crm_entity"}


@dataclass(frozen=True)
class Field:
    """One field as `crm.item.fields` describes it."""

    name: str
    kind: str
    title: str = ""
    read_only: bool = False
    required: bool = False
    multiple: bool = False
    immutable: bool = False
    status_type: str = ""
    selectable: bool = True
    filterable: bool = True
    dynamic: bool = False
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def upper(self) -> str:
        return self.name if self.dynamic else upper_name(self.name)


def upper_name(name: str) -> str:
    """`closedate` → CLOSEDATE, `assignedById` → ASSIGNED_BY_ID."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def fields_of(text: str) -> list[Field]:
    """Fields out of lines of `name kind flags`: R read only, I immutable, * required, many, :DIRECTORY, nofilter."""
    made = []
    for line in text.strip().splitlines():
        name, kind, *flags = line.split()
        made.append(
            Field(
                name,
                kind,
                title=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize(),
                read_only="R" in flags,
                required="*" in flags,
                multiple="many" in flags,
                immutable="I" in flags,
                status_type=next((flag[1:] for flag in flags if flag.startswith(":")), ""),
                filterable="nofilter" not in flags,
            )
        )
    return made


_COMMON = """
id integer R
title string
stageId crm_status
previousStageId crm_status R
assignedById user
observers user many
opened boolean
createdBy user R
createdTime datetime R
updatedBy user R
updatedTime datetime R
movedBy user R
movedTime datetime R
lastActivityBy user R
lastActivityTime datetime R
webformId integer
utmSource string
utmMedium string
utmCampaign string
utmContent string
utmTerm string
"""

_MONEY = """
companyId crm_company
contactId crm_contact
contactIds crm_contact many
mycompanyId crm_company
opportunity double
isManualOpportunity boolean
taxValue double
currencyId crm_currency
begindate date
closedate date
comments text
locationId location
"""

_INVOICE = """
entityTypeId integer R
accountNumber string
xmlId string
categoryId crm_category
sourceId crm_status :SOURCE
sourceDescription text
parentId2 integer
parentId7 integer
"""

_QUOTE = """
quoteNumber string
actualDate date
dealId crm_deal
leadId crm_lead
content text
terms text
commentsType integer
contentType integer
termsType integer
closed boolean R
personTypeId integer
storageTypeId integer
storageElementIds integer many
clientTitle string
clientAddr string
clientContact string
clientEmail string
clientPhone string
clientTpId string
clientTpaId string
dateCreateShort date R
dateModifyShort date R
begindateShort date R
closedateShort date R
hasProducts boolean R
parentId2 integer
"""

_DEAL = """
categoryId crm_category
typeId crm_status :DEAL_TYPE
closed boolean R
probability integer
sourceId crm_status :SOURCE
sourceDescription text
additionalInfo string
originatorId string
originId string
leadId crm_lead
quoteId crm_quote
"""

_CLIENT = """
id integer R
createdBy user R
createdTime datetime R
updatedBy user R
updatedTime datetime R
lastActivityBy user R
lastActivityTime datetime R
assignedById user
observers user many
opened boolean
categoryId crm_category I
leadId crm_lead
comments text
originatorId string
originId string
originVersion string
hasPhone boolean R
hasEmail boolean R
hasImol boolean R
phone string R
email string R
imol string R
phoneWork string R
phoneMobile string R
phoneMailing string R
emailWork string R
emailHome string R
emailMailing string R
address string R
webformId integer
"""

_COMPANY = """
title string *
typeId crm_status :COMPANY_TYPE
industry crm_status :INDUSTRY
employees crm_status :EMPLOYEES
revenue double
currencyId crm_currency
bankingDetails text
logo file
isMyCompany boolean
contactIds crm_contact many
addressLegal string R
"""

_CONTACT = """
honorific crm_status :HONORIFIC
name string
secondName string
lastName string
post string
birthdate date
photo file
typeId crm_status :CONTACT_TYPE
sourceId crm_status :SOURCE
sourceDescription text
export boolean
companyId crm_company
companyIds crm_company many
"""


@dataclass(frozen=True)
class EntityType:
    """A type of the directory in B§8.0."""

    id: int
    short: str
    uf_entity: str
    name: str
    title: str
    fields: dict[str, Field]
    event: str

    @property
    def priced(self) -> bool:
        """Whether items have an amount that follows product rows."""
        return "opportunity" in self.fields

    @property
    def dynamic(self) -> bool:
        """Whether items are told of by the events that all types without events of their own share: invoices and smart processes."""
        return self.event == "ONCRMDYNAMICITEM"


def _type(id_: int, short: str, uf: str, name: str, title: str, text: str, event: str) -> EntityType:
    return EntityType(id_, short, uf, name, title, {one.name: one for one in fields_of(text)}, event)


TYPES: dict[int, EntityType] = {
    INVOICE: _type(31, "SI", "CRM_SMART_INVOICE", "SMART_INVOICE", "Invoice", _COMMON + _MONEY.lstrip() + _INVOICE.lstrip(), "ONCRMDYNAMICITEM"),
    QUOTE: _type(7, "Q", "CRM_QUOTE", "QUOTE", "Quote", _COMMON + _MONEY.lstrip() + _QUOTE.lstrip(), "ONCRMQUOTE"),
    COMPANY: _type(4, "CO", "CRM_COMPANY", "COMPANY", "Company", _CLIENT + _COMPANY.lstrip(), "ONCRMCOMPANY"),
    CONTACT: _type(3, "C", "CRM_CONTACT", "CONTACT", "Contact", _CLIENT + _CONTACT.lstrip(), "ONCRMCONTACT"),
    DEAL: _type(2, "D", "CRM_DEAL", "DEAL", "Deal", _COMMON + _MONEY.lstrip() + _DEAL.lstrip(), "ONCRMDEAL"),
}


def camel_uf(name: str) -> str:
    """`UF_CRM_2_16396` → `ufCrm2_16396`, `UF_CRM_SMART_INVOICE_X` → `ufCrm_SMART_INVOICE_X` (B§8.1)."""
    rest = name.removeprefix("UF_CRM_")
    numbered = re.fullmatch(r"(\d+)_(.+)", rest)
    return f"ufCrm{numbered[1]}_{numbered[2]}" if numbered else f"ufCrm_{rest}"


def number(value: Any, default: float = 0.0) -> float:
    """A number out of whatever came over the wire."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return default


def integer(value: Any) -> int:
    return int(number(value))


def plain(value: float) -> int | float:
    """JSON prints whole amounts without a fraction, as PHP does."""
    return int(value) if float(value).is_integer() else value


def yes_no(value: Any) -> str:
    """Y/N out of Y, N, 1, 0, true, false."""
    return "Y" if value in ("Y", "y", 1, "1", True, "true") else "N"


def bare(day: date | None) -> str:
    return day.isoformat() if day else ""


def names(fields: Iterable[Field]) -> list[str]:
    return [one.name for one in fields]
