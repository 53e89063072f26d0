"""The row about many portals: processor time per document may not grow with their number."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from statistics import mean
from typing import Any

from sqlalchemy import text

from plugin.bells import Bells
from plugin.jobs import organisation_bell
from tests.bench.figures import Figure, Size
from tests.bench.office import Office, office
from tests.bench.partners import Options
from tests.running import until

DOCUMENTS = 50
#: Of a thousand portals so many documents are waited for; all fifty thousand are ordered.
ENOUGH = 10_000
#: The call log is written beside the work and a moment later; it belongs to the documents.
TRAILING = 1.0
_PORTAL = ("portal", "bitrix24_login")
_ORGANISATION = ("organisation", "directory_entry", "watermark")
_BOTH = ("connection", "settings_version")


def portals(size: Size) -> list[Figure]:
    """One, a hundred and a thousand portals, each with an organisation of its own and fifty documents, without limits and latency.

    One portal's documents take a fifth of a second, too little to be measured once: it is the mean of some alone, before and after the hundred.
    """
    hundred, thousand, alone = size.of(100, 5), size.of(1_000, 20), size.of(10, 4)
    with office(Options(DOCUMENTS)) as at:
        at.ready()
        at.ask(do="latency", write=0, read=0)
        at.ask(do="unlimited")
        tenants = at.ask(do="organisations", count=1 + 2 * alone + hundred + thousand)
        crowd = _Crowd(at, tenants)
        crowd.measure(1)  # the first one warms up
        ones = [crowd.measure(1) for _ in range(alone)]
        some = crowd.measure(hundred)
        ones += [crowd.measure(1) for _ in range(alone)]
        many = crowd.measure(thousand)
    one = mean(ones)
    return [
        Figure("worker CPU per exported invoice with one portal of fifty documents", one, "-", None, "ms"),
        Figure(f"the same with {hundred} portals, over that", some / one, "flat", 1.2),
        Figure(f"the same with {thousand:,} portals, over that", many / one, "flat", 1.2),
    ]


class _Crowd:
    """Portals made from the one that was set up, by copying its rows."""

    def __init__(self, at: Office, tenants: list[str]) -> None:
        self.at, self.tenants = at, tenants
        self.made = 1000
        self.bells = Bells(at.redis)

    def measure(self, count: int) -> float:
        """Milliseconds of the worker's time per document of so many new portals."""
        first = self.made
        self.made += count
        numbers = range(first, self.made)
        with self.at.engine.begin() as connection:
            for table in (*_PORTAL, *_ORGANISATION, *_BOTH):
                self._copy(connection, table, numbers)
        before, done = self.at.cpu(), self._done()
        self._order(numbers)
        for number in numbers:
            self.bells.ring(organisation_bell(number))
        wanted = 2 * min(ENOUGH, count * DOCUMENTS)  # sent, and written back
        until(lambda: self._done() - done >= wanted, 1_200)
        if count * DOCUMENTS <= ENOUGH:
            time.sleep(TRAILING)
        return (self.at.cpu() - before) * 1000 / ((self._done() - done) / 2)

    def _done(self) -> int:
        return int(self.at.value("SELECT count(*) FROM job WHERE state = 'done' AND kind IN ('send', 'write_back')"))

    def _copy(self, connection: Any, table: str, numbers: range) -> None:
        key = "portal_id" if table == "bitrix24_login" or table in _BOTH else "organisation_id"
        where = "" if table in ("portal", "organisation") else f" WHERE {key} = 1"
        found = [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}{where or ' WHERE id = 1'}"))]
        rows = [self._changed(table, row, number) for number in numbers for row in found]
        if rows:
            names = list(rows[0])
            connection.execute(text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"), rows)

    def _changed(self, table: str, row: dict[str, Any], number: int) -> dict[str, Any]:
        made = {name: value for name, value in row.items() if name != "id"}
        for name in ("portal_id", "organisation_id"):
            if name in made:
                made[name] = number
        if table == "portal":
            made |= {"id": number, "member_id": f"{row['member_id'][:40]}-{number}"}
        elif table == "organisation":
            made |= {"id": number, "tenant_id": self.tenants[number - 1000]}
        return made

    def _order(self, numbers: range) -> None:
        """Fifty documents of each, as a confirmed batch orders them."""
        now = datetime.now(UTC).replace(tzinfo=None)
        rows = [
            {"portal_id": number, "organisation_id": number, "bell": f"organisation:{number}", "subject": f"invoice:{crm_id}", "now": now}
            for number in numbers
            for crm_id in self.at.ids
        ]
        statement = (
            "INSERT INTO job (portal_id, organisation_id, bell, kind, subject, priority, state, acting_user, run_at, attempts, created_at, cause, caused_at)"
            " VALUES (:portal_id, :organisation_id, :bell, 'send', :subject, 2, 'waiting', 1, :now, 0, :now, 'person', :now)"
        )
        with self.at.engine.begin() as connection:
            connection.execute(text(statement), rows)
