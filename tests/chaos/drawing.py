"""What a seed means: how many invoices, which acts, which one fault at which instant, and how the partners' open facts are."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.bitrix24.switches import FACTS
from sandbox.xero.switches import ALL

#: Positions in which a partner itself forbids the flow, or which concern only what happened before the trial.
CLOSED = {
    "tier", "tier_refusal", "uncertified_apps", "pkce_on_web_app", "limits", "limit_headers", "webhooks", "broad_scopes", "cancel", "session_state",
    "organisation_id", "items_scope", "missing_scope", "app_removed_error", "install_event_order", "account_number_writable", "account_number_duplicates",
    "rounding", "zero_total", "old_invoices_answer", "stage_semantics_progress", "emoji",
}  # fmt: skip

XERO_CALLS = {
    "the call that creates": ("PUT", "/Invoices$"),
    "the call that updates": ("POST", "/Invoices$"),
    "the call that makes contacts": ("PUT", "/Contacts$"),
    "the call that makes items": ("PUT", "/Items$"),
    "a reading": ("GET", r"/api\.xro"),
    "any call": (".*", r"/api\.xro"),
}
#: Longer than a lease (0.75 s at the trials' pace), and longer than the app waits for any answer (5 s).
SLOW, TOO_SLOW = 1.6, 5.6
TIME_OUTS = ("time-out before the work", "time-out after the work")
XERO_FAULTS: dict[str, dict[str, Any]] = {
    "lost": {"kind": "lost"},
    "lost twice": {"kind": "lost", "times": 2},
    "500 after the work": {"kind": "lost500"},
    "cut": {"kind": "cut"},
    "slow": {"kind": "slow", "seconds": SLOW},
    "time-out before the work": {"kind": "slow", "seconds": TOO_SLOW},
    "time-out after the work": {"kind": "hold_after", "seconds": TOO_SLOW},
    "500": {"kind": "status", "status": 500, "body": '{"Message":"An error occurred"}'},
    "503": {"kind": "status", "status": 503},
    "offline by answer": {"kind": "status", "status": 503, "body": "The Organisation is offline"},
    "a page with 200": {"kind": "html", "status": 200},
    "429 minute": {"kind": "status", "status": 429, "headers": {"Retry-After": "1", "X-Rate-Limit-Problem": "minute"}},
    "429 day": {"kind": "status", "status": 429, "headers": {"Retry-After": "2", "X-Rate-Limit-Problem": "day"}},
    "429 app": {"kind": "status", "status": 429, "headers": {"Retry-After": "1", "X-Rate-Limit-Problem": "appminute"}},
    "429 concurrent": {"kind": "status", "status": 429, "headers": {"X-Rate-Limit-Problem": "concurrent"}},
}
BITRIX24_FAULTS: dict[str, dict[str, Any]] = {
    "lost": {"kind": "lost"},
    "500 after the work": {"kind": "lost500"},
    "cut": {"kind": "cut"},
    "slow": {"kind": "slow", "seconds": SLOW},
    "time-out before the work": {"kind": "slow", "seconds": TOO_SLOW},
    "time-out after the work": {"kind": "hold_after", "seconds": TOO_SLOW},
    "500": {"kind": "status", "status": 500, "body": '{"error":"INTERNAL_SERVER_ERROR","error_description":"Internal server error"}'},
    "busy": {"kind": "status", "status": 503, "body": '{"error":"QUERY_LIMIT_EXCEEDED","error_description":"Too many requests"}'},
    "502": {"kind": "status", "status": 502, "body": "<html>Bad gateway"},
    "a page with 200": {"kind": "html", "status": 200},
}
#: What is done to the running system at an instant, and how often it is drawn.
BLOWS: dict[str, int] = {
    "kill the conductor": 14,
    "freeze the conductor": 7,
    "kill a worker": 6,
    "kill all workers": 4,
    "workers stay away": 1,
    "kill web": 6,
    "kill sweep": 3,
    "kill Redis, kept": 5,
    "kill Redis, emptied": 6,
    "hang Redis": 3,
    "cut the database": 9,
    "organisation offline": 4,
    "Xero's token expires": 4,
    "Xero's token expires and the refresh is lost": 4,
    "Bitrix24's tokens expire": 4,
    "Bitrix24's tokens expire and the refresh is lost": 4,
    "another app uses the minute": 3,
}


@dataclass(frozen=True)
class Instant:
    """When: after so many seconds, or at the k-th call of a kind, before or after the partner's work."""

    seconds: float = 0.0
    partner: str = ""
    call: str = ""
    method: str = ".*"
    path: str = ""
    nth: int = 1
    after: bool = False

    def __str__(self) -> str:
        if not self.partner:
            return f"{self.seconds:.2f} s after the confirmation"
        return f"{'after' if self.after else 'before'} the work of {self.partner}'s call {self.nth} ({self.call})"


@dataclass
class Drawn:
    """A trial, before it is lived."""

    seed: int
    count: int
    number_policy: str
    switches: dict[str, dict[str, str]]
    blow: str
    instant: Instant
    #: A fault of a partner's answers instead of a blow: partner, name, and the fault itself.
    fault: tuple[str, str, dict[str, Any]] | None
    second: str = ""
    twice_clicked: bool = False
    twice_confirmed: bool = False
    edit_after: float | None = None
    cancel_after: float | None = None
    pull_after: float | None = None
    earlier: int = 0
    again: bool = False
    confirmed_late: bool = False
    #: So many invoices the bookkeeper makes in Xero meanwhile, and when; each has to appear in the CRM once.
    made_in_xero: int = 0
    made_after: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return "sqlite" if self.seed % 2 == 0 else "postgresql"

    def __str__(self) -> str:
        what = f"{self.fault[0]}: {self.fault[1]}, at {self.instant}" if self.fault else f"{self.blow}, {self.instant}"
        acts = [
            f"{self.second} sends some too" if self.second else "",
            "the same click twice" if self.twice_clicked else "",
            "confirmed twice" if self.twice_confirmed else "",
            f"edited after {self.edit_after:.2f} s" if self.edit_after is not None else "",
            f"cancelled after {self.cancel_after:.2f} s" if self.cancel_after is not None else "",
            f"fetched after {self.pull_after:.2f} s" if self.pull_after is not None else "",
            f"{self.earlier} of them updates" if self.earlier else "",
            f"{self.made_in_xero} made in Xero after {self.made_after:.2f} s" if self.made_in_xero else "",
            "the same batch sent again when it is over" if self.confirmed_late else "",
            "everything once more at the end" if self.again else "",
        ]
        facts = ", ".join(f"{name}={position}" for each in self.switches.values() for name, position in each.items())
        told = "; ".join(one for one in acts if one)
        return f"{self.count} invoices, numbers from {self.number_policy}; {what}; {told or 'nothing else'}; {facts or 'facts as expected'}"


def draw(seed: int) -> Drawn:
    """The trial of this seed; the same for the same seed."""
    chance = Random(seed)
    count = chance.choice((1, 2, 3, 5, 8, 13, 21, 34, 60))
    fault: tuple[str, str, dict[str, Any]] | None = None
    blow = ""
    kind = chance.random()
    instant = _instant(chance)
    if kind < 0.30:
        fault, instant = _xero_fault(chance)
    elif kind < 0.40:
        fault, instant = _bitrix24_fault(chance)
    else:
        blow = chance.choices(list(BLOWS), list(BLOWS.values()))[0]
    return Drawn(
        seed,
        count,
        chance.choice(("crm", "xero")),
        {"xero": _facts(chance, ALL), "bitrix24": _facts(chance, FACTS)},
        blow,
        instant,
        fault,
        second=chance.choice(("", "", "", "Tama", "Tama", "Sam")),
        twice_clicked=chance.random() < 0.2,
        twice_confirmed=chance.random() < 0.3,
        edit_after=chance.uniform(0, 1.2) if chance.random() < 0.25 else None,
        cancel_after=chance.uniform(0, 0.8) if chance.random() < 0.15 else None,
        pull_after=chance.uniform(0, 1.2) if chance.random() < 0.2 else None,
        earlier=chance.randint(1, count) if chance.random() < 0.3 else 0,
        again=chance.random() < 0.25,
        confirmed_late=chance.random() < 0.2,
        made_in_xero=chance.randint(1, 4) if chance.random() < 0.3 else 0,
        made_after=chance.uniform(0, 1.0),
    )


def _instant(chance: Random) -> Instant:
    if chance.random() < 0.4:
        return Instant(seconds=chance.uniform(0, 1.5) ** 2 / 1.5)
    after = chance.random() < 0.5
    if chance.random() < 0.25:
        return Instant(partner="bitrix24", call="a request", path="/rest/", nth=chance.randint(1, 8), after=after)
    call = chance.choice(("the call that creates", "the call that creates", "the call that updates", "the call that makes contacts", "any call", "any call"))
    method, path = XERO_CALLS[call]
    return Instant(partner="xero", call=call, method=method, path=path, nth=chance.randint(1, 3), after=after)


def _xero_fault(chance: Random) -> tuple[tuple[str, str, dict[str, Any]], Instant]:
    name = chance.choice(sorted(XERO_FAULTS))
    call = chance.choice(sorted(XERO_CALLS))
    method, path = XERO_CALLS[call]
    nth = chance.randint(1, 2 if call != "any call" else 6)
    instant = Instant(partner="xero", call=call, method=method, path=path, nth=nth)
    return ("xero", name, {**XERO_FAULTS[name], "method": method, "path": path, "skip": nth - 1}), instant


def _bitrix24_fault(chance: Random) -> tuple[tuple[str, str, dict[str, Any]], Instant]:
    name = chance.choice(sorted(BITRIX24_FAULTS))
    nth = chance.randint(1, 10)
    instant = Instant(partner="bitrix24", call="a request", path="/rest/", nth=nth)
    return ("bitrix24", name, {**BITRIX24_FAULTS[name], "path": "/rest/", "skip": nth - 1}), instant


def _facts(chance: Random, facts: tuple[tuple[str, tuple[str, ...], str], ...]) -> dict[str, str]:
    free = [(name, positions) for name, positions, _ in facts if name not in CLOSED]
    return {name: chance.choice(positions[1:]) for name, positions in chance.sample(free, chance.randint(0, 4))}
