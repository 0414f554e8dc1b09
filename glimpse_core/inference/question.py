"""A question as it is asked: images encoded, layers 0..K run, tokens scored; or taken over from an earlier question."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import torch
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import Familiarity
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.inference.prefill import Stages, prefill
from glimpse_core.inference.reuse import Known
from glimpse_core.inference.scored import ScoredTokens
from glimpse_core.types import Grid, Prompt

if TYPE_CHECKING:
    from glimpse_core.backbones.processors import Processor


class Question(ScoredTokens):
    """A prompt with its images encoded, layers 0..K run and its visual tokens scored. `Session` answers it.

    Attributes:
        sizes: (width, height) of each image as the model sees it, in pixels, without padding.
        prompt_length: tokens of the prompt, visual ones included.
        reused: tokens of the prompt that an earlier session had run, and this one did not: 0, or all up to the end of
            the last image.
        timings: seconds of "vision" (encoding), "trunk" (layers 0..K, of the tokens not reused) and "glimpse_vip"
            (scoring).
        counters: how often "vision", "trunk", "branch" (a continuation after layer K) and "answers" were run.
    """

    def __init__(
        self,
        model: LoadedModel,
        prompt: Prompt,
        cancel: threading.Event | None = None,
        *,
        system: str | None = None,
        earlier: Question | None = None,
    ) -> None:
        """Encode the images of a ready-made prompt and run layers 0..K.

        Args:
            model: with or without glimpse modules.
            prompt: one row with at least one image.
            cancel: set it from another thread to stop between layers.
            system: the system prompt that it was made with, for `next`.
            earlier: a session of the same model. What it has computed is taken over where it holds for this prompt:
                encoded images if the images are the same, and the layers up to the end of the last image if the prompt
                is the same up to there. Otherwise everything runs.

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
        self._prompt, self._system = prompt, system
        known = None if earlier is None or earlier.model is not model else earlier._known
        with torch.inference_mode():
            done = prefill(model, prompt, stages, known)
        super().__init__(model, prompt.grids, done.scores)
        self._trunk, self._vision = done.trunk, done.vision
        self.reused, self._deep = done.reused, done.deep
        self._known: Known = Known(prompt, done.vision, done.trunk, done.deep)

    def next(self, question: str, *, system: str | None = None, cancel: threading.Event | None = None) -> Self:
        """Ask another question about the same images.

        The vision tower is not run again. Unless another system prompt is given, or the model's template puts the
        question before the images, neither are layers 0..K up to the end of the last image, nor, if this session has
        given a full answer, the layers after K for a full one. Scores, masks and answers are those of a session that
        is asked anew, up to rounding.

        Args:
            question: any text that is not blank.
            system: the system prompt; None: this session's.
            cancel: set it from another thread to stop between layers.

        Returns:
            A session of its own. This one stays usable; let go of it to free its memory (`held_bytes`).

        Raises:
            Cancelled: where it was stopped.
            GlimpseError: for an empty question, or a model folder without a processor.
        """
        processor, system = _check_question(self.model, question), self._system if system is None else system
        prompt = processor.next_prompt(self.model.backbone, self._prompt, question, system)
        return type(self)(self.model, prompt, cancel, system=system, earlier=self)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that this session holds for further answers and questions: what `next` takes over.

        Prompt, vision states, hidden states and the caches of all layers that have run; a full answer adds those after
        layer K. Not counted is what other methods (`prune`) have left.
        """
        return self._known.nbytes

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
    ) -> Self:
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
        prompt = processor.prompt(model.backbone, list(images), question, system)
        return cls(model, prompt, cancel, system=system)

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
    ) -> Self:
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
        prompt = processor.video_prompt(model.backbone, list(frames), question, fps, system)
        return cls(model, prompt, cancel, system=system)


def shown(grid: Grid, side: int) -> tuple[int, int]:
    """(width, height) in pixels of the image on a grid of tokens of `side` pixels, padding left out."""
    left, top, right, bottom = grid.frame
    return max(1, round(grid.cols * side * (right - left))), max(1, round(grid.rows * side * (bottom - top)))


def _check_question(model: LoadedModel, question: str) -> Processor:
    """The model's processor. Raises GlimpseError for a blank question, or a model without a processor."""
    if not question or not question.strip():
        raise GlimpseError("The question is empty. Expected a text: type what you want to know about the image.")
    return model.require_processor()
