"""The Methods tab: the Ask tab's picture and question under several methods at one budget, as a stream of messages.

The browser has the picture; what it gets from here are token grids, masks, answers and figures, each once.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal, NotRequired, TypedDict

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.ui import comparison, texts
from glimpse_core.ui.flow import Flow, log
from glimpse_core.ui.gpu import LIMIT, borrow
from glimpse_core.ui.inputs import read_question, read_sampling
from glimpse_core.ui.streaming import failure
from glimpse_core.ui.visitors import Visitors

REMEMBERED, SECONDS = 64, 3600.0  # visitors whose last stop is remembered, and for how long


class MethodsGrid(TypedDict):
    """The token grid of one picture; frame: the part of it that the picture covers, as left, top, right, bottom."""

    rows: int
    cols: int
    frame: list[float]


class MethodsMessage(TypedDict):
    """One message of a comparison. It ends with the first whose state is not "running"."""

    state: Literal["running", "done", "stopped", "failed"]
    text: str  # how far it is, or what failed
    truth: NotRequired[str | None]  # the true answer to the question; in the first message, as grids
    grids: NotRequired[list[MethodsGrid]]  # once they are known
    result: NotRequired[comparison.MethodResult]  # of one method, in the order in which they are done


class Trying:
    """The comparisons of all visitors; `visitors` knows which of them is to stop.

    They are not the flow's: a comparison ends no answer on the Ask tab, and the other way around.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow, self.visitors = flow, Visitors(REMEMBERED, SECONDS)
        self._there = borrow(self._work, lambda *_: LIMIT)

    def stop(self, key: str | None, turn: int | None = None) -> None:
        """End the visitor's comparison before its next token.

        Args:
            key: of the visitor.
            turn: of the comparison, which may not have arrived yet; None: of any.
        """
        self.visitors.get(key).stop(turn)

    def messages(
        self,
        key: str | None,
        sources: Sequence[str],
        question: Any,
        names: Any,
        percent: Any,
        length: Any,
        turn: int = 0,
    ) -> Generator[MethodsMessage, None, None]:
        """Answer a question with all tokens and under each method, one after the other.

        Args:
            key: of the visitor; an earlier comparison of the same visitor ends.
            sources: of the pictures.
            question: of the visitor.
            names: of the methods.
            percent: share of the visual tokens that each may keep, from 1 to 100.
            length: most tokens of an answer.
            turn: place among the comparisons of this visitor's page.

        Yields:
            Messages as they become known, the last one with the state "done", "stopped" or "failed".
        """
        done = total = 0
        try:
            text, sampling = read_question(question), read_sampling(length)
            comparison.check(names, percent)
            names = [name for _, name in comparison.offered() if name in names]  # not in the order of the clicks
            total, truth = len(names) + 1, self.flow.gallery.truth(list(sources), text)
            yield {"state": "running", "text": texts.LOOKING, "truth": truth}
            with (
                self.visitors.get(key).asking(turn) as stop,
                closing(self._there(key, sources, text, names, percent, sampling.max_new_tokens, truth)) as steps,
            ):
                for step in steps:
                    done += "result" in step
                    yield step | {"state": "running", "text": f"{done} of {total} done…"}
                    if stop.is_set() and done < total:
                        raise Cancelled(texts.STOPPED)
            yield {"state": "done", "text": "All done."}
        except Cancelled:
            yield {"state": "stopped", "text": f"Stopped after {done} of {total}."}
        except GlimpseError as error:
            yield {"state": "failed", "text": str(error)}
        except Exception as error:
            log.exception("the methods tab failed")
            yield {"state": "failed", "text": failure(error)}

    def _work(
        self,
        key: str | None,
        sources: Sequence[str],
        question: str,
        names: list[str],
        percent: float,
        length: int,
        truth: str | None,
    ) -> Iterator[dict[str, Any]]:
        """Parts of messages: the grids, then one result at a time."""
        stop = self.visitors.get(key).cancel
        images, model = self.flow.gallery.images(list(sources)), self.flow.holder.wait(stop)
        with self.flow.queue.ticket() as ticket:
            _wait(ticket, stop)
            session = self.flow.start(model, images, question, cancel=stop)
        yield {"grids": [{"rows": one.rows, "cols": one.cols, "frame": list(one.frame)} for one in session.grids]}
        steps = comparison.run_methods(session, names, percent, read_sampling(length), stop, truth)
        while True:
            with self.flow.queue.ticket() as ticket:  # other visitors come in between two methods
                _wait(ticket, stop)
                result = next(steps, None)
            if result is None:
                return
            yield {"result": result}


def _wait(ticket: Any, stop: threading.Event) -> None:
    """Wait for the visitor's turn. Raises Cancelled where it was stopped meanwhile."""
    while ticket.ahead(0.2):
        if stop.is_set():
            raise Cancelled(texts.STOPPED)
