"""What is timed: plain `generate`, our path with a pruner, both answers from one trunk, a changed threshold.

All of them answer the same prompt greedily with the same number of tokens; stop tokens are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from glimpse_core.bench.measure import Stages, clock
from glimpse_core.glimpse.look import look
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel, require_glimpse
from glimpse_core.inference.decoding import begin, finish, step
from glimpse_core.inference.generation import with_pruning
from glimpse_core.inference.session import Session
from glimpse_core.pruners import TRAINING_FREE, GlimpsePruner, Method, Pruner, build
from glimpse_core.pruners.base import prefill_without_glimpse
from glimpse_core.types import Prompt, Sampling, Selection


class _Marks(LogitsProcessor):
    """Notes the time whenever `generate` has logits."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.times.append(self.now())
        return scores


def budget(ratio: float) -> Selection:
    """The selection of exactly int(ratio * N) tokens, the most probable ones."""
    return Selection(threshold=0.0, max_ratio=ratio)


def own_pruner(model: LoadedModel, selection: Selection) -> Method:
    """The pruner that keeps what a session of the model keeps: GlimpsePrune, or without its modules attention at K.

    Args:
        model: with or without glimpse modules.
        selection: of `budget`.
    """
    if isinstance(model, GlimpseModel):
        return GlimpsePruner(model, selection)
    return build(TRAINING_FREE, model, ratio=selection.max_ratio)


class Bench:
    """Times one model on one prompt, each method of this class in another way."""

    def __init__(self, model: LoadedModel, prompt: Prompt, steps: int, ticks: str = "wall") -> None:
        """Prepare a benchmark.

        Args:
            model: with or without glimpse modules.
            prompt: one row with images.
            steps: tokens to generate, the first included.
            ticks: "wall" or "cpu"; see `measure.clock`.
        """
        self.model, self.prompt, self.steps = model, prompt, steps
        self.now = clock(model.device, ticks)
        self.visual = sum(grid.tokens for grid in prompt.grids)

    # ------------------------------------------------------------------------------------------ one answer

    def stock(self) -> Stages:
        """Time plain `generate` of transformers."""
        return self._generate(self.model.backbone.hf)

    def dropped_in(self, pruner: Pruner) -> Stages:
        """Time `generate` with a pruner in its prefill."""
        return self._generate(with_pruning(self.model, pruner))

    def ours(self, pruner: Method) -> Stages:
        """Time a pruner and our own decoding.

        Of methods that encode the images first, "vision" is that stage and "decoder" the rest of the prefill.
        """
        backbone = self.model.backbone
        with torch.inference_mode():
            began = self.now()
            asked = (pruner.conditions(), pruner.vision_reads())
            vision = None if pruner.blind else backbone.encode_images(self.prompt, *asked)
            seen = self.now()
            decoding = begin([finish(backbone, pruner(self.prompt, vision).branch)])
            marks = []
            for _ in range(self.steps):
                decoding = step(backbone, decoding)
                marks.append(self.now())
        parts = {} if pruner.blind else {"vision": seen - began, "decoder": marks[0] - seen}
        return _stages(began, marks) | parts

    def _generate(self, hf: Any) -> Stages:
        marks = _Marks(self.now)
        given = {field.name: getattr(self.prompt, field.name) for field in fields(self.prompt)}
        inputs = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        if self.prompt.image_grid_thw is None:  # only models with a grid know what kind a token is
            inputs.pop("mm_token_type_ids", None)
        began = self.now()
        hf.generate(
            **inputs, do_sample=False, max_new_tokens=self.steps, min_new_tokens=self.steps,
            logits_processor=LogitsProcessorList([marks]),
        )  # fmt: skip
        return _stages(began, marks.times)

    # ------------------------------------------------------------------------------------------ stages

    @torch.inference_mode()
    def looking(self) -> Stages:
        """Time what the glimpse adds: the vision states it reads, its token in layers 0..K, attention row and VIP.

        It is the difference between a prefill with it and one without, each done twice, in the order 1 2 2 1.
        """
        model, prompt = require_glimpse(self.model), self.prompt
        layers = model.config.vision_layers

        def timed(glimpse: bool) -> float:
            began = self.now()
            vision = model.backbone.encode_images(prompt, layers if glimpse else ())
            look(model, prompt, vision) if glimpse else prefill_without_glimpse(model, prompt, vision)
            return self.now() - began

        without, first, second, again = (timed(glimpse) for glimpse in (False, True, True, False))
        return {"prefill": (first + second - without - again) / 2}

    # ------------------------------------------------------------------------------------------ both answers

    def one_trunk(self, selection: Selection) -> Stages:
        """Time a session: one prefill, then the first token of the pruned and of the full answer."""
        began = self.now()
        session = Session(self.model, self.prompt)
        self._first(session, selection)
        self._first(session, None)
        return {"prefill": self.now() - began, **session.timings}

    def two_runs(self, selection: Selection) -> Stages:
        """Time the same two first tokens from a pruned and a plain run that share nothing."""
        pruned = self.ours(own_pruner(self.model, selection))
        return {"prefill": pruned["prefill"] + self.stock()["prefill"]}

    def again(self, selection: Selection) -> Callable[[], Stages]:
        """Time a new threshold in a session that exists already: select, and continue to the first token."""
        session = Session(self.model, self.prompt)

        def run() -> Stages:
            began = self.now()
            self._first(session, selection)
            return {"prefill": self.now() - began}

        return run

    # ------------------------------------------------------------------------------------------ the next question

    def first_question(self, selection: Selection | None) -> Stages:
        """Time a session and the first token of its pruned answer, or of its full one (None)."""
        began = self.now()
        session = Session(self.model, self.prompt)
        self._first(session, selection)
        return {"prefill": self.now() - began, **session.timings}

    def next_question(self, selection: Selection | None) -> Callable[[], Stages]:
        """Time the same for another question about the same images, in a session that has given both answers."""
        earlier, other = Session(self.model, self.prompt), other_question(self.prompt)
        self._first(earlier, selection)
        self._first(earlier, None)

        def run() -> Stages:
            began = self.now()
            session = Session(self.model, other, earlier=earlier)
            self._first(session, selection)
            return {"prefill": self.now() - began, **session.timings}

        return run

    # ------------------------------------------------------------------------------------------ answers to their ends

    def pruned_answer(self, selection: Selection) -> Stages:
        """Time a session and its pruned answer, to its stop token or `steps` tokens."""
        began = self.now()
        session = Session(self.model, self.prompt)
        session.answer(session.select(selection).mask, Sampling(max_new_tokens=self.steps)).complete()
        return {"prefill": sum(session.timings.values()), "total": self.now() - began}

    def band(self) -> Stages:
        """Time a session and its answers at about twelve budgets, each to its stop token or `steps` tokens."""
        began = self.now()
        session = Session(self.model, self.prompt)
        session.band(max_new_tokens=self.steps).complete()
        return {"prefill": sum(session.timings.values()), "total": self.now() - began}

    def _first(self, session: Session, selection: Selection | None) -> None:
        mask = None if selection is None else session.select(selection).mask
        session.answer(mask, Sampling(max_new_tokens=1)).complete()


def other_question(prompt: Prompt) -> Prompt:
    """The same prompt with the words after the last image in reverse order. One row."""
    ids = prompt.input_ids.clone()
    end = int((prompt.mm_token_type_ids[0] > 0).nonzero().max()) + 1
    ids[:, end:] = ids[:, end:].flip(1)
    return replace(prompt, input_ids=ids)


def _stages(began: float, marks: list[float]) -> Stages:
    stages = {"prefill": marks[0] - began, "total": marks[-1] - began}
    if len(marks) > 1:
        stages["token"] = (marks[-1] - marks[0]) / (len(marks) - 1)
    return stages
