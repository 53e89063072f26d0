"""How Bitrix24 holds each kind of document (B§8.0, B§8.2, B§8.3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CrmKind:
    """One kind of document in the CRM: its type, and the names under which it keeps what all kinds have."""

    name: str  # our word for it
    type_id: int  # entityTypeId
    owner_type: str  # of its product rows
    field_entity: str  # of its user fields
    number: str  # the field that people call its number
    until: tuple[str, ...]  # due date, or valid until: the first that is filled
    own_fields: tuple[str, ...]  # short names of the user fields that we keep on it
    extra: tuple[str, ...] = ()  # what is read besides

    @property
    def select(self) -> tuple[str, ...]:
        """The fields that a document is made of, without our own."""
        return (
            *("id", "title", self.number, "stageId", "begindate", *self.until, "companyId", "contactId", "mycompanyId"),
            *("opportunity", "isManualOpportunity", "taxValue", "currencyId", "assignedById", "createdTime", "updatedTime"),
            *self.extra,
        )

    def card(self, id_: int) -> str:
        """The path of its card in the CRM."""
        return f"/crm/type/{self.type_id}/details/{id_}/"


_SHOWN = ("xero_id", "xero_number", "xero_status", "xero_url", "xero_sending")
_MONEY = ("xero_paid", "xero_due", "xero_paid_on")
_TOLD = ("xero_synced", "xero_error")

INVOICE = CrmKind("invoice", 31, "SI", "CRM_SMART_INVOICE", "accountNumber", ("closedate",), (*_SHOWN, *_MONEY, *_TOLD), ("categoryId", "parentId7"))
#: Valid until is `actualDate`; older cards fill `closedate` only. A quote has no pipelines.
QUOTE = CrmKind("quote", 7, "Q", "CRM_QUOTE", "quoteNumber", ("actualDate", "closedate"), (*_SHOWN, *_TOLD), ("content", "contentType", "terms", "termsType"))


def process(type_id: int, id_: int) -> CrmKind:
    """Bills in a smart process: stages and items go by its entityTypeId, product rows by `T` and that in hexadecimal, user fields by its `id` (B§8.0).

    It has no field for a number: people call a bill by its title.
    """
    fields = (*(short for short in _SHOWN if short != "xero_sending"), *_MONEY, *_TOLD)
    return CrmKind("bill", type_id, f"T{type_id:x}", f"CRM_{id_}", "title", ("closedate",), fields, ("categoryId",))
