"""The pages' color schemes, light and dark.

Text and ground keep a contrast ratio of at least 4.5 (WCAG 2, level AA). This file knows nothing of
what is drawn with the colors.
"""

import random
from dataclasses import dataclass, fields, replace

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """One color scheme.

    Args:
        name: what the scheme is called in a page's record.
        paper: ground of the page.
        ink: body text.
        muted: notes and column heads.
        accent: bands, emphasis and ornaments; also readable as text on the paper.
        on_accent: text on the accent color.
        rule: lines between rows.
        stripe: ground of every other row, and of tiles and fields.
        highlight: ground of a highlighted row.
        desk: what a sheet of paper lies on.
        good: text of a status such as "on time".
        fair: text of a status such as "delayed".
        bad: text of a status such as "canceled".
    """

    name: str
    paper: Color
    ink: Color
    muted: Color
    accent: Color
    on_accent: Color
    rule: Color
    stripe: Color
    highlight: Color
    desk: Color
    good: Color
    fair: Color
    bad: Color

    @property
    def dark(self) -> bool:
        """True for light text on a dark ground."""
        return sum(self.paper) < sum(self.ink)


_LIGHT_STATUS = ((22, 110, 62), (142, 84, 0), (182, 36, 36))
_DARK_STATUS = ((124, 226, 152), (255, 198, 92), (255, 146, 134))
_WHITE, _BLACK = (255, 253, 250), (26, 22, 18)

LIGHT: tuple[Palette, ...] = tuple(
    Palette(name, paper, ink, muted, accent, _WHITE, rule, stripe, highlight, desk, *_LIGHT_STATUS)
    for name, paper, ink, muted, accent, rule, stripe, highlight, desk in (
        (
            "linen", (250, 246, 238), (40, 36, 42), (110, 101, 95), (164, 62, 42),
            (218, 207, 192), (243, 236, 223), (252, 229, 178), (198, 180, 156),
        ),
        (
            "harbor", (247, 250, 252), (20, 36, 58), (92, 110, 130), (18, 88, 148),
            (204, 217, 228), (233, 241, 247), (255, 238, 170), (138, 164, 186),
        ),
        (
            "sage", (248, 250, 243), (28, 44, 36), (96, 114, 102), (50, 104, 74),
            (205, 217, 202), (236, 243, 230), (248, 234, 168), (150, 172, 146),
        ),
        (
            "berry", (254, 248, 250), (54, 24, 44), (126, 100, 116), (150, 36, 88),
            (232, 210, 220), (248, 235, 241), (255, 226, 190), (206, 160, 178),
        ),
        (
            "newsprint", (252, 252, 250), (22, 22, 26), (104, 104, 108), (22, 22, 26),
            (206, 206, 204), (240, 240, 238), (255, 240, 160), (176, 176, 174),
        ),
        (
            "honey", (255, 251, 234), (52, 42, 26), (112, 98, 74), (134, 82, 0),
            (232, 218, 178), (250, 241, 212), (255, 224, 140), (214, 180, 112),
        ),
        (
            "sky", (243, 249, 253), (16, 44, 66), (86, 112, 132), (0, 104, 142),
            (198, 220, 232), (228, 241, 248), (255, 233, 176), (132, 180, 206),
        ),
        (
            "clay", (249, 240, 230), (66, 44, 34), (114, 91, 78), (142, 68, 32),
            (226, 206, 188), (242, 229, 214), (253, 222, 166), (190, 146, 116),
        ),
        (
            "mint", (241, 250, 246), (14, 50, 46), (84, 114, 108), (0, 104, 92),
            (194, 222, 212), (225, 243, 236), (255, 236, 170), (126, 186, 170),
        ),
        (
            "lilac", (249, 247, 254), (42, 34, 72), (108, 100, 136), (96, 66, 172),
            (216, 208, 236), (239, 234, 250), (255, 232, 176), (168, 154, 208),
        ),
        (
            "brick", (253, 249, 245), (48, 30, 28), (118, 100, 96), (164, 40, 36),
            (226, 212, 204), (247, 237, 231), (255, 230, 168), (184, 124, 108),
        ),
        (
            "slate", (243, 245, 247), (30, 40, 52), (96, 108, 120), (56, 74, 98),
            (204, 211, 218), (231, 236, 241), (255, 235, 166), (128, 142, 158),
        ),
    )
)  # fmt: skip

DARK: tuple[Palette, ...] = tuple(
    Palette(name, paper, ink, muted, accent, _BLACK, rule, stripe, highlight, desk, *_DARK_STATUS)
    for name, paper, ink, muted, accent, rule, stripe, highlight, desk in (
        (
            "night", (18, 24, 40), (236, 241, 249), (142, 156, 180), (255, 200, 76),
            (46, 57, 82), (27, 35, 56), (64, 62, 42), (10, 13, 24),
        ),
        (
            "board", (17, 17, 19), (250, 236, 172), (168, 158, 120), (250, 204, 52),
            (52, 50, 44), (32, 31, 30), (70, 58, 20), (4, 4, 5),
        ),
        (
            "chalk", (33, 54, 47), (243, 245, 234), (164, 184, 170), (250, 214, 130),
            (66, 90, 80), (42, 65, 57), (60, 66, 34), (20, 34, 30),
        ),
        (
            "plum", (43, 25, 46), (251, 240, 247), (184, 156, 182), (244, 158, 178),
            (78, 54, 80), (54, 34, 58), (92, 52, 66), (26, 14, 28),
        ),
        (
            "ocean", (9, 43, 63), (233, 246, 250), (138, 178, 194), (104, 214, 222),
            (32, 72, 94), (15, 54, 77), (24, 64, 64), (4, 26, 40),
        ),
        (
            "espresso", (45, 33, 29), (249, 240, 227), (182, 160, 144), (232, 170, 100),
            (82, 64, 56), (57, 43, 38), (80, 54, 26), (28, 20, 17),
        ),
        (
            "graphite", (38, 40, 45), (241, 242, 240), (160, 164, 170), (134, 224, 164),
            (70, 73, 80), (49, 52, 58), (56, 64, 48), (22, 23, 26),
        ),
        (
            "indigo", (28, 26, 66), (240, 240, 254), (160, 158, 206), (255, 176, 108),
            (58, 56, 112), (37, 35, 82), (80, 62, 78), (16, 14, 44),
        ),
    )
)  # fmt: skip


def varied(palette: Palette, rng: random.Random) -> Palette:
    """The same scheme with every color shifted by up to 3 levels per channel."""
    shifted = {
        field.name: tuple(min(255, max(0, level + rng.randint(-3, 3))) for level in getattr(palette, field.name))
        for field in fields(palette)
        if field.name != "name"
    }
    return replace(palette, **shifted)  # type: ignore[arg-type]


def mix(a: Color, b: Color, share: float) -> Color:
    """The color that lies at `share` (0..1) of the way from `a` to `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue
