"""Rows about sending: calls, wall time, processor time, a large run under real limits, one click, a page of the list."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench.figures import Figure, Size, p95
from tests.bench.office import Office, office
from tests.bench.partners import READ_SECONDS, WRITE_SECONDS, Options
from tests.running import until

FIFTY = 50
#: Bitrix24's own limits as its documentation has them and the sandbox keeps them: requests a second, a burst, seconds of a method in ten minutes.
DRAIN, BURST, OPERATING, UPDATE_SECONDS = 2.0, 50, 480.0, 0.05
TOGETHER = 45
#: The page of a batch asks how it goes so often.
PAGE_ASKS = 1.5


def calls(size: Size) -> list[Figure]:
    """A thousand invoices: cold, again, changed, fetched."""
    count = size.of(1_000, 100)
    with office(Options(count)) as at:
        at.ready()
        return [*_cold(at, count), *_again(at), *_changed(at, count), *_fetched(at, count)]


def _cold(at: Office, count: int) -> list[Figure]:
    before = at.cpu()
    batch = at.order(at.ids)
    prepared = at.cpu()
    at.ask(do="clear")
    seconds = at.confirm(batch)
    exported = at.cpu()
    seen, checked = at.ask(do="calls"), at.ask(do="check", ids=at.ids)
    at.quiet()
    written = at.cpu()
    ms = 1000 / count
    # Customers, items and invoices in their order, each as many at once as Xero takes.
    waves = -(-seen["reads"] // 5) * READ_SECONDS + (-(-seen["writes"] // 5)) * WRITE_SECONDS
    return [
        Figure(f"Xero calls, {count:,} invoices, 300 new customers, 200 new items, cold start", seen["writes"] + seen["reads"], "28 writes + 8 reads", 42),
        Figure("of these not exactly once in Xero with the CRM's total", count - checked["right"], "0", 0),
        Figure("refused by a limit (429, 503)", seen["refused"], "0", 0),
        Figure("wall time of these over the partners' own latency at 5 concurrent", seconds / waves, "1.0", 1.5),
        Figure("worker CPU per exported invoice, results written back", (written - prepared) * ms, "-", 4.0, "ms"),
        Figure("of this until Xero had it", (exported - prepared) * ms, "-", None, "ms"),
        Figure("worker CPU per invoice to prepare a large batch", (prepared - before) * ms, "-", None, "ms"),
    ]


def _again(at: Office) -> list[Figure]:
    batch = at.order(at.ids)
    at.ask(do="clear")
    at.confirm(batch)
    seen = at.ask(do="calls")
    return [
        Figure("the same again, nothing changed: writes", seen["writes"], "0", 0),
        Figure("the same again, nothing changed: reads", seen["reads"], "0", 3),
    ]


def _changed(at: Office, count: int) -> list[Figure]:
    at.ask(do="change", ids=at.ids, quantity=3)
    batch = at.order(at.ids)
    at.ask(do="clear")
    at.confirm(batch)
    seen = at.ask(do="calls")
    at.quiet()
    return [Figure(f"Xero calls, {count:,} updates", seen["writes"] + seen["reads"], str(-(-count // FIFTY)), 23)]


def _fetched(at: Office, count: int) -> list[Figure]:
    at.batch(None, "pull")
    at.ask(do="approve", ids=at.ids[: count // 5])
    at.ask(do="clear")
    at.batch(None, "pull")
    seen = at.ask(do="calls")
    return [Figure(f"status of {count:,} linked invoices, {count // 5} changed", seen["writes"] + seen["reads"], "1", 4)]


def bulk(size: Size) -> list[Figure]:
    """Ten thousand invoices of one organisation under real limits, a write of 1.2 s, one web process and one worker."""
    count = size.of(10_000, 500)
    with office(Options(count, pace=PACE)) as at:
        at.ready()
        rate, started, last = _rate(at, count, WRITE_SECONDS)
        at.quiet(1_800)
        seen = at.ask(do="calls")
        first = seen["documents_at"][0]
        least = _least(count, last - first)
        written = (time.time() - first) / least
        checked = at.ask(do="check", ids=at.ids)
        status = _status_of_many(at, count)
    return [
        Figure(f"{count:,} invoices of one organisation, 1.2 s a write: rate over 50 x min(54, 5 x 60/L) a minute", rate, "1.0", 0.9, least=True),
        Figure("the same: write-back finished, over the least that Bitrix24's limits allow", written, "1.0", 1.3),
        Figure("the same: not exactly once in Xero with the CRM's total, or not written back", 2 * count - checked["right"] - checked["written"], "0", 0),
        Figure("the same: refused by a limit (429, 503), or more than five at once", seen["refused"] + max(0, seen["at_once"] - 5), "0", 0),
        Figure("memory (PSS) of one web process with 8 threads and one worker, peak during those", started, "-", 250, "MB"),
        *status,
    ]


#: The limits' clock runs twice as fast in this row, latency and windows alike; our own work does not, so the figure is rather worse than in truth.
PACE = 2.0


def _rate(at: Office, count: int, write: float) -> tuple[float, float, float]:
    """The rate over what is possible, the peak of memory, and when Xero had the last one."""
    at.ask(do="latency", write=write, read=READ_SECONDS)
    batch = at.order(at.ids[:count])
    at.ask(do="clear")
    with at.peak_memory() as peak:
        started = time.time()
        at.confirm(batch, 1_800)
        last = max(at.ask(do="calls")["documents_at"])
    minutes = (last - started) * at.pace / 60
    return count / minutes / (FIFTY * min(54, 5 * 60 / write)), peak[0], last


def _least(count: int, sending: float) -> float:
    """Seconds from the first result in which the results of so many could be written: by requests, and by the method's operating time."""
    requests = 2 * -(-count // TOGETHER)
    by_requests = max(0.0, requests - BURST) / DRAIN / PACE
    beyond = count * UPDATE_SECONDS - OPERATING
    by_method = 600 / PACE if beyond > 0 else 0.0
    return max(sending, by_requests, by_method)


def _status_of_many(at: Office, count: int) -> list[Figure]:
    at.batch(None, "pull")
    at.ask(do="approve", ids=at.ids[:200])
    at.ask(do="clear")
    at.batch(None, "pull")
    seen = at.ask(do="calls")
    return [Figure(f"status of {count:,} linked invoices, 200 changed", seen["writes"] + seen["reads"], "1", 4)]


def slow(size: Size) -> list[Figure]:
    """The same with six seconds a write: as far as Xero goes; the write-back is not waited for."""
    count = size.of(10_000, 1_000)
    with office(Options(count, pace=PACE)) as at:
        at.ready()
        rate, _, _ = _rate(at, count, 6.0)
        seen = at.ask(do="calls")
    return [
        Figure(f"{count:,} invoices of one organisation, 6 s a write: rate over 50 x min(54, 5 x 60/L) a minute", rate, "1.0", 0.9, least=True),
        Figure("the same: refused by a limit (429, 503), or more than five at once", seen["refused"] + max(0, seen["at_once"] - 5), "0", 0),
    ]


def click(size: Size) -> list[Figure]:
    """One changed invoice at a time, from the confirming POST until its write is in Xero; then during a large run."""
    count, bulk_count = size.of(20, 5), size.of(5_000, 500)
    with office(Options(bulk_count + count)) as at:
        at.ready()
        at.batch(at.ids[:count])
        at.quiet()
        beyond = [_click(at, crm_id) for crm_id in at.ids[:count]]
        at.quiet()
        during = _during(at, count)
    return [
        Figure("one click, from POST until Xero has it, beyond the partners' own latency, p95", p95(beyond) * 1000, "0", 50, "ms"),
        Figure(f"a person's clicks during a bulk run of {bulk_count:,}: in Xero beyond its latency, slowest of {len(during)}", max(during), "-", 5, "s"),
    ]


def _click(at: Office, crm_id: int, pause: float = 4.0) -> float:
    """Seconds beyond the partners' own."""
    time.sleep(pause)  # a person's pace; Bitrix24's bucket drains two requests a second
    at.ask(do="change", ids=[crm_id], quantity=5)
    batch = at.order([crm_id])
    started = time.time()
    at.request("POST", f"/app/batches/{batch}/confirm")
    time.sleep(PAGE_ASKS)  # and not twenty times a second meanwhile: that would be another visitor on the same two cores
    until(lambda: at.state(batch) == "done")
    seen = at.ask(do="first_write", since=started)
    return float(seen["at"] - started - seen["busy"])


def _during(at: Office, count: int) -> list[float]:
    batch = at.order(at.ids[count:])
    at.request("POST", f"/app/batches/{batch}/confirm")
    waits = []
    for crm_id in at.ids[: min(count, 8)]:
        time.sleep(3)
        at.ask(do="change", ids=[crm_id], quantity=7)
        one = at.order([crm_id])
        started = time.time()
        at.request("POST", f"/app/batches/{one}/confirm")
        until(lambda one=one: at.state(one) == "done", 60)  # type: ignore[misc]
        waits.append(at.ask(do="written_with", ids=[crm_id])[str(crm_id)] - started - WRITE_SECONDS - READ_SECONDS)
    return waits


def page(size: Size) -> list[Figure]:
    """A page of fifty invoices: requests to Bitrix24, and the server's own time."""
    count = size.of(40, 10)
    with office(Options(200)) as at:
        at.ready()
        at.request("POST", "/app/invoices/view", data={"size": "50"})
        at.request("GET", "/app/invoices/list")
        at.ask(do="clear")
        own = [_page(at, number) for number in range(count)]
        seen = at.ask(do="calls")
        time.sleep(15)
        together = _four_at_once(at)
    return [
        Figure("Bitrix24 requests to show a page of 50 invoices", seen["bitrix24"] / count, "2", 2),
        Figure("own server time for that page, one visitor, p95", p95(own), "-", 30, "ms"),
        Figure("the whole page for four at once, Bitrix24's part included, p95", p95(together), "-", None, "ms"),
    ]


def _page(at: Office, number: int) -> float:
    """Milliseconds of the page that were not spent waiting for Bitrix24."""
    time.sleep(1.0)  # a person reads; Bitrix24's bucket drains two a second
    before = at.ask(do="page")
    started = time.perf_counter()
    at.request("GET", f"/app/invoices/list?page={number % 4 + 1}")
    total = time.perf_counter() - started
    return (total - (at.ask(do="page") - before)) * 1000


def _four_at_once(at: Office) -> list[float]:
    import requests

    lock, times = threading.Lock(), []

    def visit(number: int) -> None:
        started = time.perf_counter()
        answer = requests.get(f"{at.url}/app/invoices/list?page={number % 4 + 1}", headers={"X-Frame-Pass": at.frame_pass, "HX-Request": "true"}, timeout=60)
        assert answer.ok, answer.text
        with lock:
            times.append((time.perf_counter() - started) * 1000)

    for _ in range(4):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(visit, range(4)))
        time.sleep(4)
    return times
