"""Scenes with ground truth: a pure function from a seed to a picture-book image and the list of objects in it.

Everything random comes from one `random.Random(seed)`; the same seed gives the same pixels on every machine with
the same Pillow and the same font (DejaVu Sans Bold as matplotlib ships it). This file knows nothing of questions.
"""

import functools
import math
import random
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glimpse_core.types import Box
from glimpse_core.world.sprites import Color, shade, sprite
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS, MAX_LABEL, PLACES

Noise = NDArray[np.float64]
SIDES = tuple(range(336, 785, 56))  # image sides in pixels; multiples of 28, the edge of a visual token
MIN_OBJECTS, MAX_OBJECTS = 3, 14
HELD_OUT = 10_000_000  # scenes with this seed and above are never trained on or tuned to
PIXELS_PER_OBJECT = 19_000  # how crowded an image may get
COLUMN_GAP = 16  # centers differ by at least this many pixels in x, so that "from left to right" is one order
SKIES: dict[str, tuple[Color, Color]] = {
    "meadow": ((178, 218, 245), (226, 242, 250)),
    "beach": ((170, 220, 240), (214, 240, 244)),
    "snow": ((206, 222, 238), (236, 242, 248)),
    "evening": ((244, 206, 190), (250, 232, 204)),
    "paper": ((250, 246, 236), (244, 238, 224)),
    "room": ((238, 228, 214), (230, 218, 202)),
}  # by place: color at the top and at the bottom
GROUNDS: dict[str, tuple[Color, Color]] = {
    "meadow": ((196, 224, 166), (178, 212, 146)),
    "beach": ((150, 204, 222), (240, 226, 188)),
    "snow": ((226, 234, 244), (246, 249, 252)),
    "evening": ((214, 190, 196), (196, 176, 190)),
}  # by place outdoors: color of the farther and of the nearer hill
BLOCK = 31  # edge of one letter block in pixels: a little over one visual token, so every letter has a token of its own


@dataclass(frozen=True)
class Thing:
    """One object of a scene. All boxes are in pixels."""

    kind: str
    color: str
    label: str  # "" or 1 to 4 characters on letter blocks under the object
    center: tuple[float, float]  # of the sprite
    body: Box  # of the sprite
    label_box: Box | None
    letter_boxes: tuple[Box, ...]

    @property
    def box(self) -> Box:
        """Box around the sprite and its label, if there is one."""
        if self.label_box is None:
            return self.body
        (a, b, c, d), (e, f, g, h) = self.body, self.label_box
        return min(a, e), min(b, f), max(c, g), max(d, h)


@dataclass(frozen=True)
class Scene:
    """An image and its ground truth. `things` are in left-to-right order of their centers."""

    seed: int
    place: str
    image: Image.Image
    things: tuple[Thing, ...]

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Height of the image in pixels."""
        return self.image.height

    def normalized(self, box: Box) -> Box:
        """Return a pixel box as fractions of the image."""
        x1, y1, x2, y2 = box
        return x1 / self.width, y1 / self.height, x2 / self.width, y2 / self.height


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight="bold"))
    return ImageFont.truetype(path, size)


def _gradient(width: int, height: int, top: Color, bottom: Color, noise: Noise) -> Noise:
    """Return (height, width, 3): a vertical blend of two colors with a little paper grain."""
    share = np.linspace(0, 1, height)[:, None, None]
    blend = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    rows, columns = -(-height // noise.shape[0]), -(-width // noise.shape[1])
    grained: Noise = blend + np.tile(noise, (rows, columns))[:height, :width, None]
    return grained


@functools.cache
def _grain() -> Noise:
    return np.random.default_rng(0).normal(0, 2.2, (197, 211))


def _vary(rng: random.Random, color: Color, by: int) -> Color:
    red, green, blue = (min(255, max(0, channel + rng.randint(-by, by))) for channel in color)
    return red, green, blue


def _hills(draw: ImageDraw.ImageDraw, rng: random.Random, width: int, height: int, level: float, color: Color) -> None:
    phase, waves, swing = rng.random() * 6.3, rng.uniform(0.7, 1.8), height * rng.uniform(0.02, 0.06)
    line = [
        (x, level * height + swing * math.sin(phase + waves * 2 * math.pi * x / width)) for x in range(0, width + 9, 8)
    ]
    draw.polygon([*line, (width, height), (0, height)], fill=color)


def _cloud(draw: ImageDraw.ImageDraw, rng: random.Random, width: int, height: int, color: Color) -> None:
    x, y, size = rng.uniform(0, width), rng.uniform(0.02, 0.28) * height, rng.uniform(14, 30)
    for step in range(4):
        radius = size * rng.uniform(0.6, 1.0)
        cx = x + (step - 1.5) * size * 0.9
        draw.ellipse([cx - radius, y - radius * 0.7, cx + radius, y + radius * 0.7], fill=color)


def _background(rng: random.Random, place: str, width: int, height: int) -> Image.Image:
    top, bottom = SKIES[place]
    pixels = _gradient(width, height, _vary(rng, top, 8), _vary(rng, bottom, 6), _grain())
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if place in GROUNDS:
        for _ in range(rng.randint(0, 3)):
            _cloud(draw, rng, width, height, (252, 253, 255) if place != "evening" else (255, 240, 226))
        level = rng.uniform(0.35, 0.6)
        for index, color in enumerate(GROUNDS[place]):
            _hills(draw, rng, width, height, level + 0.2 * index, _vary(rng, color, 6))
    if place == "room":
        _floor(draw, rng, width, height)
    if place == "paper":
        for line in range(rng.randint(16, 40), height, 36):
            draw.line([0, line, width, line], fill=(226, 226, 232), width=1)
    _crumbs(image, draw, rng)
    return image


def _floor(draw: ImageDraw.ImageDraw, rng: random.Random, width: int, height: int) -> None:
    level, floor = rng.uniform(0.6, 0.75) * height, _vary(rng, (222, 198, 168), 6)
    draw.rectangle([0, level, width, height], fill=floor)
    draw.rectangle([0, level - 6, width, level], fill=(250, 246, 240))
    for x in range(rng.randint(10, 60), width, rng.randint(70, 110)):
        draw.line([x, level, x - 24, height], fill=shade(floor, 0.94), width=2)


def _crumbs(image: Image.Image, draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """Draw up to twelve pebbles or tufts, which no question asks about."""
    for _ in range(rng.randint(0, 12)):
        x, y = rng.uniform(0, image.width), rng.uniform(0.4, 1.0) * image.height
        tint = image.getpixel((min(image.width - 1, int(x)), min(image.height - 1, int(y))))
        size = rng.uniform(1.5, 4)
        if rng.random() < 0.5:
            draw.ellipse([x - size, y - size * 0.6, x + size, y + size * 0.6], fill=shade(cast(Color, tint), 0.86))
        else:
            for lean in (-3, 0, 3):
                draw.line([x, y, x + lean, y - 2.4 * size], fill=shade(cast(Color, tint), 0.82), width=2)


def _label(rng: random.Random) -> str:
    length = rng.choices(range(MAX_LABEL + 1), (50, 12, 13, 13, 12))[0]
    return "".join(rng.choice(ALPHABET) for _ in range(length))


def _place_thing(rng: random.Random, kind: str, width: int, height: int, things: list[Thing]) -> Thing | None:
    """Return one more thing that overlaps no other; None if 60 tries find no room."""
    color, label = rng.choice(list(COLORS)), _label(rng)
    for _ in range(60):
        half = rng.uniform(27, 41)
        wide = max(half, len(label) * BLOCK / 2)
        tall = 2 * half + (BLOCK + 3 if label else 0)
        if 2 * wide + 12 > width or tall + 12 > height:
            continue
        cx, top = rng.uniform(wide + 5, width - wide - 5), rng.uniform(5, height - tall - 5)
        body = (cx - half, top, cx + half, top + 2 * half)
        label_box: Box | None = None
        letters: tuple[Box, ...] = ()
        if label:
            left, y = cx - len(label) * BLOCK / 2, top + 2 * half + 2
            letters = tuple((left + i * BLOCK, y, left + (i + 1) * BLOCK, y + BLOCK) for i in range(len(label)))
            label_box = (left, y, left + len(label) * BLOCK, y + BLOCK)
        thing = Thing(kind, color, label, (cx, top + half), body, label_box, letters)
        if all(_apart(thing, other) for other in things):
            return thing
    return None


def _apart(a: Thing, b: Thing, gap: float = 9) -> bool:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.box, b.box
    separate = ax2 + gap < bx1 or bx2 + gap < ax1 or ay2 + gap < by1 or by2 + gap < ay1
    return separate and abs(a.center[0] - b.center[0]) >= COLUMN_GAP


def _paint(image: Image.Image, rng: random.Random, thing: Thing) -> None:
    x1, y1, x2, _ = thing.body
    side = round(x2 - x1)
    drawn = sprite(thing.kind, _vary(rng, COLORS[thing.color], 10), side)
    draw = ImageDraw.Draw(image, "RGBA")
    draw.ellipse([x1 + side * 0.12, y1 + side * 0.88, x2 - side * 0.12, y1 + side * 1.02], fill=(40, 40, 60, 38))
    image.paste(drawn, (round(x1), round(y1)), drawn)
    for letter, (lx1, ly1, lx2, ly2) in zip(thing.label, thing.letter_boxes, strict=True):
        draw.rounded_rectangle(
            [lx1 + 0.5, ly1 + 0.5, lx2 - 1.5, ly2 - 1.5],
            4,
            fill=(255, 252, 242, 255),
            outline=(120, 100, 80, 255),
            width=2,
        )
        draw.text(
            ((lx1 + lx2 - 1) / 2, (ly1 + ly2 - 1) / 2), letter, font=_font(24), fill=(40, 36, 40, 255), anchor="mm"
        )


def scene(
    seed: int, *, size: tuple[int, int] | None = None, objects: tuple[int, int] = (MIN_OBJECTS, MAX_OBJECTS)
) -> Scene:
    """Draw scene number `seed`. With the default options a seed always gives the same scene.

    Args:
        seed: number of the scene; from `HELD_OUT` on, scenes are never trained on.
        size: (width, height) in pixels. None: drawn from `SIDES`.
        objects: least and largest number of things, which also follows the area.
    """
    rng = random.Random(f"glimpse-world-{seed}")
    width, height = size or (rng.choice(SIDES), rng.choice(SIDES))
    most = max(objects[0], min(objects[1], width * height // PIXELS_PER_OBJECT))
    count = rng.randint(objects[0], most)
    place = rng.choice(PLACES)
    image = _background(rng, place, width, height)
    repeat = rng.choice((0.0, 0.15, 0.4))  # how often a kind comes again: some scenes are for counting
    things: list[Thing] = []
    fresh = rng.sample(KINDS, len(KINDS))
    for index in range(count):
        again = bool(things) and rng.random() < repeat
        kind = rng.choice(things).kind if again else fresh[index % len(fresh)]
        thing = _place_thing(rng, kind, width, height, things)
        if thing is not None:
            things.append(thing)
    for thing in sorted(things, key=lambda thing: thing.body[1]):
        _paint(image, rng, thing)
    return Scene(seed, place, image, tuple(sorted(things, key=lambda thing: thing.center[0])))
