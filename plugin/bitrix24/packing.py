"""Questions packed fifty to a request (B§4.2): an answer may raise further ones, and room in a request is always filled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from plugin.bitrix24.client import BATCH, BatchReply, Params, Reply, Rest
from plugin.domain.problems import Problem

#: Requests in flight while much is read.
AT_ONCE = 3

#: What is done with an answer. In a list of pages, False ends the list.
Take = Callable[[Reply], bool | None]
Refused = Callable[[Problem], None]
Value = TypeVar("Value")


@dataclass(frozen=True)
class _Question:
    method: str
    params: Params
    take: Take
    refused: Refused | None


class Questions:
    """Commands that wait for the next request."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._waiting: deque[_Question] = deque()

    def ask(self, method: str, params: Params, take: Take, refused: Refused | None = None) -> None:
        """One command. `refused` hears problems that trying again would not cure; all others end the whole run."""
        self._waiting.append(_Question(method, params, take, refused))

    def ask_pages(self, method: str, params: Params, take: Take, refused: Refused | None = None) -> None:
        """A list of unknown length: the first page tells how many more there are (B§4.3). As a count may lag, the last one may name a next."""

        def last(reply: Reply) -> None:
            if take(reply) is not False and reply.next:
                self.ask(method, {**params, "start": reply.next}, last, refused)

        def first(reply: Reply) -> None:
            starts = range(BATCH, reply.total or 0, BATCH)
            if not starts:
                last(reply)
            elif take(reply) is not False:
                for start in starts:
                    self.ask(method, {**params, "start": start}, last if start == starts[-1] else take, refused)

        self.ask(method, {**params, "start": 0}, first, refused)

    def run(self, gathered: Callable[[], None] = lambda: None) -> None:
        """Ask until nothing waits, full requests up to three at once. `gathered` is called while a request has room, to ask for what has come up meanwhile."""
        flying: deque[tuple[list[_Question], Future[BatchReply]]] = deque()
        with ExitStack() as stack:
            pool: ThreadPoolExecutor | None = None
            while True:
                if len(self._waiting) < BATCH:
                    gathered()
                if len(self._waiting) > BATCH and pool is None:
                    pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE, "questions"))
                while pool is not None and len(self._waiting) >= BATCH and len(flying) < AT_ONCE:
                    questions = self._some()
                    flying.append((questions, pool.submit(self._send, questions)))
                if flying:
                    questions, answer = flying.popleft()
                    self._take(questions, answer.result())
                elif self._waiting:
                    questions = self._some()
                    self._take(questions, self._send(questions))
                else:
                    return

    def _some(self) -> list[_Question]:
        return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _send(self, questions: list[_Question]) -> BatchReply:
        return self._rest.batch({f"q{number}": (one.method, one.params) for number, one in enumerate(questions)})

    def _take(self, questions: list[_Question], reply: BatchReply) -> None:
        for number, question in enumerate(questions):
            key = f"q{number}"
            problem = reply.errors.get(key)
            if problem is None:
                question.take(Reply(reply.results.get(key), reply.totals.get(key), reply.nexts.get(key)))
            elif problem.retry.kind != "never" or question.refused is None:
                raise problem
            else:
                question.refused(problem)


def groups(values: Iterable[Value], size: int = BATCH) -> Iterator[list[Value]]:
    """Lists of at most `size`, in order."""
    every = list(values)
    for start in range(0, len(every), size):
        yield every[start : start + size]


def rows_under(reply: Reply, name: str) -> list[Mapping[str, Any]]:
    """The rows of a list: under their name, or as the bare array of legacy methods (and of a few others, B§9.4)."""
    found = reply.result.get(name) if isinstance(reply.result, Mapping) else reply.result
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
