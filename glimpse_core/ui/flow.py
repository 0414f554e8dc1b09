"""What happens when someone asks, answers again or stops: handlers over plain values, without layout.

`ask`, `again`, `band` and `words` are generators. The first two run both answers of a visitor, a token of each in turn,
and yield only what changed. Whatever ends one, the cancel event is set, so that nothing runs without a visitor.

A request is stopped by its cancel event alone, and says so itself: it is the only one who writes its answers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.glimpse.model import BY_RANK
from glimpse_core.glimpse.settings import DEFAULT_LENGTH
from glimpse_core.types import Kept, Settings
from glimpse_core.ui import figures, payloads, texts
from glimpse_core.ui.beside import Beside
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.inputs import AskOptions, read_options, read_question
from glimpse_core.ui.inside import inside_payload
from glimpse_core.ui.messages import Answers, Attributed, Band, Kind, Side
from glimpse_core.ui.queue import Queue
from glimpse_core.ui.record import record
from glimpse_core.ui.streaming import check, failure, interleave, wait
from glimpse_core.ui.view import View, closed, judged, status, text_of
from glimpse_core.ui.visitors import Visitor, Visitors

log = logging.getLogger(__name__)


class Flow:
    """The handlers of one page. `start` makes a Session: `Session.ask` of the engine, or a stand-in of the tests.

    `queue` lets one question at a time use the model; those who wait may stop. `trained` says whether the model has
    glimpse modules: known before it is loaded, as are the settings that a page begins with (`base`).
    """

    def __init__(
        self, holder: Holder, visitors: Visitors, gallery: Gallery, start: Callable[..., Any], trained: bool = True
    ) -> None:
        self.holder = holder
        self.visitors = visitors
        self.gallery = gallery
        self.queue = Queue()
        self.start = start
        self.trained = trained
        self.base = Settings() if trained else Settings(BY_RANK)

    def ask(
        self,
        key: str | None,
        sources: Sequence[str],
        question: Any,
        settings: Any = None,
        length: Any = DEFAULT_LENGTH,
        turn: int = 0,
    ) -> Generator[View, None, None]:
        """Look at the pictures with the question once, then stream both answers.

        A further question about the same pictures does not look at them again (`Session.next`).

        settings, length: as for `read_options`. turn: as for `Visitor.begin`.
        """

        def work(visitor: Visitor, cancel: threading.Event) -> Iterator[View]:
            options = read_options(settings, length, len(sources), self.base)
            yield from self._anew(visitor, sources, question, options, cancel)

        yield from self._guard(key, turn, work)

    def again(
        self,
        key: str | None,
        sources: Sequence[str],
        question: Any,
        settings: Any = None,
        length: Any = DEFAULT_LENGTH,
        turn: int = 0,
    ) -> Generator[View, None, None]:
        """Answer the last question with other tokens, from the same session: no vision, no trunk.

        Where the session is gone, or only a stored result was shown, the question is asked anew, with these tokens.
        """

        def work(visitor: Visitor, cancel: threading.Event) -> Iterator[View]:
            options = read_options(settings, length, len(sources), self.base)
            if not visitor.knows(sources, read_question(question)):
                yield from self._anew(visitor, sources, question, options, cancel)
                return
            kept = _choose(visitor.session, options)
            yield View(
                canvas=payloads.answered_payload(options.settings, kept.mask),
                status=status(texts.ANSWERING, "busy"),
            )
            with self.queue.ticket() as ticket:
                yield from wait(ticket, cancel, texts.ANSWERING)
                yield from self._stream(visitor, options, kept, cancel)

        yield from self._guard(key, turn, work)

    def band(
        self,
        key: str | None,
        sources: Sequence[str],
        question: Any,
        settings: Any = None,
        length: Any = DEFAULT_LENGTH,
        turn: int = 0,
    ) -> Generator[Band, None, None]:
        """Stream the answers at about twelve budgets, from the last question's session where it is still there."""
        for update in self._beside(key, turn, (sources, question, settings, length), Beside.band):
            yield {"answers": [], "problem": update} if isinstance(update, str) else update

    def words(
        self,
        key: str | None,
        sources: Sequence[str],
        question: Any,
        settings: Any = None,
        length: Any = DEFAULT_LENGTH,
        turn: int = 0,
    ) -> Generator[Attributed, None, None]:
        """Stream which visual tokens the words of both answers need, from the last question's session likewise."""
        for update in self._beside(key, turn, (sources, question, settings, length), Beside.words):
            yield {"problem": update} if isinstance(update, str) else update

    def stop(self, key: str | None, turn: int | None = None) -> None:
        """Tell the visitor's running or waiting request to end, which it does before its next token.

        turn: of the request that is meant, which may arrive after this; a later one goes on. None: whichever runs.
        """
        self.visitors.get(key).stop(turn)

    def turn_away(self, key: str | None, turn: int = 0) -> None:
        """The visitor has other pictures now: end what runs, and let go of the last session."""
        self.visitors.get(key).turn_away(turn)

    def forget(self, key: str | None) -> None:
        """The visitor is gone."""
        self.visitors.drop(key)

    # Inside -------------------------------------------------------------------------------------------------

    def _guard(
        self, key: str | None, turn: int, work: Callable[[Visitor, threading.Event], Iterator[View]]
    ) -> Iterator[View]:
        visitor = self.visitors.get(key)
        with visitor.asking(turn) as cancel:
            if cancel.is_set():  # overtaken by a later request of the same page, or stopped, which is reported
                if visitor.cancel is cancel:
                    yield self.end(visitor, texts.STOPPED)
                return
            try:
                yield from work(visitor, cancel)
            except Cancelled:
                yield self._last(visitor, cancel, texts.STOPPED)
            except GlimpseError as error:
                yield self._last(visitor, cancel, str(error), "error")
            except Exception as error:
                log.exception("a request failed")
                yield self._last(visitor, cancel, failure(error), "error")

    def _beside(
        self, key: str | None, turn: int, asked: tuple[Any, ...], work: Callable[[Beside], Iterator[Any]]
    ) -> Iterator[Any]:
        """The updates of `work`, and a sentence where it failed."""
        visitor = self.visitors.get(key)
        with visitor.asking(turn) as cancel:
            try:
                check(cancel)
                sources, question, settings, length = asked
                options, text = read_options(settings, length, len(sources), self.base), read_question(question)
                yield from work(Beside(self, visitor, sources, text, options, cancel))
            except Cancelled:
                return
            except GlimpseError as error:
                yield str(error)
            except Exception as error:
                log.exception("what comes beside the answers failed")
                yield failure(error)

    def _last(self, visitor: Visitor, cancel: threading.Event, message: str, kind: Kind = "info") -> View:
        """Nothing, where a later request of the same visitor reports by now: its buttons must not be turned back."""
        return self.end(visitor, message, kind) if visitor.cancel is cancel else View()

    def end(self, visitor: Visitor, message: str, kind: Kind = "info") -> View:
        """The last update of a request that did not come to its own end. message: why, as the page shows it."""
        if visitor.left:
            return View()
        if not visitor.view:  # nothing had begun: what the page shows stays
            return View(status=status(message, kind))
        view = closed(visitor.view)
        complete = view["verdict"] is not None and view["verdict"]["same"] is not None
        return View(answers=view, status=status("" if complete and message == texts.STOPPED else message, kind))

    def _anew(
        self, visitor: Visitor, sources: Sequence[str], question: Any, options: AskOptions, cancel: threading.Event
    ) -> Iterator[View]:
        text = read_question(question)
        images = self.gallery.images(sources)
        visitor.follow(sources, text)
        truth = self.gallery.truth(sources, text)
        visitor.view = {**payloads.idle_answers(), "question": text, "truth": truth}
        message = texts.LOADING if self.holder.state == "loading" else texts.LOOKING
        yield View(
            canvas=payloads.cleared_payload(),
            answers=visitor.view,
            status=status(message, "busy"),
        )
        with self.queue.ticket() as ticket:
            yield from wait(ticket, cancel, message)
            model = self.holder.wait(cancel)
            if message == texts.LOADING:
                yield View(status=status(texts.LOOKING, "busy"))
            earlier, visitor.earlier = visitor.earlier, None
            session = (earlier.next if earlier else partial(self.start, model, images))(text, cancel=cancel)
            check(cancel)  # a later request of this visitor has the record by now
            visitor.session = session
            alts, visitor.sources = self.gallery.alts(sources), list(sources)
            originals = [image.size for image in images]
            visitor.about = {"question": text, "truth": truth, "alts": alts, "originals": originals}
            kept = _choose(session, options)
            canvas = payloads.scores_payload(session, images, alts, options.settings, kept.mask)
            canvas |= payloads.evidence_payload(self.gallery.evidence(sources, text, session.grids))
            known = session.familiarity.familiar if session.familiarity else None
            yield View(canvas=canvas, status=status(texts.ANSWERING, "busy"), familiar=known)
            yield from self._stream(visitor, options, kept, cancel)

    def _stream(self, visitor: Visitor, options: AskOptions, kept: Kept, cancel: threading.Event) -> Iterator[View]:
        model, session, sampling = self.holder.wait(cancel), visitor.session, options.sampling
        costs = figures.costs_of(model, session, int(kept.mask.sum()))
        answers: dict[Side, Any] = {"kept": session.answer(kept.mask, sampling, cancel)}
        before = visitor.view or payloads.idle_answers()
        full = before["full"]
        if full is None or full["state"] not in ("stop", "length") or full.get("limit") != sampling.max_new_tokens:
            answers["full"] = session.answer(None, sampling, cancel)
        view: Answers = {
            **before,
            "full": {**full, "pieces": [(text_of(full), False)], "old": True} if full else None,  # its marks taken off
            "verdict": None,
            "rule": texts.rule(options.settings, model.trained),
        }
        if session.reused:
            view["reused"] = session.reused
        visitor.view = view
        yield View(inside=inside_payload(costs, session, view))
        for last in interleave(answers):
            for name, answer in answers.items():
                shown = figures.answer_payload(costs, session, answer, pruned=name == "kept")
                view[name] = {**shown, "limit": sampling.max_new_tokens}
            if not last:
                yield View(answers={**view})
        if visitor.cancel is not cancel:
            raise Cancelled(texts.STOPPED)  # the visitor's record is a later request's
        visitor.answers |= answers
        visitor.kept = kept.mask
        known = {side: found for side, found in visitor.words.items() if found[0] is visitor.answers.get(side)}
        visitor.words = known
        visitor.record = record(
            model,
            session,
            **visitor.about,
            kept=kept,
            settings=options.settings,
            sampling=sampling,
            answers=visitor.answers,
            costs=costs,
            words={side: words for side, (_, words) in known.items()},
        )
        check(cancel)
        visitor.view = judged(view)
        yield View(
            answers=visitor.view, inside=inside_payload(costs, session, visitor.view, visitor.answers), status=status()
        )


def _choose(session: Any, options: AskOptions) -> Kept:
    kept: Kept = session.choose(options.settings)
    return kept
