"""Which long piece of work of a visitor can be stopped: one each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Runs:
    """The events that stop them, by the visitor's key."""

    stops: dict[str, threading.Event] = field(default_factory=dict)

    def stop(self, key: str | None) -> None:
        if event := self.stops.get(key or ""):
            event.set()

    def replaced(self, key: str | None, event: threading.Event) -> bool:
        """Whether a later run of the visitor took the place of the one that `event` stops."""
        return self.stops.get(key or "", event) is not event

    @contextmanager
    def one(self, key: str | None) -> Iterator[threading.Event]:
        """The visitor's run; an earlier one that still runs is stopped."""
        self.stop(key)
        event = self.stops[key or ""] = threading.Event()
        try:
            yield event
        finally:
            event.set()
            if self.stops.get(key or "") is event:
                del self.stops[key or ""]
