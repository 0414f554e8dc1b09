"""One question at a time on one model, in the order of arrival; those who wait may leave at any moment."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Queue:
    """A fair queue for threads: the holder of the oldest ticket runs, and keeps it while it runs."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def ticket(self) -> Iterator[Ticket]:
        """Hold a ticket until the block ends, however it ends."""
        ticket = Ticket(self)
        with self._moved:
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self._moved:
                self._tickets.remove(ticket)
                self._moved.notify_all()

    def ahead(self, ticket: Ticket, timeout: float) -> int:
        """How many tickets are older than this one; waits at most `timeout` seconds for it to be the oldest (0)."""
        with self._moved:
            self._moved.wait_for(lambda: self._tickets[0] is ticket, timeout)
            return self._tickets.index(ticket)

    def __len__(self) -> int:
        with self._moved:
            return len(self._tickets)


class Ticket:
    """One place in a queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def ahead(self, timeout: float = 0.0) -> int:
        """How many are served first; waits at most `timeout` seconds for it to be this one's turn (0)."""
        return self._queue.ahead(self, timeout)
