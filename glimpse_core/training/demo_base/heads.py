"""The linear heads that are only used in training, and their losses.

Some classify what lies under a visual token, some say where a thing or a word is, one predicts from the attention of a
question's last token which visual tokens are its evidence, as the VIP will.

B images, P visual tokens, Q packed text tokens, C the text model's width.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glimpse_core.training.demo_base import targets
from glimpse_core.training.demo_base.data import BaseBatch
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.losses import LossWeights, mask_loss, mask_losses
from glimpse_core.world.vocabulary import COLORS, KINDS

BUCKETS = 80  # half tokens along the longest side of an image
CLASSES = {"kind": targets.KIND, "color": targets.COLOR}  # scored against word embeddings
CHARACTERS = {"first": targets.FIRST, "second": targets.SECOND}
WORDS = {"first_word": targets.FIRST_WORD, "second_word": targets.SECOND_WORD}


class WordHead(nn.Module):
    """Predicts the text tokens that the characters under a visual token belong to, and the first one's place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in WORDS})
        self.order = nn.Linear(width, targets.LONGEST + 1)

    def forward(self, hidden: Tensor, batch: BaseBatch, words: nn.Embedding) -> tuple[Tensor, dict[str, float]]:
        """Return the loss on tokens that show a character, and the share of right words.

        Args:
            hidden: (B, P, C) states of the visual tokens.
            batch: the batch they belong to.
            words: word embeddings of the text model.
        """
        loss, accuracy = hidden.new_zeros((), dtype=torch.float32), {}
        for name, place in WORDS.items():
            target = batch.dense[..., place]
            shown = target > 0
            if shown.any():
                x = F.rms_norm(hidden[shown].float(), (hidden.shape[-1],))
                scores = (self.read[name](x) @ words.weight.T).float()
                loss = loss + 0.5 * F.cross_entropy(scores, target[shown])
                accuracy[name] = (scores.argmax(-1) == target[shown]).float().mean().item()
                if place == targets.FIRST_WORD:
                    order = self.order(x).float()
                    loss = loss + 0.3 * F.cross_entropy(order, batch.dense[..., targets.ORDER][shown])
        return loss, accuracy


class DenseHeads(nn.Module):
    """The heads. Word classes are scored against the model's own word embeddings."""

    def __init__(self, packer: Packer, width: int, channels: int = 0) -> None:
        """Create the heads.

        Args:
            packer: encodes the words.
            width: hidden size of the text model.
            channels: attention scores of each visual token that `mask` reads (layers * heads). 0: no such head.

        Raises:
            ValueError: a word of the demo world is not a single token.
        """
        super().__init__()
        texts = {"kind": [f" {kind}" for kind in KINDS], "color": [f" {color}" for color in COLORS]}
        self.read = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in texts})
        self.nothing = nn.ParameterDict({name: nn.Parameter(torch.randn(1, width) * 0.05) for name in texts})
        self.characters = nn.ModuleDict({name: nn.Linear(width, len(targets.CHARACTERS) + 1) for name in CHARACTERS})
        self.words, self.later_words = WordHead(width), WordHead(width)
        self.center = nn.Linear(width, 2 * BUCKETS)
        self.offset = nn.Linear(width, 2)
        self.line = nn.Linear(width, 2)
        self.points = nn.ModuleList(nn.Linear(width, 2 * BUCKETS) for _ in range(2))
        self.point_lines = nn.ModuleList(nn.Linear(width, 2) for _ in range(2))
        self.relevance = nn.Sequential(nn.Linear(channels, 32), nn.SiLU(), nn.Linear(32, 1)) if channels else None
        for name, words in texts.items():
            ids = [packer.encode(text) for text in words]
            if any(len(one) != 1 for one in ids):
                several = [text for text, one in zip(words, ids, strict=True) if len(one) > 1]
                raise ValueError(f"{several} have several tokens. Expected one token for every {name}.")
            self.register_buffer(f"ids_{name}", torch.tensor(ids)[:, 0])

    def dense(self, visual: Tensor, batch: BaseBatch, embedding: nn.Embedding) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of what lies under each token, and accuracies on tokens that show something.

        Args:
            visual: (B, P, C) visual tokens before the text model.
            batch: the batch they belong to.
            embedding: word embeddings of the text model.
        """
        x = F.rms_norm(visual.float(), (visual.shape[-1],))
        loss, accuracy = visual.new_zeros((), dtype=torch.float32), {}
        for name, place in (CLASSES | CHARACTERS).items():
            if name in CLASSES:
                words = torch.cat([self.nothing[name], embedding(getattr(self, f"ids_{name}"))])
                scores = self.read[name](x) @ words.T
            else:
                scores = self.characters[name](x)
            scores, target = scores.float().flatten(0, 1), batch.dense[..., place].flatten()
            shown = target > 0  # most tokens show nothing: the others are counted once more
            loss = loss + F.cross_entropy(scores, target)
            if shown.any():  # there are batches without a letter
                loss = loss + 0.2 * F.cross_entropy(scores[shown], target[shown])
                accuracy[name] = (scores.argmax(-1)[shown] == target[shown]).float().mean().item()
        thing = (batch.dense[..., [targets.KIND, targets.FIRST]] > 0).any(-1)
        offset = (batch.centers - token_centers(batch)).clamp(-4, 4)
        if thing.any():
            loss = loss + 0.3 * (self.offset(x).float()[thing] - offset[thing]).square().mean()
        return loss, accuracy

    def locate(self, hidden: Tensor, batch: BaseBatch) -> Tensor:
        """Return the loss of the thing's center, predicted from the visual tokens' hidden states (B, P, C)."""
        return place_loss(hidden, batch.centers, self.center, self.line)

    def mask(self, relevance: Tensor, batch: BaseBatch) -> Tensor:
        """Return the VIP's own loss (Dice and BCE) for a small head that reads attention only.

        The VIP reads the image as well, but of the question only this attention: so the base learns to put all evidence
        there.

        Args:
            relevance: (n, P, channels) log shares of attention of the n questions that have evidence.
            batch: the batch they belong to.
        """
        if self.relevance is None or not len(relevance):
            return relevance.new_zeros(())
        target = batch.covered[batch.covered.any(-1)]
        shares = (relevance + math.log(relevance.shape[1])).clamp(min=-12) / 4  # 0 where attention is even
        logits = self.relevance(shares).float()[..., 0]
        return mask_loss(mask_losses(logits[:, None].unbind(0), target.unbind(0)), LossWeights(bce=1.0))

    def point(self, hidden: tuple[Tensor, ...], batch: BaseBatch) -> Tensor:
        """Return the loss of the box that a word attends to, predicted from its hidden state.

        Args:
            hidden: (B, Q, C) hidden states after the last supervised early layer, and after the last later one.
            batch: the batch they belong to.
        """
        total = hidden[0].new_zeros((), dtype=torch.float32) if hidden else torch.zeros(())
        for look, states in enumerate(hidden):
            one = batch.points[:, :, look, 0] >= 0
            if one.any():
                buckets, line = cast(nn.Linear, self.points[look]), cast(nn.Linear, self.point_lines[look])
                total = total + place_loss(states[one], batch.points[:, :, look][one], buckets, line)
        return total / max(1, len(hidden))


def place_loss(hidden: Tensor, places: Tensor, buckets: nn.Linear, line: nn.Linear) -> Tensor:
    """Return the loss of places predicted from hidden states: cross entropy in half tokens, and a squared error.

    The classes make places easy to attend to; the linear prediction makes them easy to compare.

    Args:
        hidden: (..., C).
        places: (..., 2) x and y in tokens.
        buckets: predicts the classes.
        line: predicts the places, as shares of the longest side.
    """
    x = F.rms_norm(hidden.float(), (hidden.shape[-1],))
    target = (places * 2).long().clamp(0, BUCKETS - 1).flatten()
    error = (line(x).float() - places / (BUCKETS / 2)).square().mean()
    return F.cross_entropy(buckets(x).float().reshape(-1, BUCKETS), target) + 10 * error


def token_centers(batch: BaseBatch) -> Tensor:
    """Return (1, P, 2): x and y of every visual token's middle, in tokens."""
    y, x = torch.meshgrid(torch.arange(batch.rows) + 0.5, torch.arange(batch.columns) + 0.5, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], -1)[None]
