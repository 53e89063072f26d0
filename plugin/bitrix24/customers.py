"""Companies and people of the portal, for the first synchronisation: all ids, and what a contact in Xero is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from plugin.bitrix24.client import BATCH, Rest
from plugin.bitrix24.packing import Questions, groups, rows_under
from plugin.bitrix24.reading import Customers
from plugin.bitrix24.shapes import COMPANY, CONTACT, KINDS, person_name
from plugin.bitrix24.values import ident, text
from plugin.domain.crm import Customer

Kind = Literal["company", "contact"]
_TYPES: dict[Kind, int] = {"company": COMPANY, "contact": CONTACT}


def ids(rest: Rest, kind: Kind) -> Iterator[list[int]]:
    """Every id of this kind, fifty at a time, in rising order; the portal's own companies are left out (B§8.11)."""
    after = 0
    own = {"isMyCompany": "N"} if kind == "company" else {}
    while True:
        params = {"entityTypeId": _TYPES[kind], "select": ["id"], "filter": {">id": after, **own}, "order": {"id": "ASC"}, "start": -1}
        found = [number for row in rows_under(rest.call("crm.item.list", params), "items") if (number := ident(row.get("id")))]
        if found:
            yield found
            after = found[-1]
        if len(found) < BATCH:
            return


def name_of(rest: Rest, kind: Kind, id_: int) -> str | None:
    """What this company or contact is called, if `rest`'s person may see it; None where it is gone or hidden from them."""
    params = {"entityTypeId": _TYPES[kind], "select": ["id", "title", "name", "lastName"], "filter": {"=id": id_}, "start": -1}
    found = rows_under(rest.call("crm.item.list", params), "items")
    if not found:
        return None
    return text(found[0].get("title")) if kind == "company" else person_name(found[0])


def owners_of(rest: Rest, requisites: Iterable[int]) -> dict[int, str]:
    """Whose these requisites are, as "company:5"; those that are gone, or somebody else's, are absent (B§8.7)."""
    found: dict[int, str] = {}
    for part in groups(dict.fromkeys(requisites)):
        reply = rest.batch({f"r{number}": ("crm.requisite.get", {"id": number}) for number in part})
        for number in part:
            row = reply.results.get(f"r{number}")
            kind = KINDS.get(ident(row.get("ENTITY_TYPE_ID")) or 0) if isinstance(row, Mapping) else None
            if kind and isinstance(row, Mapping) and (owner := ident(row.get("ENTITY_ID"))):
                found[number] = f"{kind}:{owner}"
    return found


def read(rest: Rest, refs: Iterable[tuple[Kind, int]]) -> Sequence[Customer]:
    """These customers with requisites and addresses, packed."""
    questions = Questions(rest)
    customers = Customers(questions)
    for kind, number in refs:
        customers.add(kind, number)
    questions.run(customers.ask)
    return list(customers.found().values())
