"""Sprites: flat picture-book shapes for each kind of object, with an outline, a shade and a highlight.

Every sprite is drawn three times too large on a transparent square and shrunk, which gives smooth edges without a
vector library. This file knows nothing of scenes.
"""

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
OVERSAMPLE = 3


def shade(color: Color, factor: float) -> Color:
    """Return a color mixed with black (factor below 1) or white (above 1)."""
    red, green, blue = (
        round(channel * factor if factor <= 1 else channel + (255 - channel) * (factor - 1)) for channel in color
    )
    return red, green, blue


class Pen:
    """Draws one sprite in unit coordinates: (-1, -1) is its top left, (1, 1) its bottom right."""

    def __init__(self, side: int, color: Color) -> None:
        self.side = side
        self.image = Image.new("RGBA", (side, side), (*shade(color, 0.55), 0))
        self.draw = ImageDraw.Draw(self.image)
        self.color, self.dark, self.light = color, shade(color, 0.55), shade(color, 1.45)
        self.line = max(2, round(side * 0.022))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return a point in pixels."""
        return (x + 1) * self.side / 2, (y + 1) * self.side / 2

    def polygon(self, points: list[tuple[float, float]], fill: Color | None = None, outline: bool = True) -> None:
        """Draw a filled polygon. fill: None takes the sprite's color."""
        pixels = [self.at(*point) for point in points]
        self.draw.polygon(pixels, fill=fill or self.color)
        if outline:
            self.draw.line([*pixels, pixels[0], pixels[1]], fill=self.dark, width=self.line, joint="curve")

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Color | None = None, edge: bool = True) -> None:
        """Draw a filled ellipse between two corners. fill: None takes the sprite's color."""
        box = [*self.at(x0, y0), *self.at(x1, y1)]
        self.draw.ellipse(box, fill=fill or self.color, outline=self.dark if edge else None, width=self.line)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color | None = None, radius: float = 0.0) -> None:
        """Draw a filled rectangle with round corners. fill: None takes the sprite's color."""
        box = [*self.at(x0, y0), *self.at(x1, y1)]
        self.draw.rounded_rectangle(
            box, radius * self.side / 2, fill=fill or self.color, outline=self.dark, width=self.line
        )

    def stroke(self, points: list[tuple[float, float]], width: float, fill: Color | None = None) -> None:
        """Draw a line through points. width: in half sides of the sprite. fill: None takes the dark color."""
        pixels = [self.at(*point) for point in points]
        self.draw.line(pixels, fill=fill or self.dark, width=max(2, round(width * self.side / 2)), joint="curve")


def _arc(
    cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int = 24
) -> list[tuple[float, float]]:
    """Return points along an ellipse, angles in degrees, clockwise on screen."""
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return [(cx + rx * math.cos(angle), cy + ry * math.sin(angle)) for angle in angles]


def _house(pen: Pen) -> None:
    pen.box(-0.72, -0.12, 0.72, 0.94)
    pen.polygon([(-0.96, -0.1), (0, -0.94), (0.96, -0.1)], shade(pen.color, 0.78))
    pen.box(-0.18, 0.36, 0.18, 0.94, pen.dark)
    pen.box(-0.54, 0.12, -0.26, 0.4, (255, 244, 200))
    pen.box(0.26, 0.12, 0.54, 0.4, (255, 244, 200))


def _tree(pen: Pen) -> None:
    pen.box(-0.14, 0.35, 0.14, 0.96, (112, 78, 50))
    for top, bottom, half in ((-0.1, 0.62, 0.86), (-0.5, 0.22, 0.7), (-0.94, -0.16, 0.52)):
        pen.polygon([(0, top), (half, bottom), (-half, bottom)])


def _star(pen: Pen) -> None:
    points = []
    for corner in range(10):
        radius, angle = (0.98 if corner % 2 == 0 else 0.42), math.pi * corner / 5
        points.append((radius * math.sin(angle), 0.06 - radius * math.cos(angle)))
    pen.polygon(points)
    pen.ellipse(-0.2, -0.3, 0.02, -0.08, pen.light, edge=False)


def _heart(pen: Pen) -> None:
    points = []
    for step in range(48):
        angle = 2 * math.pi * step / 48
        x = 16 * math.sin(angle) ** 3
        y = 13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle) - math.cos(4 * angle)
        points.append((x / 17.2, -y / 15.5 - 0.08))
    pen.polygon(points)
    pen.ellipse(-0.62, -0.58, -0.34, -0.3, pen.light, edge=False)


def _fish(pen: Pen) -> None:
    pen.polygon([(0.38, 0), (0.96, -0.56), (0.84, 0), (0.96, 0.56)], shade(pen.color, 0.8))
    pen.polygon([(-0.3, -0.4), (0.05, -0.86), (0.3, -0.36)], shade(pen.color, 0.8))
    pen.ellipse(-0.96, -0.56, 0.56, 0.56)
    pen.ellipse(-0.72, -0.26, -0.44, 0.02, (255, 255, 255))
    pen.ellipse(-0.64, -0.18, -0.52, -0.06, (20, 20, 24), edge=False)
    pen.stroke(_arc(-0.25, 0, 0.2, 0.36, -70, 70), 0.05)


def _boat(pen: Pen) -> None:
    pen.stroke([(-0.05, 0.3), (-0.05, -0.94)], 0.08, (112, 78, 50))
    pen.polygon([(0.04, -0.86), (0.8, 0.16), (0.04, 0.16)], (252, 248, 238))
    pen.polygon([(-0.14, -0.66), (-0.14, 0.16), (-0.66, 0.16)], (236, 228, 212))
    pen.polygon([(-0.96, 0.3), (0.96, 0.3), (0.62, 0.9), (-0.62, 0.9)])
    pen.stroke([(-0.8, 0.5), (0.8, 0.5)], 0.07, pen.light)


def _car(pen: Pen) -> None:
    pen.polygon([(-0.6, 0.04), (-0.36, -0.5), (0.34, -0.5), (0.64, 0.04)], shade(pen.color, 0.85))
    pen.polygon([(-0.44, 0.0), (-0.28, -0.36), (-0.04, -0.36), (-0.04, 0.0)], (214, 236, 248))
    pen.polygon([(0.06, 0.0), (0.06, -0.36), (0.28, -0.36), (0.46, 0.0)], (214, 236, 248))
    pen.box(-0.96, 0.0, 0.96, 0.5, radius=0.16)
    for x in (-0.52, 0.52):
        pen.ellipse(x - 0.25, 0.26, x + 0.25, 0.76, (40, 40, 46))
        pen.ellipse(x - 0.1, 0.41, x + 0.1, 0.61, (210, 210, 214), edge=False)


def _flower(pen: Pen) -> None:
    pen.stroke([(0, 0.1), (0, 0.96)], 0.1, (58, 128, 66))
    pen.ellipse(0.0, 0.5, 0.46, 0.74, (82, 160, 84))
    for petal in range(6):
        angle = math.pi * petal / 3
        x, y = 0.42 * math.cos(angle), -0.34 + 0.42 * math.sin(angle)
        pen.ellipse(x - 0.27, y - 0.27, x + 0.27, y + 0.27)
    pen.ellipse(-0.22, -0.56, 0.22, -0.12, (252, 236, 170))


def _mushroom(pen: Pen) -> None:
    pen.box(-0.3, 0.0, 0.3, 0.92, (250, 240, 222), radius=0.2)
    pen.polygon([*_arc(0, 0.1, 0.96, 0.96, 180, 360)])
    for x, y, radius in ((-0.45, -0.22, 0.15), (0.08, -0.5, 0.17), (0.5, -0.14, 0.13)):
        pen.ellipse(x - radius, y - radius, x + radius, y + radius, (255, 250, 240), edge=False)


def _balloon(pen: Pen) -> None:
    pen.stroke([(0, 0.5), (0.1, 0.66), (-0.08, 0.82), (0.02, 0.97)], 0.06)
    pen.polygon([(-0.12, 0.6), (0, 0.44), (0.12, 0.6)])
    pen.ellipse(-0.62, -0.96, 0.62, 0.5)
    pen.ellipse(-0.4, -0.72, -0.12, -0.34, pen.light, edge=False)


def _cup(pen: Pen) -> None:
    pen.ellipse(0.3, -0.26, 0.94, 0.42)
    pen.ellipse(0.46, -0.1, 0.76, 0.26, (250, 250, 250))
    pen.polygon([(-0.82, -0.6), (0.58, -0.6), (0.42, 0.82), (-0.66, 0.82)])
    pen.ellipse(-0.82, -0.76, 0.58, -0.44, pen.light)
    pen.stroke([(-0.52, -0.24), (-0.44, 0.52)], 0.1, pen.light)


def _hat(pen: Pen) -> None:
    pen.ellipse(-0.96, 0.28, 0.96, 0.78)
    pen.polygon([(-0.54, 0.5), (-0.48, -0.74), (0.48, -0.74), (0.54, 0.5), *_arc(0, 0.5, 0.54, 0.14, 0, 180, 10)])
    pen.ellipse(-0.48, -0.88, 0.48, -0.6, pen.light)
    pen.polygon([(-0.53, 0.26), (0.53, 0.26), (0.54, 0.5), (-0.54, 0.5)], pen.dark)


def _kite(pen: Pen) -> None:
    pen.stroke([(0, 0.3), (0.2, 0.55), (-0.08, 0.75), (0.14, 0.97)], 0.06)
    pen.polygon([(0, -0.96), (0.66, -0.3), (0, 0.5), (-0.66, -0.3)])
    pen.polygon([(0, -0.96), (0.66, -0.3), (0, -0.3)], pen.light)
    pen.polygon([(-0.66, -0.3), (0, -0.3), (0, 0.5)], shade(pen.color, 0.75))


def _lamp(pen: Pen) -> None:
    pen.stroke([(0, -0.2), (0, 0.8)], 0.14, (96, 90, 92))
    pen.ellipse(-0.46, 0.7, 0.46, 0.96, (96, 90, 92))
    pen.polygon([(-0.36, -0.92), (0.36, -0.92), (0.8, 0.1), (-0.8, 0.1)])
    pen.stroke([(-0.36, -0.76), (-0.58, -0.04)], 0.1, pen.light)


def _umbrella(pen: Pen) -> None:
    pen.stroke([(0, -0.2), (0, 0.76), *_arc(0.16, 0.76, 0.16, 0.16, 180, 0)], 0.09, (96, 72, 56))
    pen.polygon(
        [*_arc(0, 0.1, 0.96, 0.98, 180, 360), (0.64, -0.06), (0.32, 0.1), (0, -0.06), (-0.32, 0.1), (-0.64, -0.06)]
    )
    pen.polygon([*_arc(0, 0.1, 0.32, 0.98, 180, 360), (0, -0.06)], pen.light)


def _moon(pen: Pen) -> None:
    outer = _arc(-0.02, 0, 0.94, 0.94, 52, 308, 40)
    inner = _arc(0.36, 0, 0.76, 0.76, 288, 72, 40)
    pen.polygon([*outer, *inner])
    pen.ellipse(-0.72, -0.28, -0.48, -0.04, pen.light, edge=False)


SPRITES: dict[str, Callable[[Pen], None]] = {
    "house": _house,
    "tree": _tree,
    "star": _star,
    "heart": _heart,
    "fish": _fish,
    "boat": _boat,
    "car": _car,
    "flower": _flower,
    "mushroom": _mushroom,
    "balloon": _balloon,
    "cup": _cup,
    "hat": _hat,
    "kite": _kite,
    "lamp": _lamp,
    "umbrella": _umbrella,
    "moon": _moon,
}


def sprite(kind: str, color: Color, side: int) -> Image.Image:
    """Return a transparent RGBA image of `side` x `side` pixels that shows one object of this kind and color."""
    pen = Pen(side * OVERSAMPLE, color)
    SPRITES[kind](pen)
    return pen.image.resize((side, side), Image.Resampling.BOX)
