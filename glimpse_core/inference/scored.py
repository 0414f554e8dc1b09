"""The scores of a question's visual tokens, and the masks that they give for any settings. No model runs here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel, lacks_glimpse
from glimpse_core.glimpse.selection import paint as painted
from glimpse_core.glimpse.selection import select_ranked
from glimpse_core.inference.choice import choose_ranked
from glimpse_core.pruners.grid import grid_mask
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import GlimpseConfig, Grid, Kept, Selection, Settings


@dataclass(frozen=True)
class TokenScores:
    """Scores of the N visual tokens of one prompt, on the CPU.

    Attributes:
        relevance: float32 (N,) from 0 to 1, what tokens are ranked by: probabilities of a trained predictor, or
            attention relative to the most attended token (`glimpse.last_token.relative`).
        attention: float32 (heads, N), what they were made of; see `ScoredTokens.attention`.
        logits: float32 (N,) of the predictor; None where there is none.
    """

    relevance: Tensor
    attention: Tensor
    logits: Tensor | None = None


class ScoredTokens:
    """The visual tokens of one question with their scores, from which masks are chosen.

    Attributes:
        model: the model that answers.
        config: of its glimpse modules; None for a model without them.
        grids: the grid of visual tokens of each image, in prompt order.
        tokens: N, the number of visual tokens of all images.
    """

    def __init__(self, model: LoadedModel, grids: tuple[Grid, ...], scores: TokenScores) -> None:
        """Take the scores of a prefill.

        Args:
            model: the model that answers.
            grids: of the prompt's images.
            scores: of the prompt's one row.
        """
        self.model = model
        self.config: GlimpseConfig | None = model.config if isinstance(model, GlimpseModel) else None
        self.grids = grids
        self.tokens = sum(grid.tokens for grid in grids)
        # Cloned outside inference mode, so that callers get ordinary tensors.
        self._relevance, self._attention = scores.relevance.clone(), scores.attention.clone()
        self._logits = None if scores.logits is None else scores.logits.clone()

    # ------------------------------------------------------------------------------------------ scores

    @property
    def logits(self) -> Tensor:
        """VIP logits of all visual tokens.

        Returns:
            float32 (N,), on CPU, images in prompt order, tokens in raster order.

        Raises:
            GlimpseError: for a model without glimpse modules, whose scores are attention.
        """
        if self._logits is None:
            raise lacks_glimpse(self.model)
        return self._logits

    @property
    def probabilities(self) -> Tensor:
        """Relevance of all visual tokens, from 0 to 1, which they are ranked by.

        Probabilities of the trained predictor, which the threshold is compared with. Without glimpse modules: the
        attention of the last prompt token in layer K, averaged over heads, relative to the most attended visual token,
        which has 1. Such values say which of two tokens gets more, not how likely one of them matters.

        Returns:
            float32 (N,), on CPU, images in prompt order, tokens in raster order.
        """
        return self._relevance

    @property
    def attention(self) -> Tensor:
        """Attention of the glimpse token to all visual tokens, as the VIP reads it (`GlimpseConfig.read_logits`).

        Without glimpse modules: that of the last prompt token in layer K, as log-probabilities over all tokens.

        Returns:
            float32 (read layers * heads, N), on CPU, visual tokens in the order of `probabilities`.
        """
        return self._attention

    # ------------------------------------------------------------------------------------------ masks, no model run

    def select(self, selection: Selection | None = None, paint: Mapping[int, bool] | None = None) -> Kept:
        """Select visual tokens by threshold, cap, floor and anchors, then manual edits.

        Args:
            selection: None takes the model's own (`LoadedModel.selection`): as the checkpoint was published, or without
                glimpse modules a share of the tokens by rank.
            paint: token index -> keep (True) or drop (False), which overrides the selection.

        Raises:
            GlimpseError: for impossible settings, and for a threshold without a trained predictor.
        """
        chosen = selection or self.model.selection
        self._check_rule(Settings(chosen))
        only = self.grids[0] if len(self.grids) == 1 else None
        kept = select_ranked(self.probabilities, chosen, only)
        return painted(kept, paint) if paint else kept

    def choose(self, settings: Settings) -> Kept:
        """Select visual tokens by all settings of a question: also a budget, manual edits and controls.

        Raises:
            GlimpseError: for impossible settings, and for a threshold without a trained predictor.
        """
        self._check_rule(settings)
        return choose_ranked(self.probabilities, self.grids, settings)

    def _check_rule(self, settings: Settings) -> None:
        """Raise a GlimpseError for a threshold that would be compared with attention, of which it says nothing."""
        threshold = settings.selection.threshold
        if self.model.trained or settings.budget is not None or not threshold:
            return
        raise GlimpseError(
            f"Threshold is {threshold:g}, and {self.model.name} has no glimpse modules: its scores are attention at "
            f"layer {self.model.keep_layer}, no probabilities. Expected a threshold of 0 with a maximum share, or a "
            "budget: choose how many tokens to keep."
        )

    def random(self, count: int, seed: int = 0) -> Tensor:
        """(N,) bool: `count` random tokens, the same ones for the same seed."""
        return random_mask(self.tokens, count, seed)

    def grid(self, count: int) -> Tensor:
        """(N,) bool: `count` tokens spread evenly over the images."""
        return grid_mask(self.grids, count)

    def inverse(self, kept: Kept | Tensor) -> Tensor:
        """(N,) bool: exactly the tokens that `kept`, a selection or a mask (N,), drops."""
        return ~(kept.mask if isinstance(kept, Kept) else kept)
