"""After quiet: what both sides hold, what our rows say, and whether they agree."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from plugin import durations, sentences
from plugin.jobs import CRM_SWEEP, PULL
from plugin.models import Activity, Arrival, Batch, BatchDocument, Call, Connection, Job, Link, XeroLogin
from tests.chaos.drawing import TIME_OUTS
from tests.chaos.system import PACE

if TYPE_CHECKING:
    from tests.chaos.trial import Trial

WELL = ("created", "updated", "unchanged")
RUNNING = "a job is still running"
#: Problems that a trial may end with: the person may not do it.
FAIR = ("send.may_not_edit", "send.may_not_see")
#: After these the limiter knows nothing of what is in the air, and may meet Xero's own limit once.
BLIND = (
    "kill Redis, emptied",
    "kill Redis, kept",
    "hang Redis",
    "freeze the conductor",
    "kill the conductor",
    "kill a worker",
    "kill all workers",
    "another app uses the minute",
    "workers stay away",
)


def audit(trial: Trial, last: bool = False) -> list[str]:
    """Every difference in a sentence. `last`: Xero has to hold what the CRM says now, not what it said when it was sent."""
    account = trial.system.ask("account", ids=trial.ids)
    found: list[str] = []
    with trial.system.rows() as session:
        documents = session.scalars(select(BatchDocument).where(BatchDocument.batch_id.in_(trial.batches))).all()
        # Also those whose page never told their number, for the web process was killed.
        batches = session.scalars(select(Batch).where(Batch.created_at >= trial.began_at)).all()
        sends = {one.id for one in batches if one.kind == "send"}
        links = session.scalars(select(Link).where(Link.crm_kind == "invoice", Link.crm_id.in_(trial.ids), Link.ended_at.is_(None))).all()
        subjects = [f"invoice:{crm_id}" for crm_id in trial.ids]
        said = session.execute(
            select(Activity.subject, Activity.code).where(Activity.subject.in_(subjects), Activity.code.in_(("activity.created", "activity.linked")))
        ).all()
        jobs = list(session.scalars(select(Job).where(Job.state != "done")))
        calls = session.scalars(select(Call).where(Call.answered_at.is_(None), Call.sent_at >= trial.began_at)).all()
        troubles = [one.problem for one in session.scalars(select(Connection).where(Connection.ended_at.is_(None))) if one.problem]
        troubles += [problem for problem in session.scalars(select(XeroLogin.problem)) if problem]
    by_id = {link.crm_id: link for link in links}
    created = Counter(subject for subject, _ in said)
    # What a webhook or the clock ordered beside us is no part of the trial.
    asked = {one.job_id for one in documents}
    jobs = [one for one in jobs if one.kind not in (PULL, CRM_SWEEP) or one.id in asked]
    waiting = {one.subject for one in jobs}
    for crm_id in trial.ids:
        rows = [one for one in documents if one.crm_id == crm_id]
        if f"invoice:{crm_id}" in waiting:
            found += [f"invoice {crm_id} still waits: {one.problem_code}" for one in jobs if one.subject == f"invoice:{crm_id}"]
            continue
        one = _Invoice(crm_id, account["invoices"][str(crm_id)], rows, by_id.get(crm_id), created[f"invoice:{crm_id}"], sends)
        found += one.differences(last, back_waits=f"back:invoice:{crm_id}" in waiting)
    found += [f"batch {one.id} is {one.state}" for one in batches if one.state not in ("done", "cancelled", "to_confirm") and not waiting]
    found += [f"{what} in Xero more than once: {names}" for what, names in account["twice"].items() if names]
    found += [f"{RUNNING}: {one.kind} {one.subject}" for one in jobs if one.state == "running"]
    found += _open_calls(calls, {one.call_id for one in jobs})
    found += [f"the connection has a problem: {one}" for one in troubles]
    if _sees(trial) and account["refused"]:
        found.append(f"refused by a limit: {account['refused'][:3]}")
    if _sees(trial) and account["bitrix24_refused"]:
        found.append(f"refused by Bitrix24's limit: {account['bitrix24_refused'][:3]}")
    return found + _brought(trial)


def _brought(trial: Trial) -> list[str]:
    """What was made in Xero is in the CRM once, with its total and a link."""
    if not trial.made:
        return []
    held = trial.system.ask("brought", ids=trial.made)
    with trial.system.rows() as session:
        rows = {one.xero_id: one for one in session.scalars(select(Arrival).where(Arrival.xero_id.in_(trial.made)))}
        links = {one.xero_id: one for one in session.scalars(select(Link).where(Link.xero_id.in_(trial.made), Link.ended_at.is_(None)))}
    found = [f"customers in the CRM more than once: {held['twice']}"] if held["twice"] else []
    for xero_id, invoices in held["invoices"].items():
        if len(invoices) != 1:
            row = rows.get(xero_id)
            said = f"{row.state} {row.problem_code}" if row is not None else "nothing of it"
            found.append(f"made in Xero {xero_id}: the CRM holds {len(invoices)}, and we say {said}")
        elif invoices[0]["total"] != held["totals"][xero_id]:
            found.append(f"made in Xero {xero_id}: the CRM says {invoices[0]['total']}, Xero {held['totals'][xero_id]}")
        elif links.get(xero_id) is None or links[xero_id].crm_id != invoices[0]["id"]:
            found.append(f"made in Xero {xero_id}: no link to invoice {invoices[0]['id']}")
    return found


def _sees(trial: Trial) -> bool:
    """Could the limiter know what was in the air? Not after some blows, nor where an answer was not waited for, nor on a starved machine."""
    fault = trial.drawn.fault
    crowded = os.getloadavg()[0] > (os.cpu_count() or 1)  # a slot's lease of 0.75 s runs out while its process waits for the processor
    return trial.drawn.blow not in BLIND and not (fault and fault[1] in TIME_OUTS) and not crowded and not trial.system.breath.was_short()


def _open_calls(calls: Any, held: set[int | None]) -> list[str]:
    old = datetime.now(UTC) - timedelta(seconds=durations.KEY_TRUSTED / PACE)
    left = [one for one in calls if one.id not in held]
    return [f"call {one.id} ({one.operation}) is open though nothing waits for it{' and it is old' if one.sent_at < old else ''}" for one in left]


class _Invoice:
    """One invoice on both sides and in our rows."""

    def __init__(self, crm_id: int, account: dict[str, Any], rows: list[BatchDocument], link: Link | None, created: int, sends: set[int]) -> None:
        self.crm_id, self.account, self.link, self.created = crm_id, account, link, created
        self.rows = [one for one in rows if one.batch_id in sends]
        self.every = rows

    def differences(self, last: bool, back_waits: bool) -> list[str]:
        found = [*self._ended()]
        documents = self.account["documents"]
        expected = any(one.outcome in WELL for one in self.rows)
        if expected and len(documents) != 1:
            found.append(f"Xero holds {len(documents)} documents: {[one['number'] for one in documents]}")
        elif not expected and documents:
            found.append(f"Xero holds {[one['number'] for one in documents]} though no order of it ended well: {[one.outcome for one in self.rows]}")
        elif documents:
            found += self._content(documents[0], last)
            found += self._agreement(documents[0], back_waits)
        elif self.link is not None:
            found.append("there is a link though Xero holds nothing")
        return [f"invoice {self.crm_id}: {one}" for one in found]

    def _ended(self) -> list[str]:
        found = []
        for one in self.every:
            if one.outcome in (*WELL, "cancelled") or (one.outcome == "" and one.job_id is None):
                continue
            if one.outcome in ("waiting", "running"):
                found.append(f"batch {one.batch_id} still says {one.outcome}")
                continue
            code = one.problem_code or ""
            sentence = sentences.sentence(code, one.problem_params or {}) if code else ""
            if not sentence or sentence == code:
                found.append(f"batch {one.batch_id} ended as {one.outcome} without a sentence ({code})")
            elif code not in FAIR:
                found.append(f"batch {one.batch_id} ended as {one.outcome}: {sentence} ({code} {one.problem_params})")
        return found

    def _content(self, document: dict[str, Any], last: bool) -> list[str]:
        versions = self.account["versions"][-1:] if last else self.account["versions"]
        if any(all(document[name] == version[name] for name in ("total", "quantities", "customer")) for version in versions):
            return []
        held = {name: document[name] for name in ("total", "quantities", "customer")}
        return [f"Xero holds {held}, the CRM said {versions}"]

    def _agreement(self, document: dict[str, Any], back_waits: bool) -> list[str]:
        found = []
        if self.link is None:
            return [f"Xero holds {document['number']} and no link knows it"]
        if self.link.xero_id != document["id"]:
            found.append("the link names another document")
        if f"{self.link.total:.2f}" != document["total"]:
            found.append(f"the link says {self.link.total}, Xero {document['total']}")
        if self.created != 1:
            found.append(f"activity tells {self.created} times that it was created")
        fields = self.account["fields"]
        if back_waits:
            return found
        if fields.get("ID") != document["id"] or fields.get("NUMBER") != document["number"]:
            found.append(f"Bitrix24 says {fields.get('ID')!r} {fields.get('NUMBER')!r}, Xero {document['id']} {document['number']}")
        if fields.get("SENDING"):
            found.append(f"Bitrix24 still says that it is being sent: {fields['SENDING']}")
        if fields.get("ERROR") and all(one.outcome in WELL for one in self.rows):
            found.append(f"Bitrix24 says {fields['ERROR']!r} though all went well")
        return found
