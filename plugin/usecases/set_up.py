"""Set up once, in four steps, each proposed: organisation, ledgers, stages, taxes; then a check. All of it can be edited later.

Faults, by field; a problem of the same code where somebody confirms in spite of one:

setup.date_invalid, setup.date_missing, setup.seller_missing
setup.prefix_invalid       most
setup.prefix_required      another portal sends to the same organisation
setup.account_missing, setup.account_invalid    account
setup.accounts_same
setup.stage_unknown        stage (its id): the portal has no such stage, or not any more
setup.status_unknown       status
setup.nothing_would_go
setup.tax_missing          rate
setup.tax_not_for_sales    tax
setup.tax_rate_differs     rate, tax, tax_rate

Problem: portal.not_connected. Effects: effect.<setting> (before, after, or count), effect.already_sent (count).
Activities: activity.set_up, activity.settings_changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from plugin import activity, directory, jobs
from plugin.bitrix24 import stages as bitrix24_stages
from plugin.db import Transaction
from plugin.domain import quotes, taxes
from plugin.domain.crm import Stage, Visitor
from plugin.domain.ledger import Account, TaxRate
from plugin.domain.money import plain
from plugin.domain.problems import Problem
from plugin.domain.settings import QUOTE_STATUSES, QUOTE_WORDS, STAGE_STATUSES, STATUS_WORDS, Settings, tax_key
from plugin.domain.statuses import propose_stages
from plugin.kinds import INVOICE, KINDS, QUOTE
from plugin.models import Connection, FirstRun, Link, SettingsVersion, SetUp
from plugin.portals import current_settings, ensure_row, live_connection
from plugin.services import Services
from plugin.talking import books_of, portal_rest
from plugin.usecases import NotAllowed, connect_xero, list_invoices
from plugin.usecases.shown import Option, SetUpShown, StageRow, StatusRow, TaxRow, Told

STEPS = 5
ORGANISATION, LEDGERS, STAGES, TAXES, CHECK = 1, 2, 3, 4, 5
FACTS_FRESH = 60.0
PREFIX_LENGTH = 20


class Form(Protocol):
    """What a posted form offers: Werkzeug's MultiDict, or anything alike."""

    def get(self, key: str, default: str = ...) -> Any: ...

    def getlist(self, key: str) -> list[str]: ...

    def __contains__(self, key: object) -> bool: ...


def shown(services: Services, visitor: Visitor, step: int | None = None) -> SetUpShown:
    """The wizard at a step, by default where it was left. Facts are read live from both sides, choices are proposed."""
    _must_be_admin(visitor)
    connection = connect_xero.shown(services, visitor)
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
    if live is None or connection.state != "connected":
        return SetUpShown(ORGANISATION, False, connection)
    try:
        facts = _facts(services, visitor, live)
    except Problem as problem:
        if problem.code == "bitrix24.no_smart_invoices":
            return SetUpShown(ORGANISATION, False, connection, no_smart_invoices=True)
        raise
    _read_books(services, live)
    return _assemble(services, visitor, live, facts, step, {})


def save(services: Services, visitor: Visitor, step: int, form: Form) -> SetUpShown:
    """Take one step's answers. With faults the same step comes back saying what is wrong; else the next one."""
    _must_be_admin(visitor)
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
    if live is None:
        raise Problem("portal.not_connected")
    facts = _facts(services, visitor, live)
    with services.db.reading() as session:
        choices, _ = _draft(session, visitor, live, facts, services.now())
        accounts, rates = directory.accounts(session, live.organisation_id), directory.tax_rates(session, live.organisation_id)
        shared = _shared(session, live)
    faults: dict[str, Told] = {}
    if step in _STEPS_OF_FORM:
        choices, faults = _STEPS_OF_FORM[step](choices, form, _Known(facts, accounts, rates, shared))
    _store(services, visitor, live, choices, step if faults else min(step + 1, CHECK))
    return _assemble(services, visitor, live, facts, step if faults else min(step + 1, CHECK), faults)


def confirm(services: Services, visitor: Visitor) -> None:
    """Everything is settled: a new version of the settings holds from now on, and the first synchronisation starts."""
    _must_be_admin(visitor)
    now = services.now()
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
    if live is None:
        raise Problem("portal.not_connected")
    facts = _facts(services, visitor, live)
    with services.db.transaction() as tx:
        choices, _ = _draft(tx, visitor, live, facts, now)
        known = _Known(facts, directory.accounts(tx, live.organisation_id), directory.tax_rates(tx, live.organisation_id), _shared(tx, live))
        fault = next(iter(_all_faults(choices, known).values()), None)
        if fault is not None:
            raise Problem(fault.code, **fault.params)
        lock_settings(tx, live)
        before = current_settings(tx, visitor.portal_id, live.organisation_id)
        if before is not None and before[1] == choices:
            return
        tx.add(
            SettingsVersion(
                portal_id=visitor.portal_id,
                organisation_id=live.organisation_id,
                number=(before[0] if before else 0) + 1,
                body=choices.to_json(),
                created_by=visitor.user_id,
                created_by_name=visitor.name,
                created_at=now,
            )
        )
        code = "activity.settings_changed" if before else "activity.set_up"
        activity.record(tx, visitor.portal_id, code, now, organisation_id=live.organisation_id, user_id=visitor.user_id, user_name=visitor.name)
        if tx.scalar(select(FirstRun.id).where(FirstRun.portal_id == visitor.portal_id, FirstRun.organisation_id == live.organisation_id)) is None:
            tx.add(FirstRun(portal_id=visitor.portal_id, organisation_id=live.organisation_id, state="running", started_at=now))
            bell = jobs.portal_bell(visitor.portal_id)
            jobs.order(tx, jobs.Order(visitor.portal_id, jobs.FIRST_RUN, "first_run", bell, live.organisation_id, acting_user=visitor.user_id), now)
            tx.after_commit(lambda: services.bells.ring(bell))


def lock_settings(tx: Transaction, live: Connection) -> None:
    """A second press of a button, and another administrator, come after this one."""
    tx.execute(select(Connection.id).where(Connection.id == live.id).with_for_update())


def stages(services: Services, visitor: Visitor) -> tuple[Stage, ...]:
    """The stages of the portal's invoices, asked again after a minute; none without a connection."""
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
    return _stages(_facts(services, visitor, live)) if live is not None else ()


def find_accounts(services: Services, visitor: Visitor, kind: str, text: str) -> tuple[Option, ...]:
    """Accounts found as you type, by code or name, from the live chart; `kind` is income or expense."""
    _must_be_admin(visitor)
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
    if live is None:
        return ()
    directory.ensure(services, books_of(services, live, "people"), (directory.ACCOUNT,), fresh_for=FACTS_FRESH)
    with services.db.reading() as session:
        accounts = directory.accounts(session, live.organisation_id)
    choosable = taxes.expense_accounts(accounts.values()) if kind == "expense" else taxes.income_accounts(accounts.values())
    return tuple(_account_option(one) for one in taxes.search_accounts(choosable, text))[:20]


def _must_be_admin(visitor: Visitor) -> None:
    if not visitor.admin:
        raise NotAllowed


def _facts(services: Services, visitor: Visitor, live: Connection) -> dict[str, Any]:
    """Pipelines, sellers and taxes of the portal; asked again after a minute."""
    now = services.now()
    with services.db.reading() as session:
        row = session.scalar(select(SetUp).where(SetUp.portal_id == visitor.portal_id, SetUp.organisation_id == live.organisation_id))
    if row is not None and row.facts and datetime.fromisoformat(row.facts["at"]) > now - timedelta(seconds=FACTS_FRESH):
        return dict(row.facts)
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
    stages = (*bitrix24_stages.pipelines(rest), *bitrix24_stages.quote_stages(rest))
    list_invoices.keep_stages(services, visitor.portal_id, stages)
    facts = {
        "at": now.isoformat(),
        "stages": [asdict(one) for one in stages],
        "sellers": [[number, title] for number, title in bitrix24_stages.sellers(rest)],
        "rates": [[name, None if rate is None else plain(rate)] for name, rate in bitrix24_stages.tax_rates(rest)],
    }
    with services.db.transaction() as tx:
        _row(tx, visitor, live, now).facts = facts
    return facts


def _read_books(services: Services, live: Connection) -> None:
    books = books_of(services, live, "people")
    directory.ensure(services, books, (directory.ORGANISATION, directory.ACCOUNT, directory.TAX), fresh_for=FACTS_FRESH)


class _Known:
    """What answers are checked against."""

    def __init__(self, facts: Mapping[str, Any], accounts: Mapping[str, Account], rates: Mapping[str, TaxRate], shared: bool) -> None:
        self.stages = _stages(facts)
        self.quote_stages = _stages(facts, QUOTE.name)
        self.sellers = {int(number) for number, _ in facts["sellers"]}
        self.keys = _tax_lines(facts)
        self.income = {one.code for one in taxes.income_accounts(accounts.values())}
        self.expense = {one.code for one in taxes.expense_accounts(accounts.values())}
        self.rates = rates
        self.shared = shared


def _stages(facts: Mapping[str, Any], kind: str = INVOICE.name) -> tuple[Stage, ...]:
    """Of invoices, or of quotes: none where the portal has no quotes."""
    return tuple(stage for one in facts["stages"] if (stage := Stage(**one)).kind == kind)


def _tax_lines(facts: Mapping[str, Any]) -> dict[str, tuple[str, Decimal | None]]:
    """The lines of the tax map: every rate of the portal, and always "no tax" and 0 % apart (RULES 18)."""
    lines: dict[str, tuple[str, Decimal | None]] = {"none": ("", None), "0": ("", Decimal(0))}
    for name, rate in facts["rates"]:
        value = None if rate is None else Decimal(rate)
        lines[tax_key(value)] = (str(name), value)
    return lines


def _shared(session: Session, live: Connection) -> bool:
    """Does another portal send to the same organisation? Then numbers need a prefix (RULES 13)."""
    other = select(Connection.id).where(
        Connection.organisation_id == live.organisation_id, Connection.portal_id != live.portal_id, Connection.ended_at.is_(None)
    )
    return session.scalar(other.limit(1)) is not None


def _draft(session: Session, visitor: Visitor, live: Connection, facts: Mapping[str, Any], now: datetime) -> tuple[Settings, int]:
    """The choices so far: the draft, over the settings that hold, over what we propose."""
    row = session.scalar(select(SetUp).where(SetUp.portal_id == visitor.portal_id, SetUp.organisation_id == live.organisation_id))
    held = current_settings(session, visitor.portal_id, live.organisation_id)
    base = held[1] if held else _proposal(session, live, facts, _today(now, visitor.timezone))
    stored = (row.draft if row else None) or {}
    choices = Settings.from_json({**base.to_json(), **stored})
    forward, _back = propose_stages(_stages(facts))
    quote_forward, quote_back = quotes.propose_stages(_stages(facts, QUOTE.name))
    if not choices.quote_stage_to_status:  # confirmed before there were quotes: their map is proposed like the rest was
        choices = replace(choices, quote_status_to_stage=quote_back)
    choices = replace(
        choices,
        stage_to_status={**forward, **choices.stage_to_status},
        quote_stage_to_status={**quote_forward, **choices.quote_stage_to_status},
    )
    return choices, row.step if row else ORGANISATION


def _today(now: datetime, timezone: str) -> date:
    try:
        return now.astimezone(ZoneInfo(timezone)).date() if timezone else now.date()
    except (ZoneInfoNotFoundError, ValueError):
        return now.date()


def _proposal(session: Session, live: Connection, facts: Mapping[str, Any], today: date) -> Settings:
    accounts = list(directory.accounts(session, live.organisation_id).values())
    rates = list(directory.tax_rates(session, live.organisation_id).values())
    income, expense = taxes.propose_accounts(accounts)
    forward, back = propose_stages(_stages(facts))
    proposed = taxes.propose_taxes(list(_tax_lines(facts).values()), rates)
    return Settings(
        start_date=today,
        sellers=tuple(int(number) for number, _ in facts["sellers"]),
        income_account=income or "",
        expense_account=expense or "",
        stage_to_status=forward,
        status_to_stage=back,
        taxes={key: one.tax_type for key, one in proposed.items() if one.tax_type},
    )


def _store(services: Services, visitor: Visitor, live: Connection, choices: Settings, step: int) -> None:
    now = services.now()
    with services.db.transaction() as tx:
        row = _row(tx, visitor, live, now)
        row.draft, row.step, row.updated_at = choices.to_json(), step, now


def _row(tx: Transaction, visitor: Visitor, live: Connection, now: datetime) -> SetUp:
    """The draft, locked; made by the first of two pages that need it."""
    mine = {"portal_id": visitor.portal_id, "organisation_id": live.organisation_id}
    ensure_row(tx, SetUp, **mine, draft={}, updated_at=now)
    return tx.scalars(select(SetUp).filter_by(**mine).with_for_update()).one()


def _take_organisation(choices: Settings, form: Form, known: _Known) -> tuple[Settings, dict[str, Told]]:
    faults: dict[str, Told] = {}
    start = choices.start_date
    try:
        start = date.fromisoformat(form.get("start_date", "")) if form.get("start_date", "") else None
    except ValueError:
        faults["start_date"] = Told("setup.date_invalid")
    if start is None and "start_date" not in faults:
        faults["start_date"] = Told("setup.date_missing")
    sellers = tuple(int(one) for one in form.getlist("seller") if one.isdecimal() and int(one) in known.sellers)
    if known.sellers and not sellers:
        faults["seller"] = Told("setup.seller_missing")
    prefix = str(form.get("number_prefix", "")).strip()
    policy: Literal["crm", "xero"] = "xero" if form.get("number_policy", "crm") == "xero" else "crm"
    choices = replace(
        choices,
        start_date=start,
        sellers=sellers,
        number_policy=policy,
        number_prefix=prefix,
    )
    return choices, faults | _number_faults(choices, known)


def _number_faults(choices: Settings, known: _Known) -> dict[str, Told]:
    prefix = choices.number_prefix
    if len(prefix) > PREFIX_LENGTH or not prefix.isascii() or (prefix and not prefix.isprintable()):
        return {"number_prefix": Told("setup.prefix_invalid", {"most": PREFIX_LENGTH})}
    if known.shared and choices.number_policy == "crm" and not prefix:
        return {"number_prefix": Told("setup.prefix_required")}
    return {}


def _take_ledgers(choices: Settings, form: Form, known: _Known) -> tuple[Settings, dict[str, Told]]:
    source = form.get("item_code_source", "")
    choices = replace(
        choices,
        income_account=str(form.get("income", "")).strip(),
        expense_account=str(form.get("expense", "")).strip(),
        create_contacts="create_contacts" in form,
        create_items="create_items" in form,
        item_code_source=source if source in ("code", "xmlId", "id") else choices.item_code_source,
    )
    return choices, _ledger_faults(choices, known)


def _ledger_faults(choices: Settings, known: _Known) -> dict[str, Told]:
    faults = {}
    if choices.income_account not in known.income:
        faults["income"] = Told("setup.account_missing" if not choices.income_account else "setup.account_invalid", {"account": choices.income_account})
    if choices.expense_account not in known.expense:
        faults["expense"] = Told("setup.account_missing" if not choices.expense_account else "setup.account_invalid", {"account": choices.expense_account})
    if not faults and choices.income_account == choices.expense_account:
        faults["expense"] = Told("setup.accounts_same")
    return faults


def _take_stages(choices: Settings, form: Form, known: _Known) -> tuple[Settings, dict[str, Told]]:
    named = {one.id: str(form.get(f"stage:{one.id}", "")) for one in known.stages if f"stage:{one.id}" in form}
    forward = {one: status for one, status in named.items() if status in STAGE_STATUSES}
    faults = {f"stage:{one}": Told("setup.status_unknown", {"status": status[:32]}) for one, status in named.items() if one not in forward}
    back = {word: str(form.get(f"status:{word}", ""))[:64] for word in STATUS_WORDS if form.get(f"status:{word}", "")}
    choices = replace(choices, stage_to_status={**choices.stage_to_status, **forward}, status_to_stage=back)
    if known.quote_stages:
        choices, of_quotes = _take_quote_stages(choices, form, known)
        faults |= of_quotes
    return choices, faults | _stage_faults(choices, known)


def _take_quote_stages(choices: Settings, form: Form, known: _Known) -> tuple[Settings, dict[str, Told]]:
    named = {one.id: str(form.get(f"quote-stage:{one.id}", "")) for one in known.quote_stages if f"quote-stage:{one.id}" in form}
    forward = {one: status for one, status in named.items() if status in QUOTE_STATUSES}
    faults = {f"quote-stage:{one}": Told("setup.status_unknown", {"status": status[:32]}) for one, status in named.items() if one not in forward}
    asked = any(f"quote-status:{word}" in form for word in QUOTE_WORDS)
    back = {word: str(form.get(f"quote-status:{word}", ""))[:64] for word in QUOTE_WORDS if form.get(f"quote-status:{word}", "")}
    choices = replace(choices, quote_stage_to_status={**choices.quote_stage_to_status, **forward})
    return replace(choices, quote_status_to_stage=back) if asked else choices, faults


def _stage_faults(choices: Settings, known: _Known) -> dict[str, Told]:
    ids = {one.id for one in known.stages}
    faults = {f"status:{word}": Told("setup.stage_unknown", {"stage": stage}) for word, stage in choices.status_to_stage.items() if stage not in ids}
    quote_ids = {one.id for one in known.quote_stages}
    faults |= {
        f"quote-status:{word}": Told("setup.stage_unknown", {"stage": stage})
        for word, stage in choices.quote_status_to_stage.items()
        if quote_ids and stage not in quote_ids
    }
    if faults:
        return faults
    if known.stages and not any(choices.stage_to_status.get(one.id) for one in known.stages):
        return {"stages": Told("setup.nothing_would_go")}
    return {}


def _take_taxes(choices: Settings, form: Form, known: _Known) -> tuple[Settings, dict[str, Told]]:
    chosen = {key: str(form.get(f"tax:{key}", "")) for key in known.keys}
    choices = replace(choices, taxes={**choices.taxes, **chosen})
    return choices, _tax_faults(choices, known)


def _tax_faults(choices: Settings, known: _Known) -> dict[str, Told]:
    faults = {}
    for key, (_, rate) in known.keys.items():
        chosen = choices.taxes.get(key, "")
        if not chosen:
            continue  # a rate that has no counterpart in Xero: its invoices are refused with that reason
        held = known.rates.get(chosen)
        if held is None:
            faults[f"tax:{key}"] = Told("setup.tax_missing", {"rate": key})
        elif not held.active or not held.revenue:
            faults[f"tax:{key}"] = Told("setup.tax_not_for_sales", {"tax": held.name})
        elif held.rate != (rate or Decimal(0)):
            faults[f"tax:{key}"] = Told("setup.tax_rate_differs", {"rate": key, "tax": held.name, "tax_rate": plain(held.rate)})
    return faults


_Take = Callable[[Settings, Form, _Known], tuple[Settings, dict[str, Told]]]
_STEPS_OF_FORM: dict[int, _Take] = {ORGANISATION: _take_organisation, LEDGERS: _take_ledgers, STAGES: _take_stages, TAXES: _take_taxes}


def _all_faults(choices: Settings, known: _Known) -> dict[str, Told]:
    missing = {} if choices.start_date else {"start_date": Told("setup.date_missing")}
    return missing | _number_faults(choices, known) | _ledger_faults(choices, known) | _stage_faults(choices, known) | _tax_faults(choices, known)


def _assemble(services: Services, visitor: Visitor, live: Connection, facts: Mapping[str, Any], step: int | None, faults: dict[str, Told]) -> SetUpShown:
    connection = connect_xero.shown(services, visitor)
    with services.db.reading() as session:
        choices, left_at = _draft(session, visitor, live, facts, services.now())
        held = current_settings(session, visitor.portal_id, live.organisation_id)
        accounts = directory.accounts(session, live.organisation_id)
        rates = directory.tax_rates(session, live.organisation_id)
        shared = _shared(session, live)
        links = session.scalar(
            select(func.count())
            .select_from(Link)
            .where(Link.portal_id == visitor.portal_id, Link.organisation_id == live.organisation_id, Link.xero_kind.in_(KINDS))
        )
    all_stages, quote_stages = _stages(facts), _stages(facts, QUOTE.name)
    quotes_proposed = held is None or not held[1].quote_stage_to_status
    return SetUpShown(
        step=step or left_at,
        confirmed=held is not None,
        connection=connection,
        start_date=choices.start_date,
        sellers=tuple((int(number), str(title), not choices.sellers or int(number) in choices.sellers) for number, title in facts["sellers"]),
        income=_account_option(accounts[choices.income_account]) if choices.income_account in accounts else None,
        expense=_account_option(accounts[choices.expense_account]) if choices.expense_account in accounts else None,
        income_options=tuple(_account_option(one) for one in taxes.income_accounts(accounts.values())),
        expense_options=tuple(_account_option(one) for one in taxes.expense_accounts(accounts.values())),
        stages=tuple(
            StageRow(one.id, one.name, one.color, one.category_name, one.semantics, choices.stage_to_status.get(one.id, "DRAFT"), held is None)
            for one in all_stages
        ),
        statuses=tuple(StatusRow(word, choices.status_to_stage.get(word, ""), held is None) for word in STATUS_WORDS),
        stage_options=tuple(Option(one.id, one.name, one.category_name) for one in all_stages),
        quote_stages=tuple(
            StageRow(one.id, one.name, one.color, "", one.semantics, choices.quote_stage_to_status.get(one.id, "DRAFT"), quotes_proposed)
            for one in quote_stages
        ),
        quote_statuses=tuple(StatusRow(word, choices.quote_status_to_stage.get(word, ""), quotes_proposed) for word in QUOTE_WORDS) if quote_stages else (),
        quote_stage_options=tuple(Option(one.id, one.name) for one in quote_stages),
        taxes=_tax_rows(facts, choices, rates, held is None),
        number_policy=choices.number_policy,
        number_prefix=choices.number_prefix,
        prefix_required=shared,
        create_contacts=choices.create_contacts,
        create_items=choices.create_items,
        item_code_source=choices.item_code_source,
        effects=_effects(held[1], choices, links or 0) if held else (),
        faults=faults,
    )


def _tax_rows(facts: Mapping[str, Any], choices: Settings, rates: Mapping[str, TaxRate], proposed: bool) -> tuple[TaxRow, ...]:
    lines = _tax_lines(facts)
    found = taxes.propose_taxes(list(lines.values()), list(rates.values()))
    usable = [one for one in rates.values() if one.active and one.revenue]
    rows = []
    for key, (name, _) in sorted(lines.items(), key=lambda line: (line[0] != "none", Decimal(line[0]) if line[0] != "none" else Decimal(-1))):
        proposal = found[key]
        rows.append(
            TaxRow(
                key,
                name,
                choices.taxes.get(key, ""),
                tuple(_tax_option(one) for one in proposal.candidates),
                tuple(_tax_option(one) for one in usable if one not in proposal.candidates),
                proposed,
                proposed and not proposal.certain,
            )
        )
    return tuple(rows)


def _tax_option(rate: TaxRate) -> Option:
    return Option(rate.tax_type, rate.name, f"{plain(rate.rate)} %")


def _account_option(account: Account) -> Option:
    return Option(account.code, f"{account.code} {account.name}", account.type)


def _effects(before: Settings, after: Settings, links: int) -> tuple[Told, ...]:
    """What saving would change, in sentences, before it is confirmed."""
    plain_ones = ("income_account", "expense_account", "start_date", "number_policy", "number_prefix", "create_contacts", "create_items", "item_code_source")
    told = [
        Told(f"effect.{name}", {"before": str(getattr(before, name)), "after": str(getattr(after, name))})
        for name in plain_ones
        if getattr(before, name) != getattr(after, name)
    ]
    for name in ("stage_to_status", "status_to_stage", "quote_stage_to_status", "quote_status_to_stage", "taxes", "sellers"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            changed = sum(1 for key in {*one, *other} if one.get(key, "") != other.get(key, "")) if isinstance(one, dict) else len(set(one) ^ set(other))
            told.append(Told(f"effect.{name}", {"count": changed}))
    if told and links:
        told.append(Told("effect.already_sent", {"count": links}))
    return tuple(told)
