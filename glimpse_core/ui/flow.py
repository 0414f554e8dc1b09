"""What happens when someone chooses, asks, answers again or stops: handlers over plain values, without layout.

`ask` and `again` are generators. One of them runs both answers of a visitor, a token of each in turn, and yields
only what changed. Whatever ends it, the visitor's cancel event is set, so that nothing goes on for nobody.

A request is stopped by its cancel event alone, and says so itself: it is the only one who writes its answers. Updates
may still overtake each other on their way to the browser, so each carries the epoch of the action that it belongs to,
and the panels ignore what is older than what they show.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.types import Sampling, Selection
from glimpse_core.ui import payloads, texts
from glimpse_core.ui.examples import Example
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.inputs import read_question, read_sampling, read_selection
from glimpse_core.ui.pictures import open_picture
from glimpse_core.ui.record import record
from glimpse_core.ui.view import View, buttons, closed, judged, status, text_of
from glimpse_core.ui.visitors import Visitor, Visitors

log = logging.getLogger(__name__)

MAX_PICTURES = 4
PACE = 0.05  # seconds between two updates of the page while both answers stream
EXAMPLE = "example:"  # how a bundled picture is named in the state; anything else is the path of an upload


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
        return payloads.pictures_payload(self.pictures(sources), [self._alt(source) for source in sources])

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

    def pictures(self, sources: list[str]) -> list[Any]:
        """These pictures, upright RGB. Raises GlimpseError for none, too many, or one that cannot be used."""
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
            images = self.pictures(sources)
            visitor.session, visitor.view, visitor.record, visitor.answers = None, {}, None, {}
            loading = self.holder.state == "loading"
            yield View(
                answers=payloads.idle_answers() | {"question": text, "note": ""},
                status=status(texts.LOADING if loading else texts.LOOKING, "busy"),
                **buttons(True, False),
            )
            model = self.holder.wait(cancel)
            if loading:
                yield View(status=status(texts.LOOKING, "busy"))
            session = visitor.session = self._start(model, images, text, cancel=cancel)
            example = self._example(sources[0]) if len(sources) == 1 else None
            truth, alts = example.truth(text) if example else None, [self._alt(source) for source in sources]
            visitor.view = {"question": text, "truth": truth, "full": None}
            visitor.sources = list(sources)
            visitor.about = {
                "question": text,
                "truth": truth,
                "alts": alts,
                "originals": [image.size for image in images],
            }
            canvas = payloads.scores_payload(session, images, alts, selection)
            yield View(canvas=canvas, status=status(texts.ANSWERING, "busy"))
            yield from self._stream(model, visitor, selection, sampling, cancel)

        yield from self._guard(key, work)

    def again(self, key: str | None, threshold: Any, share: Any, floor: Any, length: Any) -> Iterator[View]:
        """Answer the last question with another selection, from the same session: no vision, no trunk."""

        def work(visitor: Visitor, cancel: Any) -> Iterator[View]:
            selection, sampling = read_selection(threshold, share, floor), read_sampling(length)
            if visitor.session is None:
                raise GlimpseError(texts.NO_SESSION)
            yield View(status=status(texts.ANSWERING, "busy"), **buttons(True, True))
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
            return View(**buttons(False, False))
        return View(answers=closed(visitor.view), status=line, **buttons(False, visitor.session is not None))

    def _stream(
        self, model: Any, visitor: Visitor, selection: Selection, sampling: Sampling, cancel: Any
    ) -> Iterator[View]:
        session = visitor.session
        kept = session.select(selection)
        costs = payloads.costs_of(model, session, int(kept.mask.sum()))
        answers = {"kept": session.answer(kept.mask, sampling, cancel)}
        full = visitor.view.get("full")
        if full is None or full["state"] not in ("stop", "length") or full["limit"] != sampling.max_new_tokens:
            answers["full"] = session.answer(None, sampling, cancel)
        saved = 1 - costs.pruned.prefill / costs.full.prefill
        view = visitor.view = {
            **visitor.view,
            "full": full and {**full, "pieces": [[text_of(full), False]]},  # of a former run, with its marks taken off
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
        visitor.answers |= answers
        visitor.record = record(
            model,
            session,
            **visitor.about,
            kept=kept,
            selection=selection,
            sampling=sampling,
            answers=visitor.answers,
            costs=costs,
        )
        if cancel.is_set():
            raise Cancelled(texts.STOPPED)
        visitor.view = judged(view)
        yield View(answers=visitor.view, status=status(), **buttons(False, True))


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
