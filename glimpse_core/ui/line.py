"""One question at a time on one model, in the order of arrival; whoever waits may leave at any moment."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """A fair queue for threads. Being in it and being served are the same place: the first one in line runs."""

    def __init__(self) -> None:
        self._places: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Stand in line until the block ends, however it ends."""
        place = Place(self)
        with self._moved:
            self._places.append(place)
        try:
            yield place
        finally:
            with self._moved:
                self._places.remove(place)
                self._moved.notify_all()

    def __len__(self) -> int:
        with self._moved:
            return len(self._places)


class Place:
    """One place in a line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def ahead(self, timeout: float = 0.0) -> int:
        """How many are served first; waits at most `timeout` seconds for it to be this one's turn (0)."""
        line = self._line
        with line._moved:
            line._moved.wait_for(lambda: line._places[0] is self, timeout)
            return line._places.index(self)
