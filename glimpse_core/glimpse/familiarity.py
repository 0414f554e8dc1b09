"""How far an image lies from what a model was trained on, by the visual tokens that the text model gets of it.

A small model answers any image in the words of its own world, as surely as it answers those that it knows. The mean and
the spread of each channel over an image's visual tokens tell the two apart: images of the world lie close together,
and everything else lies far away. The distance is Mahalanobis', with a covariance that is shrunk towards independent
channels, since there are about as many channels as images to estimate it from (Ledoit and Wolf, 2004).

N visual tokens of an image, C channels, n images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid

FILE = "familiarity.safetensors"
SHRINK = 0.2  # of the covariance, towards that of independent channels
MARGIN = 1.1  # between the limit and the farthest image that it was set by
FLAT = 1e-6  # spread of a channel that does not vary


def features(tokens: Tensor) -> Tensor:
    """Describe an image by its visual tokens.

    Args:
        tokens: (N, C), as the text model gets them.

    Returns:
        (2C,) float32: mean of each channel, then logarithm of its standard deviation.
    """
    tokens = tokens.float().cpu()
    spread = tokens.std(0, unbiased=False).clamp(min=FLAT)
    return torch.cat([tokens.mean(0), spread.log()])


@dataclass(frozen=True)
class Familiarity:
    """How far the images of a question lie from those that the model was trained on.

    Attributes:
        distance: of the least familiar image; about 1 on average of the world's own.
        limit: up to which an image counts as one of the world's.
    """

    distance: float
    limit: float

    @property
    def familiar(self) -> bool:
        """Whether all images are like those that the model was trained on."""
        return self.distance <= self.limit

    def to_dict(self) -> dict[str, float | bool]:
        """Return distance and limit, to six places, and `familiar`."""
        return {"distance": round(self.distance, 6), "limit": round(self.limit, 6), "familiar": self.familiar}


@dataclass(frozen=True)
class WorldStatistics:
    """Where the images of a model's world lie.

    Attributes:
        center: (2C,) float32, mean of the features.
        whitener: (2C, 2C) float32; multiplied by it, deviations from the center are independent, of variance 1.
        limit: distance up to which an image counts as one of the world's.
    """

    center: Tensor
    whitener: Tensor
    limit: float

    def distance(self, tokens: Tensor) -> float:
        """Return an image's distance from the world, about 1 on average of its own images. tokens: (N, C)."""
        return float(distances(self.center, self.whitener, features(tokens)[None]))

    def judge(self, tokens: Tensor, grids: Sequence[Grid]) -> Familiarity:
        """Judge the images of a prompt by the one that is least familiar.

        Args:
            tokens: visual tokens (N, C) of all images in prompt order.
            grids: token grid of every image.
        """
        images = tokens.split([grid.tokens for grid in grids])
        return Familiarity(max(map(self.distance, images)), self.limit)


def distances(center: Tensor, whitener: Tensor, described: Tensor) -> Tensor:
    """Return the distances (n,) of images from a center. described: (n, 2C) features."""
    return ((described - center) @ whitener).square().mean(1).sqrt()


def fit(described: Tensor, others: Tensor, shrink: float = SHRINK, margin: float = MARGIN) -> WorldStatistics:
    """Learn where the images of a world lie.

    Args:
        described: (n, 2C) features of its images.
        others: (m, 2C) features of further ones, by the farthest of which the limit is set.
        shrink: weight of independent channels in the covariance, above 0 to 1.
        margin: factor between that distance and the limit.

    Raises:
        GlimpseError: for fewer than two images to learn from, or none to set the limit by.
    """
    if len(described) < 2 or not len(others):
        raise GlimpseError(f"{len(described)} and {len(others)} images were given. Expected at least 2 and 1.")
    described = described.double()
    center, spread = described.mean(0), described.std(0, unbiased=False).clamp(min=FLAT)
    scaled = (described - center) / spread
    covariance = (1 - shrink) * scaled.T @ scaled / len(scaled) + shrink * torch.eye(len(center), dtype=torch.float64)
    inverse = torch.linalg.inv(covariance)
    whitener = torch.linalg.cholesky(inverse) / spread[:, None]
    center, whitener = center.float(), whitener.float()
    farthest = float(distances(center, whitener, others.float()).max())
    return WorldStatistics(center, whitener, margin * farthest)


def save(statistics: WorldStatistics, folder: Path) -> Path:
    """Write the statistics beside a model's weights, and return the file."""
    path = folder / FILE
    tensors = {"center": statistics.center.contiguous(), "whitener": statistics.whitener.contiguous()}
    save_file(tensors, path, {"limit": repr(statistics.limit)})
    return path


def load(folder: Path) -> WorldStatistics | None:
    """Read the statistics beside a model's weights; None if there are none.

    Raises:
        GlimpseError: for a file that is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            limit = float((file.metadata() or {})["limit"])
            return WorldStatistics(file.get_tensor("center"), file.get_tensor("whitener"), limit)
    except (SafetensorError, KeyError, ValueError) as error:
        raise GlimpseError(
            f"{path} is damaged ({error}). Expected what `train familiarity` writes: write it anew."
        ) from error
