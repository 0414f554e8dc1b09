"""The scores of a question's visual tokens, and the masks that they give for any settings. No model runs here."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from glimpse_core.glimpse.model import GlimpseModel, LoadedModel, lacks_glimpse, require_glimpse
from glimpse_core.glimpse.selection import paint as painted
from glimpse_core.glimpse.selection import select
from glimpse_core.inference.choice import choose
from glimpse_core.pruners.grid import grid_mask
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import GlimpseConfig, Grid, Kept, Scores, Selection, Settings


class ScoredTokens:
    """The visual tokens of one question with their scores, from which masks are chosen.

    Attributes:
        model: the model that answers.
        config: of its glimpse modules; None for a model without them, which answers but does not score.
        grids: the grid of visual tokens of each image, in prompt order.
        tokens: N, the number of visual tokens of all images.
    """

    def __init__(self, model: LoadedModel, grids: tuple[Grid, ...], scores: Scores | None) -> None:
        """Take the scores of a prefill.

        Args:
            model: the model that answers.
            grids: of the prompt's images.
            scores: of the prompt's one row; None for a model without glimpse modules.
        """
        self.model = model
        self.config: GlimpseConfig | None = model.config if isinstance(model, GlimpseModel) else None
        self.grids = grids
        self.tokens = sum(grid.tokens for grid in grids)
        # Cloned outside inference mode, so that callers get ordinary tensors.
        self._logits = None if scores is None else scores.logits[0][-1].float().cpu().clone()
        self._attention = None if scores is None else scores.attention.T.float().cpu().clone()

    # ------------------------------------------------------------------------------------------ scores

    @property
    def logits(self) -> Tensor:
        """VIP logits of all visual tokens.

        Returns:
            float32 (N,), on CPU, images in prompt order, tokens in raster order.

        Raises:
            GlimpseError: for a model without glimpse modules.
        """
        if self._logits is None:
            raise lacks_glimpse(self.model)
        return self._logits

    @property
    def probabilities(self) -> Tensor:
        """Importance of all visual tokens, from 0 to 1, which the threshold is compared with.

        Returns:
            float32 (N,), on CPU, in the order of `logits`.

        Raises:
            GlimpseError: for a model without glimpse modules.
        """
        return self.logits.sigmoid()

    @property
    def attention(self) -> Tensor:
        """Attention of the glimpse token to all visual tokens, as the VIP reads it (`GlimpseConfig.read_logits`).

        Returns:
            float32 (read layers * heads, N), on CPU, visual tokens in the order of `logits`.

        Raises:
            GlimpseError: for a model without glimpse modules.
        """
        if self._attention is None:
            raise lacks_glimpse(self.model)
        return self._attention

    # ------------------------------------------------------------------------------------------ masks, no model run

    def select(self, selection: Selection | None = None, paint: Mapping[int, bool] | None = None) -> Kept:
        """Select visual tokens by threshold, cap, floor and anchors, then manual edits.

        Args:
            selection: None takes the checkpoint's own settings.
            paint: token index -> keep (True) or drop (False), which overrides the selection.

        Raises:
            GlimpseError: for a model without glimpse modules, and for impossible settings.
        """
        chosen = selection or require_glimpse(self.model).config.selection
        only = self.grids[0] if len(self.grids) == 1 else None
        kept = select(self.logits, chosen, only)
        return painted(kept, paint) if paint else kept

    def choose(self, settings: Settings) -> Kept:
        """Select visual tokens by all settings of a question: also a budget, manual edits and controls."""
        return choose(self.logits, self.grids, settings)

    def random(self, count: int, seed: int = 0) -> Tensor:
        """(N,) bool: `count` random tokens, the same ones for the same seed."""
        return random_mask(self.tokens, count, seed)

    def grid(self, count: int) -> Tensor:
        """(N,) bool: `count` tokens spread evenly over the images."""
        return grid_mask(self.grids, count)

    def inverse(self, kept: Kept | Tensor) -> Tensor:
        """(N,) bool: exactly the tokens that `kept`, a selection or a mask (N,), drops."""
        return ~(kept.mask if isinstance(kept, Kept) else kept)
