"""GPUs that are borrowed for one request at a time: ZeroGPU of Hugging Face Spaces, through its `spaces` package.

Elsewhere nothing here changes anything. On ZeroGPU a request runs in a forked process, so arguments and updates are
plain values, what it remembers there may be gone at the next request, and Stop closes the stream from this side.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr
from PIL import Image

from glimpse_core.ui import texts
from glimpse_core.ui.messages import Attributed, Band, Kind
from glimpse_core.ui.view import View
from glimpse_core.ui.visitors import Visitor

# Seconds of GPU time to ask for: estimates on the safe side, not measured on ZeroGPU. A visitor's quota must cover
# what is asked for, whatever is used.
ATTACH = 8.0  # moving the weights in
PER_TOKEN = 0.002  # vision and both prefills, per visual token
PER_STEP = 0.08  # one generated token of both answers
LIMIT = 120
PATCH = 28 * 28  # pixels of one visual token
MOST_TOKENS = 16_384  # of one picture, by the processor's own limit


def zero() -> bool:
    """Whether this process runs on ZeroGPU."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def borrow(work: Callable[..., Any], seconds: Callable[..., int]) -> Callable[..., Any]:
    """`work`, decorated for ZeroGPU where `spaces` is installed. seconds: GPU time to ask for, given its arguments."""
    try:
        import spaces
    except ImportError:
        return work
    return spaces.GPU(work, duration=seconds)


def seconds_for(paths: Sequence[Any], length: Any) -> int:
    """GPU seconds for one question: more for larger pictures and longer answers."""
    tokens = sum(map(_tokens, paths))
    steps = length if isinstance(length, (int, float)) and 0 <= length < 10_000 else 0
    return min(LIMIT, math.ceil(ATTACH + PER_TOKEN * tokens + PER_STEP * steps))


def _tokens(path: Any) -> int:
    try:
        with Image.open(path) as file:  # reads the header only
            return min(MOST_TOKENS, file.width * file.height // PATCH)
    except Exception:  # whatever is wrong with it, opening it properly says so later
        return 0


def runner(flow: Any) -> Any:
    """What runs the page's questions: the flow itself, or a stand-in that borrows a GPU for each of them."""
    return Borrowed(flow) if zero() else flow


class Borrowed:
    """`ask`, `again`, `band` and `words` of a flow, run in a process that has a GPU for as long as the request lasts.

    `again` finds its session there only while that process lives; else the flow asks anew.
    """

    def __init__(self, flow: Any) -> None:
        self._flow = flow
        self._there = borrow(self._work, self._seconds)

    def ask(self, key: str | None, *values: Any) -> Generator[View, None, None]:
        """As `Flow.ask`."""
        yield from self._relay("ask", key, values)

    def again(self, key: str | None, *values: Any) -> Generator[View, None, None]:
        """As `Flow.again`."""
        yield from self._relay("again", key, values)

    def band(self, key: str | None, *values: Any) -> Generator[Band, None, None]:
        """As `Flow.band`, which asks anew where the process that answered is gone."""
        try:
            with closing(self._there("band", key, values)) as updates:
                for band, _, _ in updates:
                    yield band
        except gr.Error as error:
            yield {"answers": [], "problem": str(error.message)}

    def words(self, key: str | None, *values: Any) -> Generator[Attributed, None, None]:
        """As `Flow.words`, likewise; what can be saved comes back with it."""
        visitor = self._flow.visitors.get(key)
        try:
            with closing(self._there("words", key, values)) as updates:
                for found, record, sources in updates:
                    if record is not None:
                        visitor.record, visitor.sources = record, sources
                    yield found
        except gr.Error as error:
            yield {"problem": str(error.message)}

    def _relay(self, name: str, key: str | None, values: tuple[Any, ...]) -> Iterator[View]:
        visitor = self._flow.visitors.get(key)
        with visitor.asking(values[-1]) as cancel:
            if cancel.is_set():  # overtaken by a later request of the same page, or stopped, which is reported
                if visitor.cancel is cancel:
                    yield self._ended(visitor, texts.STOPPED)
                return
            try:
                with closing(self._there(name, key, values)) as updates:
                    for view, visitor.record, visitor.sources in updates:
                        visitor.view = view.answers or visitor.view
                        yield view
                        if cancel.is_set():
                            break
                    else:
                        return
                yield self._ended(visitor, texts.STOPPED)
            except gr.Error as error:  # no quota left, no GPU free
                yield self._ended(visitor, str(error.message), "error")

    def _ended(self, visitor: Visitor, message: str, kind: Kind = "info") -> View:
        return self._flow.end(visitor, message, kind)

    def _work(self, name: str, key: str | None, values: tuple[Any, ...]) -> Iterator[tuple[Any, Any, list[str]]]:
        """In the other process: the flow's own work, each update with the record and its pictures as they stand."""
        with closing(getattr(self._flow, name)(key, *values)) as views:
            for view in views:
                visitor = self._flow.visitors.get(key)
                yield view, visitor.record, visitor.sources

    def _seconds(self, name: str, key: str | None, values: tuple[Any, ...]) -> int:
        sources, _, _, length, _ = values
        if name == "words":
            return LIMIT  # hundreds of prompts, of a number that is not known before
        return seconds_for([self._flow.gallery.path(source) for source in sources], length)
