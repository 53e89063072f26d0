"""Which requests are fired: every route with every verb, strays beside them, and genuine messages with something hostile in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from tests.fuzz import hostile
from tests.fuzz.hostile import Form, Who
from tests.fuzz.target import NOT_BY_ADMINISTRATOR, Shot, Target

URLENCODED = "application/x-www-form-urlencoded"
STRANGERS: tuple[Who, ...] = ("nobody", "nobody", "nobody", "forged", "ended")
VISITORS: tuple[Who, ...] = ("administrator", "sales", "stranger")
CLAIMED = (None,) * 12 + ("-1", "x", "999999999999", "52428800", "0", "")


def _path(draw: Any, rule: Rule) -> str:
    parts = []
    for is_variable, name in rule._trace:
        if is_variable:
            parts.append(draw(st.one_of(st.just("1"), hostile.path_parts)))
        else:
            parts.append(name.removeprefix("|"))
    return "".join(parts)


@st.composite
def routed(draw: Any, rules: list[Rule], who: tuple[Who, ...]) -> Shot:
    """Any route with any verb, mostly its own, from any of these."""
    rule = draw(st.sampled_from(rules))
    own = sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    method = draw(st.one_of(st.sampled_from(own), st.sampled_from(own), st.sampled_from(own), st.sampled_from(hostile.METHODS)))
    shooter = draw(st.sampled_from(who))
    if rule.rule in NOT_BY_ADMINISTRATOR and shooter == "administrator":
        shooter = "sales"
    headers = draw(st.one_of(hostile.headers, hostile.headers, hostile.headers, hostile.header_floods))
    if draw(st.booleans()):
        headers = [*headers, ("HX-Request", "true")]
    form = draw(hostile.forms) if method not in ("GET", "HEAD") or draw(st.integers(0, 9)) == 0 else Form(b"", "")
    return Shot(method, _path(draw, rule), draw(hostile.queries), tuple(headers), form, shooter, draw(st.sampled_from(CLAIMED)), rule.rule)


@st.composite
def stray(draw: Any) -> Shot:
    """An address that is none."""
    path, method = draw(hostile.stray_paths), draw(st.sampled_from(hostile.METHODS))
    return Shot(method, path, draw(hostile.queries), tuple(draw(hostile.headers)), draw(hostile.forms), draw(st.sampled_from(STRANGERS)), None, "(stray)")


@st.composite
def opening(draw: Any, target: Target) -> Shot:
    """A genuine opening of a genuine person, with some of its fields hostile."""
    user = draw(st.sampled_from((1, 2)))
    query, fields = target.opening(user)
    names = [name for name in (*fields, "PLACEMENT_OPTIONS", "SERVER_ENDPOINT") if name not in ("AUTH_ID", "member_id", "REFRESH_ID")]
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        fields[name] = draw(hostile.option_texts if name == "PLACEMENT_OPTIONS" else hostile.words)
    asked = dict(parse_qsl(query))
    for name in draw(st.lists(st.sampled_from(("LANG", "PROTOCOL", "APP_SID")), max_size=2)):
        asked[name] = draw(hostile.words)
    if draw(st.booleans()):
        fields |= {"PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB", "PLACEMENT_OPTIONS": draw(hostile.option_texts)}
    path = draw(st.sampled_from(("/bitrix24/app", "/bitrix24/placement", "/bitrix24/install")))
    fields.pop("APPLICATION_TOKEN", None)
    body = hostile.encoded(list(fields.items()))
    return Shot(
        "POST", path, urlencode(asked, errors="replace"), (), Form(body, URLENCODED), "administrator" if user == 1 else "sales", None, f"{path} (opening)"
    )


@st.composite
def event(draw: Any, target: Target) -> Shot:
    """An event with the portal's own secret and a hostile content."""
    portal = target.office.sandbox.bitrix24.portals["harbour"]
    pairs = [("event", draw(st.sampled_from(("ONCRMDYNAMICITEMUPDATE_31", "ONAPPPAYMENT", "x" * 300, "\x00"))))]
    pairs += [("auth[member_id]", portal.member_id), ("auth[application_token]", target.application_token), *draw(hostile.pairs)]
    pairs = [(name, value) for name, value in pairs if value not in hostile.EVENTS or name != "event"]
    return Shot("POST", "/bitrix24/events", "", (), Form(hostile.encoded(pairs), URLENCODED), "administrator", None, "/bitrix24/events (genuine)")


@st.composite
def forged_event(draw: Any, target: Target) -> Shot:
    """An event that names a portal of ours without knowing its secret."""
    portal = target.office.sandbox.bitrix24.portals["harbour"]
    pairs = [("event", draw(st.sampled_from(hostile.EVENTS))), ("auth[member_id]", portal.member_id), *draw(hostile.pairs)]
    return Shot("POST", "/bitrix24/events", "", (), Form(hostile.encoded(pairs), URLENCODED), "nobody", None, "/bitrix24/events (forged)")


@st.composite
def webhook(draw: Any, target: Target) -> Shot:
    """A signed webhook that is about nothing, about our organisation, or about everything."""
    text: str = draw(hostile.json_texts)
    if draw(st.booleans()):
        tenant = next(iter(target.office.sandbox.xero.organisations))
        found = draw(st.lists(hostile.webhook_events, max_size=3))
        text = json.dumps(
            {"events": [{"eventCategory": "INVOICE", "tenantType": "ORGANISATION", "resourceId": "x" * 100, **one, "tenantId": tenant} for one in found]}
        )
    body = text.encode("utf-8", "replace")
    signed = draw(st.sampled_from((target.signature(body), target.signature(body), "", "é", "=" * 44)))
    who: Who = "administrator" if signed == target.signature(body) else "nobody"
    return Shot("POST", "/xero/webhooks", "", (("x-xero-signature", signed),), Form(body, "application/json"), who, None, "/xero/webhooks (signed)")


def shots(target: Target) -> st.SearchStrategy[Shot]:
    """All of them; mostly without a pass, for those are the many."""
    every = target.routes()
    public = [rule for rule in every if not rule.rule.startswith("/app/")]
    inside = [rule for rule in every if rule.rule.startswith("/app")]
    weighted: list[tuple[int, st.SearchStrategy[Shot]]] = [
        (8, routed(public, STRANGERS)),
        (5, routed(inside, STRANGERS)),
        (3, routed(inside, VISITORS)),
        (1, opening(target)),
        (1, event(target)),
        (2, forged_event(target)),
        (1, webhook(target)),
        (2, stray()),
    ]
    return st.sampled_from([strategy for weight, strategy in weighted for _ in range(weight)]).flatmap(lambda strategy: strategy)


def plainly(target: Target) -> None:
    """One request without anything in it at every address, by everybody: chance alone leaves some out."""
    for rule in target.routes():
        path = "".join("1" if is_variable else name.removeprefix("|") for is_variable, name in rule._trace)
        method = min((rule.methods or set()) - {"OPTIONS", "HEAD"})
        for who in dict.fromkeys((*STRANGERS, *VISITORS)):
            if who != "administrator" or rule.rule not in NOT_BY_ADMINISTRATOR:
                target.fire(Shot(method, path, "", (), Form(b"", URLENCODED), who, None, rule.rule))


def bombard(target: Target, requests: int, number: int, told: Callable[[int], None] | None = None) -> None:
    """Fire so many requests; the first that is answered wrongly is made smaller and raised."""
    plainly(target)
    fired = 0

    @seed(number)
    @settings(
        max_examples=requests, deadline=None, database=None, phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck), print_blob=False
    )
    @given(shots(target))
    def fire(shot: Shot) -> None:
        nonlocal fired
        fired += 1
        target.fire(shot)
        if told is not None and fired % 5_000 == 0:
            told(fired)

    fire()
