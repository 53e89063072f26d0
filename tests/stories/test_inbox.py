"""What a portal tells us is believed by its secret alone, stored without anybody's token, and answered at once."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from redis.exceptions import RedisError

from plugin import inbox
from plugin.db import Transaction
from plugin.models import Callback
from plugin.services import Services
from plugin.usecases import portal_events, take_events
from tests.stories.office import Office, Person
from tests.stories.seen import rows


def event(person: Person, name: str = "ONCRMDYNAMICITEMUPDATE_31", **more: str) -> dict[str, str]:
    app = person.portal.installation
    assert app is not None
    said = {"event": name, "data[FIELDS][ID]": "24", "data[FIELDS][ENTITY_TYPE_ID]": "31", "ts": "1766047124"}
    auth = {"auth[member_id]": person.portal.member_id, "auth[application_token]": app.application_token, "auth[access_token]": "a-token-nobody-may-keep"}
    return {**said, **auth, **more}


def told(office: Office, form: dict[str, str]) -> tuple[int, bytes]:
    answer = office.client.post("/bitrix24/events", data=form)
    return answer.status_code, answer.data


def counted(office: Office, name: str) -> int:
    what, _, outcome = name.partition(":")
    found = re.search(rf'tallybridge_{what}_total{{outcome="{outcome}"}} (\d+)', office.client.get("/metrics").text)
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    ("said", "subject"),
    [
        ({}, "invoice:24"),
        ({"event": "ONCRMDYNAMICITEMADD"}, "invoice:24"),
        ({"event": "ONCRMDYNAMICITEMADD", "data[FIELDS][ENTITY_TYPE_ID]": "147"}, ""),
        ({"event": "ONCRMQUOTEUPDATE"}, "quote:24"),
        ({"event": "ONCRMCOMPANYDELETE"}, "company:24"),
        ({"event": "onCrmRequisiteUpdate"}, "requisite:24"),
        ({"event": "onCrmAddressRegister", "data[FIELDS][ANCHOR_TYPE_ID]": "4", "data[FIELDS][ANCHOR_ID]": "5"}, "company:5"),
        ({"event": "ONCRMADDRESSUNREGISTER", "data[FIELDS][ANCHOR_TYPE_ID]": "1", "data[FIELDS][ANCHOR_ID]": "5"}, ""),
        ({"event": "ONCRMCURRENCYUPDATE", "data[FIELDS][ID]": "NZD"}, "currency:NZD"),
        ({"event": "CATALOG.PRODUCT.ON.UPDATE"}, "product:24"),
        ({"event": "CATALOG.PRICE.ON.DELETE"}, "price:24"),
        ({"event": "ONCRMDEALADD"}, ""),
        ({"data[FIELDS][ID]": "x' OR 1=1"}, ""),
    ],
)
def test_an_event_is_kept_as_the_name_of_what_to_read_again(office: Office, said: dict[str, str], subject: str) -> None:
    person = office.install()

    assert told(office, event(person, **said)) == (200, b"")
    (kept,) = rows(office, Callback)
    assert (kept.subject, kept.portal_id, kept.done_at) == (subject, person.portal_id, None)
    assert "a-token-nobody-may-keep" not in str(kept.body)


def test_what_is_forged_unknown_or_gone_is_refused_counted_and_told_nothing(office: Office) -> None:
    person = office.install()
    stranger = office.install("stranger")
    theirs = event(stranger)["auth[application_token]"]

    assert told(office, event(person, **{"auth[application_token]": "made-up"})) == (403, b"")
    assert told(office, event(person, **{"auth[application_token]": ""})) == (403, b"")
    assert told(office, event(person, **{"auth[application_token]": theirs})) == (403, b"")
    assert told(office, event(person, **{"auth[member_id]": "nobody"})) == (403, b"")
    assert told(office, {"event": ""}) == (403, b"")
    gone = event(person)
    portal_events.uninstall(office.services, person.portal_id, clean=False)
    assert told(office, gone) == (403, b"")
    assert told(office, event(stranger)) == (200, b"")

    assert [one.portal_id for one in rows(office, Callback)] == [stranger.portal_id]
    assert {name: counted(office, f"events:{name}") for name in ("forged", "unknown", "malformed", "uninstalled", "taken")} == {
        "forged": 3,
        "unknown": 1,
        "malformed": 1,
        "uninstalled": 1,
        "taken": 1,
    }


def test_what_was_told_is_taken_once_however_many_workers_hear_the_bell(office: Office) -> None:
    person = office.install()
    for number in range(1, 41):
        told(office, event(person, **{"data[FIELDS][ID]": str(number)}))
    bell, taken = inbox.portal_bell(person.portal_id), list[str]()

    def take(_tx: Transaction, messages: Any) -> None:
        taken.extend(one.subject for one in messages)

    workers = [threading.Thread(target=inbox.drain, args=(office.services, bell, take)) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()

    assert taken == [f"invoice:{number}" for number in range(1, 41)]
    assert not inbox.waiting(office.services, bell)


def test_a_worker_that_breaks_off_has_taken_nothing(office: Office) -> None:
    person = office.install()
    told(office, event(person))
    bell = inbox.portal_bell(person.portal_id)

    def breaks(_tx: Transaction, _messages: Any) -> None:
        raise RuntimeError("killed in the middle")

    with pytest.raises(RuntimeError, match="killed"):
        inbox.drain(office.services, bell, breaks)

    assert inbox.waiting(office.services, bell)
    take_events.drain(office.services, person.portal_id, lambda: False)
    assert not inbox.waiting(office.services, bell)


def test_nobody_takes_the_messages_of_another_portal(office: Office) -> None:
    person, stranger = office.install(), office.install("stranger")
    told(office, event(person))
    take_events.drain(office.services, stranger.portal_id, lambda: False)

    assert [one.done_at for one in rows(office, Callback)] == [None]


def test_without_redis_an_event_is_kept_and_answered(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    person = office.install()
    services: Services = office.services
    for name in ("execute_command", "pipeline"):
        monkeypatch.setattr(services.redis, name, _nobody)

    assert told(office, event(person)) == (200, b"")
    assert len(rows(office, Callback)) == 1


def _nobody(*_args: Any, **_more: Any) -> Any:
    raise RedisError("nobody is there")
