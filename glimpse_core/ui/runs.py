"""Which long piece of work of a visitor can be stopped: one each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

FREE = "() => [true, false].map((can) => ({ __type__: 'update', interactive: can }))"


def free_at_the_end(event: Any, go: gr.Button, stop: gr.Button, **options: Any) -> None:
    """Let `go` be pressed again once `event` is closed, and not before: until then Gradio drops the click."""
    for closed in (event.then, event.failure):
        closed(None, None, [go, stop], js=FREE, **options)


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
