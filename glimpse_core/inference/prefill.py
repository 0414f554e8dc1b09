"""The work that all answers to one question share: images encoded, layers 0..K run, visual tokens scored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from glimpse_core.engine.decoder import FilledLayer
from glimpse_core.errors import Cancelled
from glimpse_core.glimpse import last_token
from glimpse_core.glimpse.look import key_padding, reference_scores, score, trunk
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel
from glimpse_core.inference.reuse import Known, Reuse
from glimpse_core.inference.scored import TokenScores
from glimpse_core.pruners.base import prefill_without_glimpse
from glimpse_core.types import Prefix, Prompt, Scores, Vision

Result = TypeVar("Result")


@dataclass(frozen=True)
class Prefilled:
    """What all answers to one question start from.

    Attributes:
        vision: what the vision tower gave.
        trunk: the prompt after `model.shared_depth` layers.
        scores: of the visual tokens.
        reused: tokens of the prompt that did not run, since an earlier question about the same images had run them.
        deep: caches that the earlier question left for these tokens in the layers after the trunk's; may be empty.
    """

    vision: Vision
    trunk: Prefix
    scores: TokenScores
    reused: int = 0
    deep: tuple[FilledLayer, ...] = ()


@dataclass(frozen=True)
class Stages:
    """Times and counts the stages of a question, and ends them when the question is cancelled.

    Attributes:
        device: where the stages run; a GPU is waited for before the clock is read.
        cancel: set from another thread to stop.
        seconds: by stage, of the last time it ran.
        counts: how often each stage ran.
    """

    device: torch.device
    cancel: threading.Event | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"vision": 0, "trunk": 0, "branch": 0, "answers": 0})

    def timed(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do the work of a stage. Raises Cancelled instead where the question is cancelled."""
        self.check()
        began = time.perf_counter()
        result = work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[stage] = time.perf_counter() - began
        if stage in self.counts:
            self.counts[stage] += 1
        return result

    def check(self) -> None:
        """Raise Cancelled where the question is cancelled."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("The question was stopped before its image had been read: ask again.")

    def before_layer(self, layer: int, hidden: Tensor) -> Tensor:
        """Check between two layers, so that a long prefill can be stopped (`engine.prefix.BeforeLayer`)."""
        self.check()
        return hidden


def prefill(model: LoadedModel, prompt: Prompt, stages: Stages, known: Known | None = None) -> Prefilled:
    """Encode the images, run layers 0..K, and score the visual tokens.

    Without glimpse modules the scores are the last token's attention in layer K (`glimpse.last_token`).

    Args:
        model: with or without glimpse modules.
        prompt: the question.
        stages: notes the seconds of "vision", "trunk" and "glimpse_vip".
        known: an earlier question to the same model. Of the same images the vision tower is not run again; if the
            prompt also begins alike, nor are the layers, up to the end of the last image.

    Raises:
        Cancelled: where the question is cancelled meanwhile.
        GlimpseError: for checkpoints that want reference masks (`use_ref_masks`).
    """
    layers = model.config.vision_layers if isinstance(model, GlimpseModel) else ()
    if known is not None and known.has_images_of(prompt):
        vision, stages.seconds["vision"] = known.vision, 0.0
    else:
        known, vision = None, stages.timed("vision", lambda: model.backbone.encode_images(prompt, layers))
    reuse = None
    if known is not None and known.begins(prompt, model.backbone.positions(prompt)):
        reuse = Reuse(known, model.backbone, prompt)
    taken = (0, ()) if reuse is None else (reuse.known.images_end, reuse.known.deep)

    def start() -> Prefix | None:
        return None if reuse is None else reuse.start()

    if isinstance(model, GlimpseModel):
        if model.config.masks == "reference":
            reference_scores(model, prompt, None)  # raises: they are handed to a pruner, not to a session
        prefix, probe = stages.timed("trunk", lambda: trunk(model, prompt, vision, stages.before_layer, start()))
        prefix = prefix if reuse is None else reuse.whole(prefix)
        padding = key_padding(model, prefix)
        found = stages.timed("glimpse_vip", lambda: score(model, prompt, vision, probe, padding))
        return Prefilled(vision, prefix, _predicted(found), *taken)
    probe = last_token.probe_of(model)
    prefix = stages.timed(
        "trunk", lambda: prefill_without_glimpse(model, prompt, vision, stages.before_layer, start(), probe)
    )
    prefix = prefix if reuse is None else reuse.whole(prefix)
    mean, heads = stages.timed("glimpse_vip", lambda: last_token.attention(model, prompt, probe, prefix.padding))
    return Prefilled(vision, prefix, TokenScores(last_token.relative(mean).cpu(), heads.T.cpu()), *taken)


def _predicted(scores: Scores) -> TokenScores:
    """The VIP's scores of the prompt's one row."""
    logits = scores.logits[0][-1].float().cpu()
    return TokenScores(logits.sigmoid(), scores.attention.T.float().cpu(), logits)
