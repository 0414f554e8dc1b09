"""Learn where the images of the demo world lie for a model, and count how often it takes others for its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from glimpse_core import world
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import WorldStatistics, distances, features
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.media.images import read_image

FIRST = 6_000_000  # seed of the first image to learn from; the limit is set by those after the last one
Draw = Callable[[int], world.Scene | world.Page]
KINDS: dict[str, tuple[Draw, ...]] = {
    "scene": (world.scene,), "page": (world.page,), "both": (world.scene, world.page)
}  # fmt: skip
LONGEST = 784  # pixels to which the longer side of a photograph is reduced: larger than most images of the world
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def world_images(kind: str, first: int, count: int) -> Iterator[Image.Image]:
    """Draw images of the world.

    Args:
        kind: a key of `KINDS`; of both, scenes and pages take turns.
        first: seed of the first one.
        count: number of images.
    """
    for index in range(count):
        yield KINDS[kind][index % len(KINDS[kind])](first + index).image


def photographs(folder: Path) -> list[Path]:
    """List the image files of a folder and its subfolders. Raises GlimpseError if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise GlimpseError(f"{folder} holds no image. Expected files that end in {', '.join(SUFFIXES)}.")
    return found


def open_photograph(path: Path) -> Image.Image:
    """Open an image, upright RGB, no larger than the world's."""
    image = read_image(path)
    image.thumbnail((LONGEST, LONGEST))
    return image


@torch.inference_mode()
def describe(model: LoadedModel, images: Iterable[Image.Image]) -> Tensor:
    """Describe images by their visual tokens.

    Args:
        model: any, with a processor.
        images: any number.

    Returns:
        (n, 2C) float32, see `familiarity.features`.
    """
    processor, backbone = model.require_processor(), model.backbone
    rows = [
        features(backbone.encode_images(processor.prompt(backbone, [image.convert("RGB")], "What?"), ()).embeds)
        for image in images
    ]
    return torch.stack(rows).clone() if rows else torch.empty(0, 2)


@dataclass(frozen=True)
class Rates:
    """How images were judged. count: of them. familiar: taken for images of the world. least, most: their distance."""

    count: int
    familiar: int
    least: float
    most: float


def rates(statistics: WorldStatistics, described: Tensor) -> Rates:
    """Count how images are judged. described: (n, 2C), n at least 1."""
    found = distances(statistics.center, statistics.whitener, described)
    return Rates(len(found), int((found <= statistics.limit).sum()), float(found.min()), float(found.max()))
