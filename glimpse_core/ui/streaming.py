"""The updates of a request: waiting for the model, answers a token at a time, and what is reported of an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glimpse_core.errors import Cancelled
from glimpse_core.ui import compare, texts
from glimpse_core.ui.messages import Band, BandAnswer, Side
from glimpse_core.ui.queue import Ticket
from glimpse_core.ui.view import View, status

PACE = 0.05  # seconds between two updates of the page while both answers stream
PATIENCE = 0.1  # seconds between two looks at whether a waiting visitor has left


def failure(error: Exception) -> str:
    """What a person is told of an unexpected error."""
    out = "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError)
    return texts.OUT_OF_MEMORY if out else texts.UNEXPECTED.format(name=type(error).__name__)


def check(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Cancelled(texts.STOPPED)


def wait(ticket: Ticket, cancel: threading.Event, then: str) -> Iterator[View]:
    """Wait in the queue, saying how long it still is. Raises Cancelled if the visitor leaves."""
    shown = 0
    while ahead := ticket.ahead(PATIENCE):
        check(cancel)
        if ahead != shown:
            shown = ahead
            yield View(status=status(texts.waiting(ahead), "busy"))
    if shown:
        yield View(status=status(then, "busy"))


def paced(band: Any, truth: str | None) -> Iterator[Band]:
    """The band's answers at the page's pace, and once when all are complete, or stopped."""
    shown = 0.0
    for _ in band:
        if time.monotonic() - shown >= PACE:
            shown = time.monotonic()
            yield {"answers": band_payload(band.answers, truth)}
    yield {"answers": band_payload(band.answers, truth)}


def band_payload(answers: Sequence[Any], truth: str | None) -> list[BandAnswer]:
    """Answers at many budgets (`inference.band.BudgetAnswer`), each judged where the true answer is known."""
    return [
        {
            "budget": answer.budget,
            "kept": int(answer.mask.sum()),
            "text": answer.text,
            "finished": answer.finished,
            "right": compare.right(answer.text, truth) if answer.finished in ("stop", "length") else None,
        }
        for answer in answers
    ]


def interleave(answers: Mapping[Side, Any]) -> Iterator[bool]:
    """Run the answers a token of each in turn; yields at the page's pace, and True once at the end."""
    running, shown = list(answers.values()), 0.0
    while running:
        first = any(not answer.tokens for answer in running)
        running = [answer for answer in running if next(answer, None) is not None]
        if running and (first or time.monotonic() - shown >= PACE):
            shown = time.monotonic()
            yield False
    yield True
