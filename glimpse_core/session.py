"""Ask once, then look, re-select and answer as often as you like (signatures first; the engine behind them follows)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from glimpse_core.types import Grid, Kept, Sampling, Selection, Step

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from glimpse_core.catalog import GlimpseModel


class Answer(Iterator[Step]):
    """A streamed answer: iterate over it for its steps. Not restartable."""

    text: str
    tokens: list[int]
    finished: str | None  # "stop" | "length" | "cancelled" | None while running
    timings: dict  # {"branch": seconds, "tokens": [seconds, ...]}

    def __next__(self) -> Step:
        raise NotImplementedError


class Session:
    """One question about one or several pictures, on one model. Holds all state of the request; the model holds none."""

    grids: tuple[Grid, ...]
    sizes: tuple[tuple[int, int], ...]  # (W, H) in pixels of each picture as the model sees it
    logits: Tensor  # (N,) float32, CPU
    probabilities: Tensor  # (N,) float32, CPU
    attention: Tensor  # (read layers * heads, N) float32, CPU
    prompt_length: int
    config: object
    timings: dict[str, float]  # {"vision", "trunk", "glimpse_vip"} in seconds
    counters: dict[str, int]  # {"vision", "trunk", "branch", "answers"}

    @classmethod
    def ask(
        cls,
        model: GlimpseModel,
        images: list[Image.Image],
        question: str,
        *,
        system: str | None = None,
        cancel: threading.Event | None = None,
    ) -> Session:
        raise NotImplementedError

    def select(self, selection: Selection | None = None, paint: Mapping[int, bool] | None = None) -> Kept:
        raise NotImplementedError

    def random(self, count: int, seed: int = 0) -> Tensor:
        raise NotImplementedError

    def grid(self, count: int) -> Tensor:
        raise NotImplementedError

    def inverse(self, kept: Kept | Tensor) -> Tensor:
        raise NotImplementedError

    def answer(
        self, mask: Tensor | None, sampling: Sampling | None = None, cancel: threading.Event | None = None
    ) -> Answer:
        raise NotImplementedError
