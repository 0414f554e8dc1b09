"""What comes beside the two answers to a question: the answers at many budgets, and what their words need.

Both continue the session of the last question where it is still there, and otherwise ask it again. They wait in the
same queue as every question.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from glimpse_core.inference.attribution import Attribution
from glimpse_core.ui.inputs import AskOptions
from glimpse_core.ui.messages import Attributed, Band, Side, Words
from glimpse_core.ui.payloads import octets
from glimpse_core.ui.record import with_words
from glimpse_core.ui.streaming import PACE, PATIENCE, check, paced
from glimpse_core.ui.visitors import Visitor


class Beside:
    """One request about a question that was asked: its visitor, pictures, question and options.

    flow: of the page. cancel: ends it.
    """

    def __init__(
        self,
        flow: Any,
        visitor: Visitor,
        sources: Sequence[str],
        question: str,
        options: AskOptions,
        cancel: threading.Event,
    ) -> None:
        self._flow, self._visitor, self._sources = flow, visitor, list(sources)
        self._question, self._options, self._cancel = question, options, cancel

    def band(self) -> Iterator[Band]:
        """Stream the answers at about twelve budgets."""
        with self._session() as session:
            limit = self._options.sampling.max_new_tokens
            band = session.band(None, self._options.settings, max_new_tokens=limit, cancel=self._cancel)
            yield from paced(band, self._flow.gallery.truth(self._sources, self._question))

    def words(self) -> Iterator[Attributed]:
        """Stream how many prompts have been scored, and for each answer, the pruned one first, what its words need."""
        with self._session() as session:
            kept = session.choose(self._options.settings).mask
            yield from self._words(session, "kept", kept)
            yield from self._words(session, "full", None)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """The question's session, once it is its turn."""
        flow, cancel = self._flow, self._cancel
        with flow.queue.ticket() as ticket:
            while ticket.ahead(PATIENCE):
                check(cancel)
            model = flow.holder.wait(cancel)
            if self._known():
                yield self._visitor.session
            else:
                yield flow.start(model, flow.gallery.images(self._sources), self._question, cancel=cancel)

    def _known(self) -> bool:
        return self._visitor.knows(self._sources, self._question)

    def _words(self, session: Any, side: Side, mask: Tensor | None) -> Iterator[Attributed]:
        answer = self._answered(session, side, mask)
        if not answer.text.strip():
            return
        running, shown = session.attribution_steps(answer, mask, self._cancel), 0.0
        while True:
            try:
                tries = next(running)
            except StopIteration as done:
                found: Attribution = done.value
                break
            if time.monotonic() - shown >= PACE:
                shown = time.monotonic()
                yield {"side": side, "tries": tries}
        check(self._cancel)  # a later request of this visitor has the record by now
        self._note(session, side, answer, found)
        yield {"side": side, "tries": found.runs, "words": words_payload(answer.text, found)}

    def _answered(self, session: Any, side: Side, mask: Tensor | None) -> Any:
        """The answer as it was given, where it was made from these tokens; else made again, which is greedy."""
        visitor = self._visitor
        given = visitor.answers.get(side) if session is visitor.session else None
        same = mask is None or (visitor.kept is not None and bool((visitor.kept == mask).all()))
        if given is not None and same and given.finished in ("stop", "length"):
            return given
        answer = session.answer(mask, self._options.sampling, self._cancel)
        for _ in answer:
            pass
        check(self._cancel)
        return answer

    def _note(self, session: Any, side: Side, answer: Any, found: Attribution) -> None:
        """Put it into what can be saved: the visitor's record, or that of a stored result."""
        visitor, stored = self._visitor, self._flow.gallery.result(self._sources)
        if session is visitor.session:
            visitor.words[side] = (answer, found.to_dict())
        record = visitor.record
        if record is None and stored is not None and stored.question == self._question:
            record, visitor.sources = stored.record, self._sources
        if record is not None:
            visitor.record = with_words(record, side, answer.text, found)


def words_payload(text: str, found: Attribution) -> Words:
    """What the browser needs to show of an attribution."""
    return {
        "text": text,
        "kept": octets(found.kept),
        "words": [
            {"text": word.text, "depends": depends, "needs": list(needs)}
            for word, depends, needs in zip(found.words, found.depends, found.needed, strict=True)
        ],
    }
