"""Ask a question once, then select, prune and answer as often as needed.

A `Session` encodes the images and runs layers 0..K with the glimpse token once. After that, masks for any setting run
no model, and every answer, pruned or full, continues from the same prefill. All state of a question is in its session;
two sessions on one model share nothing that changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from glimpse_core.engine.prefix import fork, keep
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import Familiarity
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.inference.band import Band, budgets_of, check_budgets
from glimpse_core.inference.decoding import Answer
from glimpse_core.inference.prefill import Stages, prefill
from glimpse_core.inference.sampling import check
from glimpse_core.inference.scored import ScoredTokens
from glimpse_core.pruners.base import Pruner
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.types import Grid, Prefix, Prompt, Pruned, Sampling, Settings

if TYPE_CHECKING:
    from glimpse_core.backbones.processors import Processor


class Session(ScoredTokens):
    """One question about one or several images, or about a video.

    Make it with `Session.ask` or `Session.ask_video`. Scores and masks are those of `ScoredTokens`.

    Attributes:
        sizes: (width, height) of each image as the model sees it, in pixels, without padding.
        prompt_length: tokens of the prompt, visual ones included.
        timings: seconds of "vision" (encoding), "trunk" (layers 0..K) and "glimpse_vip" (scoring).
        counters: how often "vision", "trunk", "branch" (a continuation after layer K) and "answers" were run.
    """

    def __init__(self, model: LoadedModel, prompt: Prompt, cancel: threading.Event | None = None) -> None:
        """Encode the images of a ready-made prompt and run layers 0..K.

        Args:
            model: with or without glimpse modules.
            prompt: one row with at least one image.
            cancel: set it from another thread to stop between layers.

        Raises:
            Cancelled: where it was stopped.
            GlimpseError: for a batch, or a prompt without an image.
        """
        if len(prompt.input_ids) != 1 or not prompt.grids:
            raise GlimpseError(
                f"The prompt has {len(prompt.input_ids)} rows and {len(prompt.grids)} images. Expected one row with at "
                "least one image: call a pruner for batches."
            )
        self.sizes = tuple(shown(grid, model.backbone.token_pixels) for grid in prompt.grids)
        self.prompt_length = prompt.input_ids.shape[1]
        stages = Stages(model.device, cancel)
        self.timings, self.counters = stages.seconds, stages.counts
        self._prompt = prompt
        with torch.inference_mode():
            done = prefill(model, prompt, stages)
        super().__init__(model, prompt.grids, done.scores)
        self._trunk, self._vision = done.trunk, done.vision
        self._shared = SharedWork(model, prompt, done.vision)

    @property
    def familiarity(self) -> Familiarity | None:
        """How far the images lie from those that the model was trained on; None for a model that cannot tell."""
        world = self.model.world
        return None if world is None else world.judge(self._vision.embeds, self.grids)

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
        """Ask a question about images: encode them and run layers 0..K, once.

        Args:
            model: with or without glimpse modules.
            images: at least one, with sides up to 1:200.
            question: any text that is not blank.
            system: the system prompt; None: the model's own.
            cancel: set it from another thread to stop between layers.

        Raises:
            Cancelled: where it was stopped.
            GlimpseError: for no image, an unreadable image, an empty question, or a model folder without a processor.
        """
        if isinstance(images, Image.Image):
            images = [images]
        if not images:
            raise GlimpseError("No image was given. Expected at least one: add an image.")
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
        """Ask a question about a video. Two frames make one temporal slice, which counts as an image.

        `grids` has one grid per slice, and the VIP scores each slice by itself, as it was trained. The released
        modules were trained on images only; how well they score videos is not known.

        Args:
            model: of a family that takes videos (Qwen2.5-VL).
            frames: at least one.
            question: any text that is not blank.
            fps: frames given per second of the video.
            system: the system prompt; None: the model's own.
            cancel: set it from another thread to stop between layers.

        Raises:
            Cancelled: where it was stopped.
            GlimpseError: as `ask` does, and for models without video, and where torchvision is missing.
        """
        if not frames or not fps > 0:
            raise GlimpseError(f"{len(frames)} frames at {fps} per second were given. Expected more than 0 of both.")
        processor = _check_question(model, question)
        return cls(model, processor.video_prompt(model.backbone, list(frames), question, fps, system), cancel)

    def answer(
        self, mask: Tensor | None, sampling: Sampling | None = None, cancel: threading.Event | None = None
    ) -> Answer:
        """Stream an answer that continues the prefill with some of the visual tokens.

        Nothing runs before the first step is requested.

        Args:
            mask: (N,) bool, True for tokens to keep; None keeps them all.
            sampling: how tokens are drawn; None is greedy.
            cancel: set it from another thread to stop between tokens, or between layers of the prefill.

        Raises:
            GlimpseError: for a mask of another shape, and for impossible sampling settings.
        """
        if mask is not None:
            mask = torch.as_tensor(mask)
            if mask.dtype != torch.bool or mask.shape != (self.tokens,):
                raise GlimpseError(
                    f"The mask is {mask.dtype} {tuple(mask.shape)}. Expected torch.bool ({self.tokens},), one entry "
                    "per visual token."
                )
            mask = mask.clone()  # the caller may go on editing

        def branch() -> Prefix:
            if mask is None:
                return fork(self._trunk)
            return keep(self._trunk, self.model.backbone.keep_mask(self._prompt, (mask,)))

        return self._answer(branch, sampling, cancel)

    def band(
        self,
        budgets: Sequence[int] | None = None,
        settings: Settings | None = None,
        *,
        max_new_tokens: int = 64,
        cancel: threading.Event | None = None,
    ) -> Band:
        """Stream greedy answers at many budgets, which continue the same prefill.

        Args:
            budgets: numbers of visual tokens, kept by rank; None: twelve from one to all (`band.budgets_of`).
            settings: anchors and manual edits, which hold at every budget; None: none.
            max_new_tokens: most tokens of an answer.
            cancel: set it from another thread to stop between tokens, or between layers of the prefill.

        Returns:
            The band; nothing runs before its first step is requested.

        Raises:
            GlimpseError: for a model without glimpse modules, and for impossible budgets or settings.
        """
        given = budgets_of(self.tokens) if budgets is None else check_budgets(budgets, self.tokens)
        check(Sampling(max_new_tokens=max_new_tokens))
        masks = {budget: self.choose(replace(settings or Settings(), budget=budget)).mask for budget in given}

        def branch(mask: Tensor) -> Prefix:
            self.counters["answers"] += 1
            self.counters["branch"] += 1
            return keep(self._trunk, self.model.backbone.keep_mask(self._prompt, (mask,)))

        return Band(self.model.backbone, self._prompt, masks, branch, self._decode, max_new_tokens, cancel)

    def prune(self, pruner: Pruner, alone: bool = False) -> Pruned:
        """Prune the same question by another method.

        The images are not encoded again, unless the method reads more of the vision tower, and no layer runs twice on
        the same tokens, whichever of the session's methods needs it. So the session holds these prefixes as long as it
        lives.

        Args:
            pruner: made for this session's model.
            alone: share nothing, so that the method does all of its work and its time can be measured.

        Returns:
            Which tokens it keeps, how many in every layer, and what `answer_of` continues.
        """
        with torch.inference_mode():
            if alone:
                return pruner(self._prompt)
            own = pruner.model is self.model  # else its settings may be others, and so its work
            return pruner(self._prompt, self._shared.vision, self._shared if own else None)

    def answer_of(
        self, pruned: Pruned, sampling: Sampling | None = None, cancel: threading.Event | None = None
    ) -> Answer:
        """Stream the answer of another method, any number of times.

        Args:
            pruned: from `prune`.
            sampling: how tokens are drawn; None is greedy.
            cancel: set it from another thread to stop between tokens, or between layers of the prefill.
        """
        return self._answer(lambda: fork(pruned.branch), sampling, cancel)

    def _answer(
        self, branch: Callable[[], Prefix], sampling: Sampling | None, cancel: threading.Event | None
    ) -> Answer:
        def counted() -> Prefix:
            self.counters["branch"] += 1
            return branch()

        self.counters["answers"] += 1
        return Answer(self.model.backbone, self._prompt, counted, self._decode, sampling or Sampling(), cancel)

    def _decode(self, tokens: list[int]) -> str:
        processor = self.model.processor
        return " ".join(map(str, tokens)) if processor is None else processor.decode(tokens)


def shown(grid: Grid, side: int) -> tuple[int, int]:
    """(width, height) in pixels of the image on a grid of tokens of `side` pixels, padding left out."""
    left, top, right, bottom = grid.frame
    return max(1, round(grid.cols * side * (right - left))), max(1, round(grid.rows * side * (bottom - top)))


def _check_question(model: LoadedModel, question: str) -> Processor:
    """The model's processor. Raises GlimpseError for a blank question, or a model without a processor."""
    if not question or not question.strip():
        raise GlimpseError("The question is empty. Expected a text: type what you want to know about the image.")
    return model.require_processor()
