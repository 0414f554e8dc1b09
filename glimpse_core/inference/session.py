"""Ask once, then look, select and answer as often as you like.

One pass of the vision tower and one trunk (layers 0..K, with the glimpse token) per question. After that, masks for
any setting cost no model run, and every answer, pruned or full, continues from the same trunk. All state of a request
is here; two sessions on one model share nothing that changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from PIL import Image
from torch import Tensor

from glimpse_core.engine.prefix import fork, keep
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.glimpse.look import reference_scores, score, trunk
from glimpse_core.glimpse.model import GlimpseModel, require_glimpse
from glimpse_core.glimpse.selection import paint as painted
from glimpse_core.glimpse.selection import select
from glimpse_core.inference.choice import choose
from glimpse_core.inference.decoding import Answer
from glimpse_core.pruners.base import Pruner, prefill_without_glimpse
from glimpse_core.pruners.grid import grid_mask
from glimpse_core.pruners.random import random_mask
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.types import (
    GlimpseConfig,
    Grid,
    Kept,
    Prefix,
    Prompt,
    Pruned,
    Sampling,
    Scores,
    Selection,
    Settings,
    Vision,
)

if TYPE_CHECKING:
    from glimpse_core.backbones.processors import Processor
    from glimpse_core.glimpse.model import LoadedModel

Result = TypeVar("Result")


class Session:
    """One question about one or several pictures.

    grids: the visual tokens of each picture. sizes: (width, height) of each picture as the model sees it, in
    pixels, without padding. prompt_length: tokens of the prompt, visual ones included. timings: seconds of "vision",
    "trunk", "glimpse_vip". counters: how often "vision", "trunk", "branch" and "answers" were run.
    """

    def __init__(self, model: LoadedModel, prompt: Prompt, cancel: threading.Event | None = None) -> None:
        """A ready-made prompt of one row with at least one picture. `ask` is the usual way in."""
        if len(prompt.input_ids) != 1 or not prompt.grids:
            raise GlimpseError("a session takes one prompt with at least one picture: use GlimpsePruner for batches")
        self.model = model
        self.config: GlimpseConfig | None = model.config if isinstance(model, GlimpseModel) else None
        self.grids: tuple[Grid, ...] = prompt.grids
        self.sizes = tuple(shown(grid, model.backbone.token_pixels) for grid in prompt.grids)
        self.prompt_length = prompt.input_ids.shape[1]
        self.timings: dict[str, float] = {}
        self.counters = {"vision": 0, "trunk": 0, "branch": 0, "answers": 0}
        self._prompt = prompt
        self._cancel = cancel
        self._tokens = sum(grid.tokens for grid in prompt.grids)
        with torch.inference_mode():
            vision, self._trunk, scores = self._look(prompt)
        self._shared = SharedWork(model, prompt, vision)
        # Cloned outside inference mode, so that callers get ordinary tensors.
        self._logits = None if scores is None else scores.logits[0][-1].float().cpu().clone()
        self._attention = None if scores is None else scores.attention.T.float().cpu().clone()

    @classmethod
    def ask(
        cls,
        model: LoadedModel,
        images: list[Image.Image] | Image.Image,
        question: str,
        *,
        system: str | None = None,
        cancel: threading.Event | None = None,
    ) -> Session:
        """See the pictures and run the trunk, once. Any text and any picture with sides up to 1:200 are accepted.

        cancel: set it from another thread to stop between layers; `Cancelled` is raised. Raises `GlimpseError` for no
        picture, an unreadable picture, an empty question, or a model folder without a processor.
        """
        if isinstance(images, Image.Image):
            images = [images]
        if not images:
            raise GlimpseError("no picture was given, but a question is asked about at least one: add a picture")
        processor = _check_question(model, question)
        return cls(model, processor.prompt(model.backbone, list(images), question, system), cancel)

    @classmethod
    def ask_video(
        cls,
        model: LoadedModel,
        frames: list[Image.Image],
        question: str,
        *,
        fps: float = 2.0,
        system: str | None = None,
        cancel: threading.Event | None = None,
    ) -> Session:
        """The same about a video. fps: frames given per second of it. Two frames make one temporal slice.

        Every slice counts as a picture: `grids` has one for each, and the VIP looks at each by itself, as it was
        trained. The released modules were trained on pictures only; what they are worth on videos is not known.
        Raises `GlimpseError` also for models without video, and where torchvision is missing.
        """
        if not frames or not fps > 0:
            raise GlimpseError(f"{len(frames)} frames at {fps} per second were given: wanted was at least one of each")
        processor = _check_question(model, question)
        return cls(model, processor.video_prompt(model.backbone, list(frames), question, fps, system), cancel)

    # ------------------------------------------------------------------------------------------ what was seen

    @property
    def logits(self) -> Tensor:
        """(N,) float32 on the CPU: the VIP's word on every visual token, all pictures in raster order."""
        if self._logits is None:
            require_glimpse(self.model)  # raises
        return self._logits

    @property
    def probabilities(self) -> Tensor:
        """(N,) float32: what the threshold is compared with."""
        return self.logits.sigmoid()

    @property
    def attention(self) -> Tensor:
        """(read layers * heads, N) float32 on the CPU: the glimpse token's attention as the VIP reads it."""
        _ = self.logits
        return self._attention

    # ------------------------------------------------------------------------------------------ masks, no model run

    def select(self, selection: Selection | None = None, paint: Mapping[int, bool] | None = None) -> Kept:
        """Threshold, cap, floor, anchors, then paint. selection: None takes the checkpoint's own settings."""
        only = self.grids[0] if len(self.grids) == 1 else None
        kept = select(self.logits, selection or self.config.selection, only)
        return painted(kept, paint) if paint else kept

    def choose(self, settings: Settings) -> Kept:
        """The same by all settings of a question: also a budget, manual edits and controls."""
        return choose(self.logits, self.grids, settings)

    def random(self, count: int, seed: int = 0) -> Tensor:
        """(N,) bool: `count` random tokens."""
        return random_mask(self._tokens, count, seed)

    def grid(self, count: int) -> Tensor:
        """(N,) bool: `count` tokens spread evenly over the pictures."""
        return grid_mask(self.grids, count)

    def inverse(self, kept: Kept | Tensor) -> Tensor:
        """(N,) bool: exactly what `kept` drops."""
        return ~(kept.mask if isinstance(kept, Kept) else kept)

    # ------------------------------------------------------------------------------------------ answers

    def answer(
        self, mask: Tensor | None, sampling: Sampling | None = None, cancel: threading.Event | None = None
    ) -> Answer:
        """Stream an answer from the trunk with the visual tokens where `mask` (N,) is True; None keeps them all.

        Nothing runs before the first step is asked for. cancel: set it from another thread to stop between tokens, or
        between layers of the prefill.
        """
        if mask is not None:
            mask = torch.as_tensor(mask)
            if mask.dtype != torch.bool or mask.shape != (self._tokens,):
                raise GlimpseError(
                    f"the mask is {mask.dtype} {tuple(mask.shape)}, but one bool for each of {self._tokens} "
                    "visual tokens "
                    "is needed"
                )
            mask = mask.clone()  # the caller may go on painting

        def branch() -> Prefix:
            self.counters["branch"] += 1
            if mask is None:
                return fork(self._trunk)
            return keep(self._trunk, self.model.backbone.keep_mask(self._prompt, (mask,)))

        return self._answer(branch, sampling, cancel)

    def prune(self, pruner: Pruner, alone: bool = False) -> Pruned:
        """What another method makes of the same question: which tokens it keeps, and how many in every layer.

        The pictures are not seen again, unless the method reads what was not read, and no layer is run twice on the
        same tokens, whichever of the session's methods needs it. alone: nothing is shared, so that the method does all
        of its work and its time can be measured.
        """
        with torch.inference_mode():
            if alone:
                return pruner(self._prompt)
            own = pruner.model is self.model  # else its settings may be others, and so its work
            return pruner(self._prompt, self._shared.vision, self._shared if own else None)

    def answer_of(
        self, pruned: Pruned, sampling: Sampling | None = None, cancel: threading.Event | None = None
    ) -> Answer:
        """Stream the answer of another method, which `prune` gave; as often as you like."""

        def branch() -> Prefix:
            self.counters["branch"] += 1
            return fork(pruned.branch)

        return self._answer(branch, sampling, cancel)

    # ------------------------------------------------------------------------------------------ inside

    def _answer(
        self, branch: Callable[[], Prefix], sampling: Sampling | None, cancel: threading.Event | None
    ) -> Answer:
        self.counters["answers"] += 1
        return Answer(self.model.backbone, self._prompt, branch, self._decode, sampling or Sampling(), cancel)

    def _decode(self, tokens: list[int]) -> str:
        processor = self.model.processor
        return " ".join(map(str, tokens)) if processor is None else processor.decode(tokens)

    def _look(self, prompt: Prompt) -> tuple[Vision, Prefix, Scores | None]:
        model = self.model
        layers = model.config.vision_layers if isinstance(model, GlimpseModel) else ()
        vision = self._timed("vision", lambda: model.backbone.encode_images(prompt, layers))
        if not isinstance(model, GlimpseModel) or model.config.masks == "reference":
            prefix = self._timed("trunk", lambda: prefill_without_glimpse(model, prompt, vision, self._check_cancel))
            return vision, prefix, reference_scores(model, prompt, None) if isinstance(model, GlimpseModel) else None
        prefix, probe = self._timed("trunk", lambda: trunk(model, prompt, vision, self._check_cancel))
        return vision, prefix, self._timed("glimpse_vip", lambda: score(model, prompt, vision, probe, None))

    def _timed(self, stage: str, work: Callable[[], Result]) -> Result:
        self._check_cancel()
        began = time.perf_counter()
        result = work()
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        self.timings[stage] = time.perf_counter() - began
        if stage in self.counters:
            self.counters[stage] += 1
        return result

    def _check_cancel(self, layer: int = 0, hidden: Tensor | None = None) -> Tensor | None:
        """Also a `BeforeLayer`, so that a long trunk can be stopped."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("the question was stopped before the picture had been looked at: ask again")
        return hidden


def shown(grid: Grid, side: int) -> tuple[int, int]:
    """(width, height) of the picture on a grid of tokens of `side` pixels, padding left out."""
    left, top, right, bottom = grid.frame
    return max(1, round(grid.cols * side * (right - left))), max(1, round(grid.rows * side * (bottom - top)))


def _check_question(model: LoadedModel, question: str) -> Processor:
    """The model's processor, if there is one, for a question that is no blank."""
    if not question or not question.strip():
        raise GlimpseError("the question is empty: type what you want to know about the picture")
    return model.require_processor()
