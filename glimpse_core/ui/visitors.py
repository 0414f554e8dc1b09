"""What the server remembers of each visitor: the running request, the last session. Bounded in number and in time.

Keyed by a name that every opened page draws for itself and that cannot be guessed. A session holds the key/value cache
of a prompt, so at most `capacity` visitors keep one, and all together at most `memory` bytes; the longest unused goes
first. Losing it costs that visitor one more look at the picture.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from glimpse_core.ui.messages import Answers, Side


@dataclass
class Visitor:
    """One open page. Only its own requests touch this record, one after the other, but for Stop."""

    session: Any = None  # glimpse_core.inference.session.Session of the last question
    earlier: Any = None  # the session before it, until a further question about the same pictures has taken it over
    view: Answers | None = None  # the answers as last sent, so that Stop can close them
    about: dict[str, Any] = field(default_factory=dict)  # what `record` needs to know of the question and its pictures
    sources: list[str] = field(default_factory=list)  # the pictures of the last question
    answers: dict[Side, Any] = field(default_factory=dict)  # the last Answer of each kind
    kept: Any = None  # (N,) bool, the tokens that the last pruned answer was made from
    words: dict[Side, tuple[Any, dict[str, Any]]] = field(default_factory=dict)  # answers with what their words need
    record: dict[str, Any] | None = None  # what can be saved
    cancel: threading.Event = field(default_factory=threading.Event)  # of the request that runs now
    turn: int = 0  # of the newest request
    waiting: set[threading.Event] = field(default_factory=set)  # those of requests that have not come to their end
    stopped: int = -1  # the newest turn that was stopped; its request may be still on its way
    seen: float = 0.0
    left: bool = False  # the visitor turned to something else: what still runs has nothing more to say

    def knows(self, sources: Sequence[str], question: str) -> bool:
        """Whether the session is of this question about these pictures."""
        same = self.about.get("question") == question and self.sources == list(sources)
        return self.session is not None and same

    def follow(self, sources: Sequence[str], question: str) -> None:
        """Another question comes: the last session is its `earlier` one, if it is about the same pictures.

        Not if the question is the same: asked once more, it is run once more.
        """
        last = self.earlier if self.session is None else self.session
        same = self.sources == list(sources) and self.about.get("question") != question
        self.session, self.earlier = None, last if same else None
        self.record, self.answers, self.words = None, {}, {}

    @property
    def held(self) -> int:
        """Bytes of memory that its sessions hold."""
        return sum(one.held_bytes for one in (self.session, self.earlier) if one is not None)

    def begin(self, turn: int = 0) -> threading.Event:
        """A fresh cancel event for a new request; whatever still runs for this visitor is told to stop.

        turn: its place among the requests of its page, which may arrive in another order. That of one that was
        overtaken on its way is set already, and stops nothing; that of one that was stopped on its way is set, too.
        """
        cancel = threading.Event()
        if turn < self.turn:
            cancel.set()
            return cancel
        self.turn = turn
        self.cancel.set()
        self.cancel = cancel
        if turn <= self.stopped:
            cancel.set()
        return cancel

    @contextmanager
    def asking(self, turn: int = 0) -> Iterator[threading.Event]:
        """The cancel event of `begin`, set when the block ends; until then the visitor waits and is not forgotten."""
        cancel = self.begin(turn)
        self.waiting.add(cancel)
        try:
            yield cancel
        finally:
            self.waiting.discard(cancel)
            cancel.set()

    def stop(self, turn: int | None = None) -> None:
        """Tell a request to stop, also one that has not arrived yet. turn: of the newest that is meant; None: any.

        `begin` and `stop` write their own turn before they read the other's, so that one of them sees both.
        """
        if turn is not None:
            self.stopped = max(self.stopped, turn)
        if turn is None or turn >= self.turn:
            self.cancel.set()

    def turn_away(self, turn: int = 0) -> None:
        """The visitor has other pictures: end what runs, and let go of the last session. turn: as of `begin`."""
        if turn < self.turn:
            return
        self.begin(turn)
        self.session, self.earlier, self.view, self.record = None, None, None, None
        self.about, self.sources, self.answers, self.words = {}, [], {}, {}


class Visitors:
    """A bounded map from a page's key to its Visitor. Thread-safe."""

    def __init__(
        self, capacity: int, ttl: float, clock: Callable[[], float] = time.monotonic, memory: int | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; at least one visitor must fit.")
        self._capacity = capacity
        self._ttl = ttl
        self.memory = memory  # bytes that all sessions may hold together; None: not limited
        self._clock = clock
        self._lock = threading.Lock()
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def get(self, key: str | None) -> Visitor:
        """The visitor's record, made if new; asking for it keeps it alive."""
        now = self._clock()
        with self._lock:
            visitor = self._visitors.pop(key or "", None) or Visitor()
            visitor.seen = now
            self._visitors[key or ""] = visitor
            gone = self._expire(now, visitor)
        _close(gone)
        return visitor

    def drop(self, key: str | None) -> None:
        """Forget a visitor who left, or turned to other pictures, and stop what still runs for them."""
        with self._lock:
            visitor = self._visitors.pop(key or "", None)
        if visitor:
            visitor.left = True
            _close([visitor])

    def __len__(self) -> int:
        with self._lock:
            return len(self._visitors)

    def _expire(self, now: float, asked: Visitor) -> list[Visitor]:
        """Take out those that are too many or too old, the longest unused first, but none that waits for an answer."""
        gone, left = [], len(self._visitors)
        held = 0 if self.memory is None else sum(visitor.held for visitor in self._visitors.values())
        for key, visitor in list(self._visitors.items()):
            too_many = left > self._capacity or held > (self.memory or held)
            if not too_many and now - visitor.seen <= self._ttl:
                break
            if visitor is asked:
                continue
            held -= visitor.held
            if visitor.waiting:
                visitor.earlier = None  # the pictures are looked at again instead
                held += visitor.held
                continue
            gone.append(self._visitors.pop(key))
            left -= 1
        return gone


def _close(visitors: list[Visitor]) -> None:
    for visitor in visitors:
        visitor.cancel.set()
        visitor.session, visitor.earlier = None, None
