"""What happens when someone chooses, asks, answers again or stops: handlers over plain values, without layout.

`ask` and `again` are generators. One of them runs both answers of a visitor, a token of each in turn, and yields
only what changed. Whatever ends it, the visitor's cancel event is set, so that nothing goes on for nobody.

A request is stopped by its cancel event alone, and says so itself: it is the only one who writes its answers. Updates
may still overtake each other on their way to the browser, so each carries the epoch of the action that it belongs to,
and the panels ignore what is older than what they show.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

import gradio as gr

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.types import Sampling, Selection
from glimpse_core.ui import compare, payloads, texts
from glimpse_core.ui.examples import Example
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.pictures import open_picture
from glimpse_core.ui.visitors import Visitor, Visitors

log = logging.getLogger(__name__)
_serial = count(1)

MAX_QUESTION = 2000  # characters
MAX_PICTURES = 4
MAX_ANSWER = 256  # tokens
PACE = 0.05  # seconds between two updates of the page while both answers stream
EXAMPLE = "example:"  # how a bundled picture is named in the state; anything else is the path of an upload


@dataclass
class View:
    """One update of the page; what is left out stays as it is. The order is that of `Page.outputs`."""

    canvas: Any = None
    answers: Any = None
    status: Any = None
    ask: Any = None
    stop: Any = None
    again: Any = None

    def row(self, epoch: int) -> list[Any]:
        """One update per output component; those of our panels are marked with the epoch."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("canvas", "answers", "status"):
            if values[name] is not None:
                values[name] = {**values[name], "epoch": epoch}
        return [gr.skip() if value is None else value for value in values.values()]


def new_epoch() -> int:
    """A number for an action of a visitor; whatever begins later has a higher one."""
    return next(_serial)


def status(text: str = "", kind: str = "info") -> dict[str, Any]:
    """The line under the question. kind: info, busy or error. Never equal to the one before, so it is always drawn."""
    return {"text": text, "kind": kind, "serial": next(_serial)}


def _buttons(running: bool, again: bool) -> dict[str, Any]:
    return {
        "ask": gr.update(interactive=not running),
        "stop": gr.update(interactive=running),
        "again": gr.update(interactive=again and not running),
    }


class Flow:
    """The handlers of one page. `start` makes a Session: `Session.ask` of the engine, or a stand-in of the tests."""

    def __init__(
        self, holder: Holder, visitors: Visitors, examples: tuple[Example, ...], start: Callable[..., Any]
    ) -> None:
        self.holder = holder
        self.visitors = visitors
        self.examples = examples
        self._start = start

    # Choosing -----------------------------------------------------------------------------------------------

    def show(self, sources: list[str]) -> dict[str, Any]:
        """The canvas for these pictures, before any question. Raises GlimpseError for one that cannot be used."""
        return payloads.pictures_payload(self._images(sources), [self._alt(source) for source in sources])

    def questions(self, sources: list[str]) -> list[str]:
        """Questions to suggest for these pictures."""
        example = self._example(sources[0]) if len(sources) == 1 else None
        return [question for question, _ in example.questions] if example else []

    def forget(self, key: str | None) -> None:
        """The visitor turned to other pictures: stop what runs and let go of the last session."""
        self.visitors.drop(key)

    def _example(self, source: str) -> Example | None:
        number = source.removeprefix(EXAMPLE)
        digits = number.isascii() and number.isdecimal()
        known = source.startswith(EXAMPLE) and digits and int(number) < len(self.examples)
        return self.examples[int(number)] if known else None

    def _images(self, sources: list[str]) -> list[Any]:
        if not sources:
            raise GlimpseError(texts.NO_PICTURE)
        if len(sources) > MAX_PICTURES:
            raise GlimpseError(f"{len(sources)} pictures were given; at most {MAX_PICTURES} fit in one question.")
        found = [self._example(source) for source in sources]
        return [
            open_picture(example.path if example else source) for example, source in zip(found, sources, strict=True)
        ]

    def _alt(self, source: str) -> str:
        example = self._example(source)
        return example.alt if example else "Your picture."

    # Asking -------------------------------------------------------------------------------------------------

    def ask(
        self, key: str | None, sources: list[str], question: str, threshold: Any, share: Any, floor: Any, length: Any
    ) -> Iterator[View]:
        """Look at the pictures with the question once, then stream both answers."""

        def work(visitor: Visitor, cancel: Any) -> Iterator[View]:
            selection, sampling = read_selection(threshold, share, floor), read_sampling(length)
            text = read_question(question)
            images = self._images(sources)
            visitor.session, visitor.view = None, {}
            loading = self.holder.state == "loading"
            yield View(
                answers=payloads.idle_answers() | {"question": text, "note": ""},
                status=status(texts.LOADING if loading else texts.LOOKING, "busy"),
                **_buttons(True, False),
            )
            model = self.holder.wait(cancel)
            if loading:
                yield View(status=status(texts.LOOKING, "busy"))
            session = visitor.session = self._start(model, images, text, cancel=cancel)
            example = self._example(sources[0]) if len(sources) == 1 else None
            visitor.view = {"question": text, "truth": example.truth(text) if example else None, "full": None}
            canvas = payloads.scores_payload(session, images, [self._alt(source) for source in sources], selection)
            yield View(canvas=canvas, status=status(texts.ANSWERING, "busy"))
            yield from self._stream(model, visitor, selection, sampling, cancel)

        yield from self._guard(key, work)

    def again(self, key: str | None, threshold: Any, share: Any, floor: Any, length: Any) -> Iterator[View]:
        """Answer the last question with another selection, from the same session: no vision, no trunk."""

        def work(visitor: Visitor, cancel: Any) -> Iterator[View]:
            selection, sampling = read_selection(threshold, share, floor), read_sampling(length)
            if visitor.session is None:
                raise GlimpseError(texts.NO_SESSION)
            yield View(status=status(texts.ANSWERING, "busy"), **_buttons(True, True))
            yield from self._stream(self.holder.wait(cancel), visitor, selection, sampling, cancel)

        yield from self._guard(key, work)

    def stop(self, key: str | None) -> None:
        """Tell the visitor's running request to end, which it does before its next token."""
        self.visitors.get(key).cancel.set()

    def _guard(self, key: str | None, work: Callable[[Visitor, Any], Iterator[View]]) -> Iterator[View]:
        visitor = self.visitors.get(key)
        cancel = visitor.begin()
        try:
            yield from work(visitor, cancel)
        except Cancelled:
            yield self._end(visitor, status(texts.STOPPED))
        except GlimpseError as error:
            yield self._end(visitor, status(str(error), "error"))
        except Exception as error:
            log.exception("a request failed")
            out = "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError)
            message = texts.OUT_OF_MEMORY if out else texts.UNEXPECTED.format(name=type(error).__name__)
            yield self._end(visitor, status(message, "error"))
        finally:
            cancel.set()

    def _end(self, visitor: Visitor, line: dict[str, Any]) -> View:
        if visitor.left:
            return View(**_buttons(False, False))
        return View(answers=_closed(visitor.view), status=line, **_buttons(False, visitor.session is not None))

    def _stream(
        self, model: Any, visitor: Visitor, selection: Selection, sampling: Sampling, cancel: Any
    ) -> Iterator[View]:
        session = visitor.session
        mask = session.select(selection).mask
        costs = payloads.costs_of(model, session, int(mask.sum()))
        answers = {"kept": session.answer(mask, sampling, cancel)}
        full = visitor.view.get("full")
        if full is None or full["state"] not in ("stop", "length") or full["limit"] != sampling.max_new_tokens:
            answers["full"] = session.answer(None, sampling, cancel)
        saved = 1 - costs.pruned.prefill / costs.full.prefill
        view = visitor.view = {
            **visitor.view,
            "verdict": None,
            "note": texts.faster(costs.layers, costs.keep_layer, saved),
            "settings": payloads.settings_payload(selection),
        }
        for last in _interleave(answers):
            for name, answer in answers.items():
                view[name] = {
                    "pieces": [[answer.text, False]],
                    "state": answer.finished or "running",
                    "limit": sampling.max_new_tokens,
                    "figures": payloads.figures(costs, session, answer, pruned=name == "kept"),
                }
            if not last:
                yield View(answers=dict(view))
        if cancel.is_set():
            raise Cancelled(texts.STOPPED)
        visitor.view = _judged(view)
        yield View(answers=visitor.view, status=status(), **_buttons(False, True))


def _interleave(answers: dict[str, Any]) -> Iterator[bool]:
    """Run the answers a token of each in turn; yields at the page's pace, and True once at the end."""
    running, shown = list(answers.values()), 0.0
    while running:
        first = any(not answer.tokens for answer in running)
        running = [answer for answer in running if next(answer, None) is not None]
        if first or time.monotonic() - shown >= PACE:
            shown = time.monotonic()
            yield False
    yield True


def _text(answer: dict[str, Any]) -> str:
    return "".join(piece for piece, _ in answer["pieces"])


def _judged(view: dict[str, Any]) -> dict[str, Any]:
    """Both answers are there: mark the words that differ and say whether any do."""
    left, right = _text(view["full"]), _text(view["kept"])
    full, kept = compare.mark(left, right)
    same = compare.same(left, right)
    return {
        **view,
        "full": {**view["full"], "pieces": [list(piece) for piece in full]},
        "kept": {**view["kept"], "pieces": [list(piece) for piece in kept]},
        "verdict": {"same": same, "text": texts.verdict(same, finished=True)},
    }


def _closed(view: dict[str, Any]) -> dict[str, Any]:
    """The answers as they stood, with nothing running any more."""
    if not view.get("kept") and not view.get("full"):
        return payloads.idle_answers() | {"question": view.get("question", ""), "note": ""}
    closed = dict(view)
    for name in ("full", "kept"):
        if closed.get(name) and closed[name]["state"] in ("running", "cancelled"):
            closed[name] = {**closed[name], "state": "cancelled"}
            closed["verdict"] = {"same": None, "text": texts.verdict(False, finished=False)}
    return closed


# Values from the browser can be anything ------------------------------------------------------------------------


def _number(value: Any, name: str, low: float, high: float) -> float:
    ok = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )
    if not ok:
        raise GlimpseError(f"{name} is {str(value)[:40]!r}; wanted was a number from {low:g} to {high:g}.")
    return value


def read_selection(threshold: Any, share: Any, floor: Any) -> Selection:
    """The selection from the page's controls. share: percent of the tokens kept at most; 100 means no cap."""
    percent = _number(share, "“Keep at most”", 0, 100)
    return Selection(
        threshold=float(_number(threshold, "The threshold", 0, 1)),
        max_ratio=None if percent >= 100 else percent / 100,
        min_tokens=int(_number(floor, "“Keep at least”", 0, 100_000)),
    )


def read_sampling(length: Any) -> Sampling:
    """Greedy decoding of at most `length` tokens."""
    return Sampling(max_new_tokens=int(_number(length, "“Longest answer”", 1, MAX_ANSWER)))


def read_question(question: Any) -> str:
    """The question without surrounding space. Raises GlimpseError if there is none or too much of it."""
    text = question.strip() if isinstance(question, str) else ""
    if not text:
        raise GlimpseError(texts.NO_QUESTION)
    if len(text) > MAX_QUESTION:
        raise GlimpseError(
            f"The question has {len(text):,} characters; at most {MAX_QUESTION:,} are taken. Please shorten it."
        )
    return text
