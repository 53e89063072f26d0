"""One kind of document at Xero: how it is created, changed, told apart and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from plugin.domain.ledger import Document, Draft, Line, Outcome
from plugin.wire import Answer
from plugin.xero.body import encode
from plugin.xero.client import Caller

#: PUT creates and never updates; POST with an id in every element updates (X§4.6: without one it overwrites whatever has that number).
CREATE_METHOD = "PUT"
UPDATE_METHOD = "POST"
WRITE_MOST = 50
#: Below the 3.5 MB that Xero calls practical (X§3.3).
WRITE_BYTES = 3_000_000


@dataclass(frozen=True)
class Change:
    """What shall change in a document: only what differs (RULES 19). `lines` is the complete set with their ids, or None for "as they are"."""

    id: str
    fields: dict[str, object]
    lines: tuple[Line, ...] | None = None
    #: What Xero holds: quotes say all of it again, for what they leave out is reset.
    held: Document | None = None


Sent = TypeVar("Sent", Draft, Change)


class Modified(Protocol):
    """One page of what was created or modified since, oldest first, voided and deleted ones too, and how many pages there are."""

    def __call__(self, call: Caller, since: datetime | None, page: int, summary: bool = True) -> tuple[tuple[Document, ...], int]: ...


Element = Mapping[str, Any]


@dataclass(frozen=True)
class Parcel(Generic[Sent]):
    """What goes in one call: the documents, each as Xero wants it, and the bytes."""

    sent: tuple[Sent, ...]
    elements: tuple[Element, ...]
    body: bytes


@dataclass(frozen=True)
class Resource:
    """The verbs of one collection of the Accounting API."""

    path: str
    write_params: Mapping[str, str]
    #: One document as Xero wants it.
    element: Callable[[Draft | Change], dict[str, Any]]
    #: One outcome for each element sent, in that order; raises the problem of an answer that is no collection of elements.
    outcomes: Callable[[Answer, Sequence[Element]], tuple[Outcome, ...]]
    by_ids: Callable[[Caller, Iterable[str]], tuple[Document, ...]]
    by_numbers: Callable[[Caller, Iterable[str]], tuple[Document, ...]]
    modified: Modified
    #: What our app may have made since: where an answer was lost, our document is among these (RULES 11).
    made_since: Callable[[Caller, datetime], list[Document]]
    #: Is it of the kind that we send, where the collection holds others too?
    is_ours: Callable[[Document], bool]
    #: So many of them by id cost about as much as one page of what was modified.
    together: int

    def split(self, sent: Sequence[Sent], most: int = WRITE_MOST, most_bytes: int = WRITE_BYTES) -> tuple[Parcel[Sent], ...]:
        """The documents in calls of at most so many and so many bytes; one that is too large alone goes alone."""
        calls: list[list[tuple[Sent, Element, bytes]]] = []
        size = 0
        for one in sent:
            element = self.element(one)
            written = encode(element)
            if not calls or len(calls[-1]) == most or size + len(written) + 1 > most_bytes:
                calls.append([])
                size = len(self.path) + len('{"":[]}')
            calls[-1].append((one, element, written))
            size += len(written) + 1
        return tuple(self._parcel(one) for one in calls)

    def parcel(self, sent: Sequence[Sent]) -> Parcel[Sent]:
        """These documents in one call, however many."""
        found = [(one, element, encode(element)) for one, element in ((one, self.element(one)) for one in sent)]
        return self._parcel(found)

    def _parcel(self, packed: Sequence[tuple[Sent, Element, bytes]]) -> Parcel[Sent]:
        body = b'{"%s":[%s]}' % (self.path.encode(), b",".join(written for _, _, written in packed))
        return Parcel(tuple(one for one, _, _ in packed), tuple(element for _, element, _ in packed), body)
