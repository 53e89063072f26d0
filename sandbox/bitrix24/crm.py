"""The CRM of one portal: items, product rows, and what a change sets off (B§8)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.bitrix24 import dates, money
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.fields import COMPANY, CONTACT, INVOICE, LINKS, QUOTE, TYPES, EntityType, Field, camel_uf, integer, number, plain, yes_no
from sandbox.bitrix24.php import as_list, as_map

if TYPE_CHECKING:
    from sandbox.bitrix24.portal import Portal

Item = dict[str, Any]


@dataclass(frozen=True)
class Actor:
    """Who changes something; a robot's changes carry no tokens in their events (B§5.2)."""

    user_id: int
    robot: bool = False
    connector: str = ""


class Table:
    """The items of one type, found by id at once."""

    def __init__(self, type_: EntityType) -> None:
        self.type = type_
        self.by_id: dict[int, Item] = {}
        self.ids: list[int] = []
        self.next_id = 1

    def insert(self, item: Item, id_: int = 0) -> Item:
        number_ = id_ or self.next_id
        self.next_id = max(self.next_id, number_ + 1)
        item["id"] = number_
        self.by_id[number_] = item
        insort(self.ids, number_)
        return item

    def remove(self, id_: int) -> None:
        del self.by_id[id_]
        self.ids.remove(id_)

    def __iter__(self) -> Iterator[Item]:
        return iter([self.by_id[one] for one in self.ids])

    def __len__(self) -> int:
        return len(self.ids)


class Crm:
    """Items, rows, stages and their history."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.types = dict(TYPES)
        self.tables = {id_: Table(type_) for id_, type_ in TYPES.items()}
        self.rows: dict[tuple[str, int], list[Item]] = {}
        self.row_owner: dict[int, tuple[str, int]] = {}
        self.numbers: dict[str, int] = {}
        self.history: list[Item] = []
        self._field_cache: dict[int, tuple[int, dict[str, Field]]] = {}
        self.next_row = 1
        self.next_fm = 101
        self.next_number = 1001
        self.number_prefix = ""

    # --- the portal's own types ------------------------------------------------------------------------------------

    def add_type(self, type_: EntityType) -> None:
        """Items of this type may be kept from now on."""
        self.types[type_.id] = type_
        self.tables[type_.id] = Table(type_)

    def remove_type(self, type_id: int) -> None:
        """The type with all its items and rows is gone; nobody is told of the items one by one."""
        short = self.types.pop(type_id).short
        del self.tables[type_id]
        for key in [key for key in self.rows if key[0] == short]:
            for row in self.rows.pop(key):
                self.row_owner.pop(row["id"], None)
        self._field_cache.pop(type_id, None)

    # --- reading -------------------------------------------------------------------------------------------------

    def all_fields(self, type_id: int) -> dict[str, Field]:
        """The type's own fields and the portal's custom ones, by internal name."""
        cached = self._field_cache.get(type_id)
        if cached is not None and cached[0] == self.portal.user_field_version:
            return cached[1]
        made = dict(self.types[type_id].fields)
        for one in self.portal.user_fields.values():
            if one["entityId"] == self.types[type_id].uf_entity:
                made[one["fieldName"]] = Field(
                    one["fieldName"], one["userTypeId"], title=str(self.portal.label(one)), multiple=one["multiple"] == "Y", required=False, dynamic=True
                )
        self._field_cache[type_id] = (self.portal.user_field_version, made)
        return made

    def external_names(self, type_id: int, original: bool) -> dict[str, str]:
        """External name → internal name; custom fields in camel case unless useOriginalUfNames=Y (B§8.1)."""
        return {(one.name if original or not one.dynamic else camel_uf(one.name)): one.name for one in self.all_fields(type_id).values()}

    def show(self, type_id: int, item: Item, original: bool, only: Iterable[str] | None = None) -> Item:
        """An item as JSON carries it; `only` holds internal names."""
        shown: Item = {}
        fields = self.all_fields(type_id)
        for name in fields if only is None else only:
            one = fields.get(name)
            if one is None:
                continue
            shown[camel_uf(name) if one.dynamic and not original else name] = self.show_value(one, item.get(name))
        if type_id in (COMPANY, CONTACT) and only is None:
            shown["fm"] = [dict(entry) for entry in item.get("fm", [])]
        return shown

    def show_value(self, one: Field, value: Any) -> Any:
        if one.multiple:
            return [self._show_single(one, part) for part in as_list(value)]
        return self._show_single(one, value)

    def _show_single(self, one: Field, value: Any) -> Any:
        if one.kind == "datetime":
            return dates.write_moment(value, self.portal.zone)
        if one.kind == "date":
            return dates.write_date(value, self.portal.zone, self.portal.now(), self.portal.switch("date_fields_out"))
        if one.kind in LINKS and not value:
            return 0 if self.portal.switch("no_link_value") == "zero" else None
        return plain(value) if isinstance(value, float) else value

    def read_value(self, one: Field, value: Any) -> Any:
        """What came over the wire, as it is stored; bad values are refused."""
        if one.multiple:
            return [self._read_single(one, part) for part in as_list(value) if part not in (None, "")]
        return self._read_single(one, value)

    def _read_single(self, one: Field, value: Any) -> Any:
        zone = self.portal.zone
        if one.kind == "datetime":
            return dates.read_moment(value, zone, one.name)
        if one.kind == "date":
            return dates.read_date(value, zone, one.name)
        if one.kind == "boolean":
            return (1 if yes_no(value) == "Y" else 0) if one.dynamic else yes_no(value)
        if one.kind in LINKS:
            return integer(value)
        if one.kind == "integer":
            return None if value in (None, "") else integer(value)
        if one.kind == "double":
            return (None if one.dynamic else 0.0) if value in (None, "") else number(value)
        if isinstance(value, dict | list):
            return value if one.kind == "file" else ""
        return None if value is None or value == "" else str(value)

    def read_filter_value(self, one: Field, value: Any) -> Any:
        """A filter's value; booleans of custom fields are 1 and 0, never Y and N (B§8.0)."""
        if one.kind == "boolean":
            return (integer(value) if str(value) in ("0", "1") else value) if one.dynamic else str(value)
        if value in (None, ""):
            return 0 if one.kind in LINKS else ""
        return self._read_single(one, value)

    # --- writing -------------------------------------------------------------------------------------------------

    def parse_fields(self, type_id: int, raw: Any, original: bool, importing: bool = False, user_is_admin: bool = False) -> Item:
        """Writable fields only; unknown names are lost silently, as on the portal (B§8.1)."""
        known = self.external_names(type_id, original)
        fields, parsed = self.all_fields(type_id), {}
        writable_by_import = {"createdTime", "updatedTime", "createdBy", "updatedBy", "movedTime"} if importing and user_is_admin else set()
        for name, value in as_map(raw).items():
            one = fields.get(known.get(name, ""))
            if one is None:
                if type_id in (COMPANY, CONTACT) and (name == "fm" or (importing and name in ("PHONE", "EMAIL", "WEB", "IM"))):
                    parsed[name] = value
                continue
            if one.read_only and one.name not in writable_by_import:
                continue
            if one.name == "accountNumber" and self.portal.switch("account_number_writable") == "no":
                continue
            parsed[one.name] = self.read_value(one, value)
        return parsed

    def create(self, type_id: int, values: Item, actor: Actor, importing: bool = False, id_: int = 0) -> Item:
        """A new item with the defaults of B§8.2; robots run unless it is an import."""
        self._check(type_id, values, None, actor)
        now = self.portal.moment()
        item: Item = {name: ([] if one.multiple else 0 if one.kind in LINKS else None) for name, one in self.types[type_id].fields.items()}
        item |= {
            "createdBy": actor.user_id,
            "createdTime": now,
            "updatedBy": actor.user_id,
            "updatedTime": now,
            "lastActivityBy": actor.user_id,
            "lastActivityTime": now,
        }
        item |= {"assignedById": actor.user_id, "opened": "Y"}
        self.tables[type_id].insert(item, id_)
        self._defaults(type_id, item, values, actor, now)
        self._assign(type_id, item, values)
        if type_id == INVOICE:
            self._number(item)
        if "stageId" in item:
            self._remember_stage(type_id, item, 1)
        self.portal.item_event(type_id, "ADD", item["id"], actor)
        if not importing:
            self._automation(type_id, item, actor)
        return item

    def update(self, type_id: int, item: Item, values: Item, actor: Actor, quiet: bool = False) -> bool:
        """Whether anything changed; nothing is saved and no event goes out if not (B§8.1)."""
        self._check(type_id, values, item, actor)
        before = {name: item.get(name) for name in (*values, "stageId", "opportunity", "contactId", "contactIds", "fm")}
        old_number = item.get("accountNumber")
        self._assign(type_id, item, values)
        self._recompute(type_id, item)
        if all(item.get(name) == value for name, value in before.items()):
            return False
        if type_id == INVOICE and item.get("accountNumber") != old_number:
            self.numbers.pop(str(old_number), None)
            self._number(item)
        self._touch(item, actor)
        moved = "stageId" in item and item["stageId"] != before["stageId"]
        if moved:
            item |= {"previousStageId": before["stageId"], "movedBy": actor.user_id, "movedTime": item["updatedTime"]}
            self._remember_stage(type_id, item, 3 if self.portal.semantics(item["stageId"]) in ("S", "F") else 2)
        if not quiet:
            self.portal.item_event(type_id, "UPDATE", item["id"], actor)
            if moved:
                self._automation(type_id, item, actor)
        return True

    def delete(self, type_id: int, item: Item, actor: Actor) -> None:
        self.tables[type_id].remove(item["id"])
        short = self.types[type_id].short
        for row in self.rows.pop((short, item["id"]), []):
            self.row_owner.pop(row["id"], None)
        if item.get("accountNumber"):
            self.numbers.pop(str(item["accountNumber"]), None)
        self.portal.item_event(type_id, "DELETE", item["id"], actor)

    def touch(self, type_id: int, item: Item, actor: Actor, times: int = 1) -> None:
        """The owner was saved again, for example because its rows changed."""
        self._touch(item, actor)
        for _ in range(times):
            self.portal.item_event(type_id, "UPDATE", item["id"], actor)

    def _touch(self, item: Item, actor: Actor) -> None:
        now = self.portal.moment()
        item |= {"updatedBy": actor.user_id, "updatedTime": now, "lastActivityBy": actor.user_id, "lastActivityTime": now}

    def _check(self, type_id: int, values: Item, item: Item | None, actor: Actor) -> None:
        if type_id == COMPANY and (("title" in values and not values["title"]) or (item is None and not values.get("title"))):
            raise RestError("CRM_FIELD_ERROR_REQUIRED", "The &quot;Company Name&quot; field is required", 400)
        if type_id == CONTACT and item is None and not (values.get("name") or values.get("lastName")):
            raise RestError("CRM_FIELD_ERROR_REQUIRED", "The &quot;Name&quot; field is required", 400)
        stage = values.get("stageId")
        if stage and stage not in self.portal.stages(type_id):
            raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", "Invalid value of the field &quot;Stage&quot;", 400)
        currency = values.get("currencyId")
        if currency and currency not in self.portal.currencies:
            raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", "Invalid value of the field &quot;Currency&quot;", 400)
        self._check_number(values, item)
        self._check_finish(type_id, stage, item, actor)

    def _check_number(self, values: Item, item: Item | None) -> None:
        wanted = values.get("accountNumber")
        if not wanted or self.portal.switch("account_number_duplicates") == "allowed":
            return
        if self.numbers.get(str(wanted), 0) not in (0, item["id"] if item else 0):
            raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", "The invoice number is not unique", 400)

    def _check_finish(self, type_id: int, stage: str | None, item: Item | None, actor: Actor) -> None:
        user = self.portal.users.get(actor.user_id)
        if stage and item and stage != item["stageId"] and user and not user.may_finish and not actor.robot and self.portal.semantics(stage) in ("S", "F"):
            code = "" if self.portal.switch("stage_refusal_code") == "empty" else "-"
            raise RestError(code, "You cannot move the item to this stage.<br>", 400)

    def _defaults(self, type_id: int, item: Item, values: Item, actor: Actor, now: datetime) -> None:
        today = now.astimezone(self.portal.zone).date()
        given: Item = {"stageId": self.portal.first_stage(type_id), "previousStageId": "", "movedBy": actor.user_id, "movedTime": now}
        given |= {"begindate": today, "closedate": today + timedelta(days=7), "currencyId": self.portal.base_currency, "isManualOpportunity": "N"}
        given |= {"mycompanyId": self.portal.first_my_company(), "entityTypeId": type_id, "categoryId": self.portal.category_of(type_id)}
        # An item of a smart process has no amount at first, and a source (documented on the import's page).
        given |= {"sourceId": self.portal.first_source()} if type_id in self.portal.processes else {"opportunity": 0.0, "taxValue": 0.0}
        if type_id not in (COMPANY, CONTACT):
            item |= {name: value for name, value in given.items() if name in item}
        if type_id == QUOTE:
            item |= {"actualDate": today + timedelta(days=7), "quoteNumber": str(item["id"]), "closed": "N"}
        if type_id in (COMPANY, CONTACT):
            item |= {"fm": [], "isMyCompany": "N"} if type_id == COMPANY else {"fm": [], "export": "Y"}
            self._derive(item)
        if type_id != CONTACT and not values.get("title"):
            item["title"] = f"{self.types[type_id].title} #{item['id']}"

    def _assign(self, type_id: int, item: Item, values: Item) -> None:
        for name, value in values.items():
            if name in ("fm", "PHONE", "EMAIL", "WEB", "IM"):
                self._write_fm(item, name, value)
            elif name == "title" and not value and type_id != CONTACT:
                item["title"] = f"{self.types[type_id].title} #{item['id']}"
            elif name in ("createdTime", "updatedTime", "movedTime", "stageId", "quoteNumber") and not value:
                continue
            else:
                item[name] = value
        if "contactIds" in values and type_id != COMPANY:
            item["contactId"] = item["contactIds"][0] if item["contactIds"] else 0
        elif "contactId" in values:
            item["contactIds"] = [item["contactId"]] if item["contactId"] else []
        if type_id == CONTACT and "companyId" in values and "companyIds" not in values:
            item["companyIds"] = [item["companyId"]] if item["companyId"] else []

    def _number(self, item: Item) -> None:
        """The numerator fills an empty number (B§8.2)."""
        if not item.get("accountNumber"):
            while f"{self.number_prefix}{self.next_number}" in self.numbers:
                self.next_number += 1
            item["accountNumber"] = f"{self.number_prefix}{self.next_number}"
            self.next_number += 1
        self.numbers.setdefault(str(item["accountNumber"]), item["id"])

    def _remember_stage(self, type_id: int, item: Item, kind: int) -> None:
        self.history.append(
            {
                "ID": len(self.history) + 1,
                "TYPE_ID": kind,
                "OWNER_TYPE_ID": type_id,
                "OWNER_ID": item["id"],
                "CREATED_TIME": self.portal.moment(),
                "CATEGORY_ID": item.get("categoryId") or 0,
                "STAGE_SEMANTIC_ID": self.portal.semantics(item["stageId"]) or "P",
                "STAGE_ID": item["stageId"],
            }
        )

    def _automation(self, type_id: int, item: Item, actor: Actor) -> None:
        self.portal.automation.reached(type_id, item, actor)

    # --- phones and addresses of clients -----------------------------------------------------------------------------

    def _write_fm(self, item: Item, name: str, value: Any) -> None:
        """A list adds; a map edits by id, adds under n0, n1, … and deletes with an empty value (B§8.4)."""
        kept = [dict(entry) for entry in item.get("fm", [])]
        if name != "fm":
            entries: dict[str, Any] = {
                f"n{count}": {"typeId": name, "valueType": one.get("VALUE_TYPE", "WORK"), "value": one.get("VALUE", "")}
                for count, one in enumerate(as_list(value))
            }
        elif isinstance(value, list):
            entries = {f"n{count}": one for count, one in enumerate(value)}
        else:
            entries = as_map(value)
        for key, one in entries.items():
            if not isinstance(one, dict):
                continue
            kept = self._edit_fm(kept, key, one)
        item["fm"] = kept
        self._derive(item)

    def _edit_fm(self, kept: list[Item], key: str, one: Item) -> list[Item]:
        if key.isdigit():
            if not one.get("value"):
                return [entry for entry in kept if entry["id"] != int(key)]
            return [
                entry | {"valueType": one.get("valueType", entry["valueType"]), "value": one["value"]} if entry["id"] == int(key) else entry for entry in kept
            ]
        if one.get("value") and one.get("typeId"):
            kept.append({"id": self.next_fm, "typeId": one["typeId"], "valueType": one.get("valueType", "WORK"), "value": one["value"]})
            self.next_fm += 1
        return kept

    def _derive(self, item: Item) -> None:
        for type_id, name in (("PHONE", "phone"), ("EMAIL", "email"), ("IM", "imol")):
            entries = [entry for entry in item.get("fm", []) if entry["typeId"] == type_id]
            item[f"has{name.capitalize()}"] = "Y" if entries else "N"
            item[name] = entries[0]["value"] if entries else None
            for kind in {"phone": ("WORK", "MOBILE", "MAILING"), "email": ("WORK", "HOME", "MAILING"), "imol": ()}[name]:
                item[name + kind.capitalize()] = next((entry["value"] for entry in entries if entry["valueType"] == kind), None)

    # --- product rows --------------------------------------------------------------------------------------------

    def rows_of(self, type_id: int, owner_id: int) -> list[Item]:
        return self.rows.get((self.types[type_id].short, owner_id), [])

    def normal_row(self, raw: Item, kept: Item | None = None) -> Item:
        """A row as stored: catalogue defaults, then the normaliser (B§8.6)."""
        row: Item = {name: raw[name] for name in WRITABLE_ROW if name in raw}
        if kept is not None:
            row = self._merge_row(kept, row)
        product = self.portal.catalog.products.get(integer(row.get("productId")))
        row["productId"] = integer(row.get("productId"))
        row["productName"] = str(row.get("productName") or (product["name"] if product else ""))
        measure = self.portal.catalog.measure_by_code(integer(row.get("measureCode")) or (self.portal.catalog.measure_code(product) if product else 796))
        row |= {"measureCode": measure["code"], "measureName": measure["symbolIntl"]}
        row["sort"] = integer(row.get("sort"))
        row["xmlId"] = str(row.get("xmlId") or "")
        row["type"] = product["type"] if product else 1
        row["customized"] = "Y"
        return money.normalise(row, self.portal.switch("zero_tax_float"))

    @staticmethod
    def _merge_row(kept: Item, changed: Item) -> Item:
        base = {name: kept.get(name) for name in WRITABLE_ROW}
        rate = base["taxRate"]
        base["taxRate"] = rate if rate is None else ("0" if rate == 0 else str(rate))
        merged = {**base, **changed}
        if "price" in changed and kept["discountTypeId"] == 2 and "discountSum" not in changed:
            merged["discountSum"] = None
        if "discountRate" in changed and "discountTypeId" not in changed:
            merged["discountTypeId"] = 2
        return merged

    def set_rows(self, type_id: int, owner_id: int, raws: list[Item], actor: Actor) -> list[Item]:
        """Replace every row of the owner (B§8.6)."""
        key = (self.types[type_id].short, owner_id)
        made = [self.normal_row(one) for one in raws]
        old = self.rows.get(key, [])
        keep = self.portal.switch("rows_set_ids") == "kept"
        for place, row in enumerate(made):
            row["sort"] = row["sort"] or (place + 1) * 10
            self._adopt(key, row, old[place]["id"] if keep and place < len(old) else 0)
        for row in old:
            if all(row["id"] != one["id"] for one in made):
                self.row_owner.pop(row["id"], None)
        before = [_comparable_row(row) for row in old]
        self.rows[key] = made
        self._rows_changed(type_id, owner_id, actor, before != [_comparable_row(row) for row in made])
        return made

    def add_row(self, type_id: int, owner_id: int, raw: Item, actor: Actor) -> Item:
        key = (self.types[type_id].short, owner_id)
        row = self.normal_row(raw)
        rows = self.rows.setdefault(key, [])
        row["sort"] = row["sort"] or (len(rows) + 1) * 10
        self._adopt(key, row)
        rows.append(row)
        self._rows_changed(type_id, owner_id, actor, True)
        return row

    def change_row(self, row: Item, raw: Item, actor: Actor) -> Item:
        short, owner_id = self.row_owner[row["id"]]
        changed = self.normal_row(raw, row)
        before = _comparable_row(row)
        row.update(changed)
        self._rows_changed(self._type_id(short), owner_id, actor, before != _comparable_row(row))
        return row

    def drop_row(self, row: Item, actor: Actor) -> None:
        short, owner_id = self.row_owner.pop(row["id"])
        self.rows[short, owner_id] = [one for one in self.rows[short, owner_id] if one["id"] != row["id"]]
        self._rows_changed(self._type_id(short), owner_id, actor, True)

    def _type_id(self, short: str) -> int:
        return next(one.id for one in self.types.values() if one.short == short)

    def row(self, row_id: int) -> Item | None:
        owner = self.row_owner.get(row_id)
        return next((one for one in self.rows.get(owner, []) if one["id"] == row_id), None) if owner else None

    def show_row(self, row: Item) -> Item:
        short, owner_id = self.row_owner[row["id"]]
        shown: Item = {"id": row["id"], "ownerId": owner_id, "ownerType": short}
        shown |= {name: money.shown(row.get(name)) for name in SHOWN_ROW}
        shown["priceAccount"] = shown["price"]
        return shown

    def _adopt(self, key: tuple[str, int], row: Item, id_: int = 0) -> None:
        row["id"] = id_ or self.next_row
        if not id_:
            self.next_row += 1
        self.row_owner[row["id"]] = key

    def _rows_changed(self, type_id: int, owner_id: int, actor: Actor, changed: bool) -> None:
        """Whether the owner's update event follows is an open fact (B§5.7)."""
        if not changed:
            return
        owner = self.tables[type_id].by_id[owner_id]
        before = (owner["opportunity"], owner["taxValue"])
        self._recompute(type_id, owner, rows_were_removed=True)
        mode = self.portal.switch("rows_fire_update")
        if mode == "when_total_changes" and before == (owner["opportunity"], owner["taxValue"]):
            return
        self.touch(type_id, owner, actor, {"never": 0, "twice": 2}.get(mode, 1))

    def _recompute(self, type_id: int, item: Item, rows_were_removed: bool = False) -> None:
        """The total follows the rows unless it is manual (B§8.6)."""
        if not self.types[type_id].priced or item.get("isManualOpportunity") == "Y":
            return
        rows = self.rows_of(type_id, item["id"])
        if rows or rows_were_removed:
            item["opportunity"], item["taxValue"] = money.totals(rows)


WRITABLE_ROW = (
    "productId",
    "productName",
    "price",
    "quantity",
    "discountTypeId",
    "discountRate",
    "discountSum",
    "taxRate",
    "taxIncluded",
    "measureCode",
    "sort",
    "xmlId",
)
SHOWN_ROW = (
    "productId", "productName", "price", "priceExclusive", "priceNetto", "priceBrutto", "quantity", "discountTypeId", "discountRate", "discountSum",
    "taxRate", "taxIncluded", "customized", "measureCode", "measureName", "sort", "xmlId", "type",
)  # fmt: skip


def _comparable_row(row: Item) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in WRITABLE_ROW)
