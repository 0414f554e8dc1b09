"""Training-only readers of the demo base model's hidden states, and their losses. They are dropped when training ends.

A dense loss ties what the tower says about each visual token to the text model's own word embeddings (kind, color,
letter, place of the letter). Two more read where the thing under a token, or the thing a word looks at, has its center.
One reads from the attention of a question's last token which visual tokens are its evidence, as the predictor will.

B pictures, P visual tokens, Q packed text tokens.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glimpse_core.training.demo_base.data import BaseBatch
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.losses import LossWeights, mask_loss, mask_losses
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS, MAX_LABEL

BUCKETS = 56  # half tokens along the longest side of a picture


class DenseHeads(nn.Module):
    """Training-only readers of the visual tokens. Word classes are scored against the model's own word embeddings."""

    def __init__(self, packer: Packer, width: int, channels: int = 0) -> None:
        """channels: attention scores of each visual token that `mask` reads (layers * heads)."""
        super().__init__()
        words = {
            "kind": [f" {kind}" for kind in KINDS],
            "color": [f" {color}" for color in COLORS],
            "letter": list(ALPHABET),
        }
        self.read = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in words})
        self.nothing = nn.ParameterDict({name: nn.Parameter(torch.randn(1, width) * 0.05) for name in words})
        self.order = nn.Linear(width, MAX_LABEL + 1)
        self.center = nn.Linear(width, 2 * BUCKETS)
        self.offset = nn.Linear(width, 2)
        self.line = nn.Linear(width, 2)
        self.points = nn.ModuleList(nn.Linear(width, 2 * BUCKETS) for _ in range(2))
        self.point_lines = nn.ModuleList(nn.Linear(width, 2) for _ in range(2))
        self.relevance = nn.Sequential(nn.Linear(channels, 32), nn.SiLU(), nn.Linear(32, 1)) if channels else None
        for name, texts in words.items():
            ids = [packer.encode(text) for text in texts]
            if any(len(one) != 1 for one in ids):
                raise ValueError(
                    f"every {name} must be one token; got {[t for t, i in zip(texts, ids, strict=True) if len(i) > 1]}"
                )
            self.register_buffer(f"ids_{name}", torch.tensor(ids)[:, 0])

    def dense(self, visual: Tensor, batch: BaseBatch, embedding: nn.Embedding) -> tuple[Tensor, dict[str, float]]:
        """Cross entropies of what lies under each token (B, P), and accuracies on tokens that show something."""
        x = F.rms_norm(visual.float(), (visual.shape[-1],))
        loss, accuracy = visual.new_zeros(()), {}
        for place, name in enumerate(self.read):
            words = torch.cat([self.nothing[name], embedding(getattr(self, f"ids_{name}"))])
            scores = (self.read[name](x) @ words.T).float().flatten(0, 1)
            target = batch.dense[..., place].flatten()
            shown = target > 0  # most tokens show nothing: the others are counted once more
            loss = loss + F.cross_entropy(scores, target)
            if shown.any():  # there are batches without a letter
                loss = loss + 0.2 * F.cross_entropy(scores[shown], target[shown])
                accuracy[name] = (scores.argmax(-1)[shown] == target[shown]).float().mean().item()
        loss = loss + 0.3 * F.cross_entropy(self.order(x).float().flatten(0, 1), batch.dense[..., 3].flatten())
        thing = batch.dense[..., 0] > 0
        offset = batch.centers - token_centers(batch)
        loss = loss + 0.3 * (self.offset(x).float()[thing] - offset[thing]).square().mean()
        return loss, accuracy

    def locate(self, hidden: Tensor, batch: BaseBatch) -> Tensor:
        """How well the text model's hidden states of visual tokens tell the thing's center."""
        return place_loss(hidden, batch.centers, self.center, self.line)

    def mask(self, relevance: Tensor, batch: BaseBatch) -> Tensor:
        """The predictor's own loss (Dice and BCE) for a small reader without any sight of the picture.

        relevance: (n, P, channels) log shares of attention of the n questions that have evidence. The predictor sees
        the picture as well, but of the question only this attention: so the base learns to show all evidence there.
        """
        if self.relevance is None or not len(relevance):
            return relevance.new_zeros(())
        wished = batch.covered[batch.covered.any(-1)]
        shares = (relevance + math.log(relevance.shape[1])).clamp(min=-12) / 4  # 0 where attention is even
        logits = self.relevance(shares).float()[..., 0]
        return mask_loss(mask_losses(logits[:, None].unbind(0), wished.unbind(0)), LossWeights(bce=1.0))

    def point(self, hidden: tuple[Tensor, ...], batch: BaseBatch) -> Tensor:
        """How well the words that look at one box know where it is, behind the early look and behind the look."""
        total = hidden[0].new_zeros((), dtype=torch.float32)
        for look, states in enumerate(hidden):
            one = batch.points[:, :, look, 0] >= 0
            if one.any():
                total = total + place_loss(
                    states[one], batch.points[:, :, look][one], self.points[look], self.point_lines[look]
                )
        return total / len(hidden)


def place_loss(hidden: Tensor, places: Tensor, buckets: nn.Linear, line: nn.Linear) -> Tensor:
    """A place (x, y in tokens) read from hidden states: cross entropy in half tokens, and a squared error.

    The classes make places easy to attend to; the straight line makes them easy to compare.
    """
    x = F.rms_norm(hidden.float(), (hidden.shape[-1],))
    target = (places * 2).long().clamp(0, BUCKETS - 1).flatten()
    error = (line(x).float() - places / (BUCKETS / 2)).square().mean()
    return F.cross_entropy(buckets(x).float().reshape(-1, BUCKETS), target) + 10 * error


def token_centers(batch: BaseBatch) -> Tensor:
    """(1, P, 2) x and y of every visual token's middle, in tokens."""
    y, x = torch.meshgrid(torch.arange(batch.rows) + 0.5, torch.arange(batch.columns) + 0.5, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], -1)[None]
