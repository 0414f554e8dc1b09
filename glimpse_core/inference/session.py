"""Ask a question once, then select, prune and answer as often as needed.

A `Session` encodes the images and runs layers 0..K with the glimpse token once. After that, masks for any setting run
no model, and every answer, pruned or full, continues from the same prefill. All state of a question is in its session;
two sessions on one model share nothing that changes. `Session.next` asks another question about the same images, for
which nothing up to the end of the images runs again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from glimpse_core.engine.prefix import fork, keep, resume
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.inference.attribution import Attribution, Steps, complete, steps
from glimpse_core.inference.band import Band, budgets_of, check_budgets
from glimpse_core.inference.decoding import Answer
from glimpse_core.inference.divergence import Divergence, divergence
from glimpse_core.inference.forced import Forced, score_answer, words_of
from glimpse_core.inference.question import Question
from glimpse_core.inference.sampling import check
from glimpse_core.pruners.base import Pruner
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.types import Prefix, Prompt, Pruned, Sampling, Settings


class Session(Question):
    """One question about one or several images, or about a video.

    Make it with `Session.ask` or `Session.ask_video`, or from another one with `next`; attributes are those of
    `Question`, scores and masks those of `ScoredTokens`.
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
        """Ask; see `Question`."""
        super().__init__(model, prompt, cancel, system=system, earlier=earlier)
        self._shared = SharedWork(model, prompt, self._vision)

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
        mask = self._checked(mask)

        def branch() -> Prefix:
            if mask is None:
                return resume(self._trunk, self._deep, self.reused) if self._deep else fork(self._trunk)
            return keep(self._trunk, self.model.backbone.keep_mask(self._prompt, (mask,)))

        return self._answer(branch, sampling, cancel, self._note if mask is None else lambda prefix: None)

    def divergence(self, full: Answer, kept: Answer) -> Divergence | None:
        """Find the first token that two answers of this session do not share, and what else could have been there.

        Args:
            full: the answer from all visual tokens.
            kept: the answer from some of them.

        Returns:
            None where they are the same token by token, as far as both go.
        """
        return divergence(full, kept, self._decode, self.model.backbone.stop_tokens)

    def attribute(self, answer: Answer, mask: Tensor | None, cancel: threading.Event | None = None) -> Attribution:
        """Find out which visual tokens the words of an answer depend on, by leaving tokens out.

        The answer is scored again without groups of the kept tokens, then without parts of those that matter, from the
        same prefill. Meant for greedy answers: of a sampled one, a word may not be the most probable to begin with, and
        then needs nothing.

        Args:
            answer: of this session, with at least one token.
            mask: (N,) bool, what it was made from; None: all tokens.
            cancel: set it from another thread to stop between layers.

        Raises:
            Cancelled: where it was stopped.
            GlimpseError: for an empty answer, and for a mask of another shape.
        """
        return complete(self.attribution_steps(answer, mask, cancel))

    def attribution_steps(self, answer: Answer, mask: Tensor | None, cancel: threading.Event | None = None) -> Steps:
        """As `attribute`, step by step: yields how many prompts have been scored, and returns the attribution."""
        words = words_of(answer.tokens, self._decode)
        if not words:
            raise GlimpseError("The answer has no words. Expected at least one: let it be answered first.")
        checked = self._checked(mask)
        kept = torch.ones(self.tokens, dtype=torch.bool) if checked is None else checked.cpu()

        def score(masks: Sequence[Tensor]) -> Forced:
            return self.score(answer.tokens, masks, penalty=answer.penalty, cancel=cancel)

        return steps(score, kept, self.grids, words)

    def score(
        self,
        tokens: Sequence[int],
        masks: Sequence[Tensor],
        *,
        penalty: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Forced:
        """Score a given answer from different visual tokens each, without decoding it.

        Args:
            tokens: ids of the answer, at least one.
            masks: (N,) bool, True for tokens to keep.
            penalty: repetition penalty; None: the model's own.
            cancel: set it from another thread to stop between layers.

        Raises:
            Cancelled: where it was stopped.
        """
        backbone = self.model.backbone

        def branch(mask: Tensor) -> Prefix:
            self.counters["branch"] += 1
            return keep(self._trunk, backbone.keep_mask(self._prompt, (mask,)))

        def check(layer: int, hidden: Tensor) -> Tensor:
            if cancel is not None and cancel.is_set():
                raise Cancelled("The attribution was stopped: start it again.")
            return hidden

        factor = backbone.repetition_penalty if penalty is None else penalty
        return score_answer(backbone, self._prompt, branch, masks, tokens, factor, check)

    def _checked(self, mask: Tensor | None) -> Tensor | None:
        """A copy of a mask, since the caller may go on editing. Raises GlimpseError for another shape or dtype."""
        if mask is None:
            return None
        mask = torch.as_tensor(mask)
        if mask.dtype != torch.bool or mask.shape != (self.tokens,):
            raise GlimpseError(
                f"The mask is {mask.dtype} {tuple(mask.shape)}. Expected torch.bool ({self.tokens},), one entry "
                "per visual token."
            )
        return mask.clone()

    def _note(self, prefix: Prefix) -> None:
        """Remember a full answer's prompt after all layers, which a further question takes over."""
        self._known = self._known.finished(prefix)

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
        self,
        branch: Callable[[], Prefix],
        sampling: Sampling | None,
        cancel: threading.Event | None,
        finished: Callable[[Prefix], None] = lambda prefix: None,
    ) -> Answer:
        def counted() -> Prefix:
            self.counters["branch"] += 1
            return branch()

        self.counters["answers"] += 1
        backbone, prompt = self.model.backbone, self._prompt
        return Answer(backbone, prompt, counted, self._decode, sampling or Sampling(), cancel, finished)

    def _decode(self, tokens: list[int]) -> str:
        processor = self.model.processor
        return " ".join(map(str, tokens)) if processor is None else processor.decode(tokens)
