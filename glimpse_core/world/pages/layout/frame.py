"""What surrounds a page's table: the page's head, its facts and totals, its small print."""

import random

from glimpse_core.world.pages.content import Content, Fact
from glimpse_core.world.pages.face import Face
from glimpse_core.world.pages.layout.paper import Sheet
from glimpse_core.world.pages.layout.style import SMALLEST, Style, shown, sized
from glimpse_core.world.pages.marks import Fill, Icon, Line, Mark, Text
from glimpse_core.world.pages.palette import Color, mix

NOTE_SPACE = 2.6  # cap heights kept free for the small print
FACT_PITCH = 1.9  # cap heights from one line of facts to the next
BARS = 46  # pixels: height of the bar code


def _caps(sheet: Sheet) -> tuple[int, int]:
    """Cap heights of the largest and the second line of the page's head."""
    large = min(40, max(22, sheet.width // 22)) // 2 * 2
    return large, min(24, max(SMALLEST, large * 2 // 3))


def banner_height(style: Style, sheet: Sheet) -> int:
    """Pixels from the top of the paper to where the table may begin."""
    large, small = _caps(sheet)
    top = 2 * large + small + 34 if style.banner == "band" else sheet.inner[1] - sheet.outer[1] + large + small + 42
    return round(top + 0.9 * large)


def banner(style: Style, sheet: Sheet, content: Content) -> list[Mark]:
    """The page's head: heading, title, ornament.

    Args:
        style: looks of the page; its ``banner`` chooses the arrangement.
        sheet: the paper.
        content: what the page says.
    """
    large, small = _caps(sheet)
    first, second = (content.title, content.heading) if style.banner == "center" else (content.heading, content.title)
    upper = style.capitals == "upper" or (style.banner == "center" and content.kind == "menu")
    first_shown = shown(first, "upper" if style.capitals == "upper" else "plain")
    second_shown = shown(second, "upper" if upper else "plain")
    room = sheet.width if style.banner == "center" else sheet.width - 2 * large - 20
    top = _fitting(style.display, first_shown, large, room)
    under = _fitting(style.body if style.banner != "center" else style.display, second_shown, small, room)
    kinds = ("title", "heading") if style.banner == "center" else ("heading", "title")
    draw = {"band": _band, "rule": _ruled, "center": _centered}[style.banner]
    lines = ((first, first_shown, top, kinds[0]), (second, second_shown, under, kinds[1]))
    return draw(style, sheet, lines, content.icon)


_Heading = tuple[str, str, Face, str]  # says, shown, face, kind


def _fitting(face: Face, text: str, cap: int, room: int) -> Face:
    """The largest size up to `cap` at which `text` fits."""
    while cap > 12 and sized(face, cap).length(text) > room:
        cap -= 1
    return sized(face, cap)


def _band(style: Style, sheet: Sheet, lines: tuple[_Heading, _Heading], icon: str) -> list[Mark]:
    colors, (x1, y1, x2, _) = style.palette, sheet.outer
    (says, letters, face, kind), (says2, letters2, face2, kind2) = lines
    large, small = _caps(sheet)
    bottom = y1 + 2 * large + small + 34
    x, y = sheet.inner[0], y1 + round(0.62 * large) + large
    badge = Face(round(1.25 * large), 0.075)
    soft = mix(colors.on_accent, colors.accent, 0.12)
    return [
        Fill((x1, y1, x2, bottom), colors.accent),
        Line((x1, bottom + 4), (x2, bottom + 4), colors.accent, 2),
        Text(says, x, y, face, colors.on_accent, kind, shown=letters),
        Text(says2, x, y + small + round(0.62 * large), face2, soft, kind2, shown=letters2),
        Icon(icon, sheet.inner[2] - badge.advance(icon), (y1 + bottom + badge.cap) // 2, badge, colors.on_accent),
    ]


def _ruled(style: Style, sheet: Sheet, lines: tuple[_Heading, _Heading], icon: str) -> list[Mark]:
    colors, (x1, y1, x2, _) = style.palette, sheet.inner
    (says, letters, face, kind), (says2, letters2, face2, kind2) = lines
    large, small = _caps(sheet)
    y, badge = y1 + large, Face(large + 8, 0.085)
    bottom = y + small + 36
    return [
        Text(says, x1, y, face, colors.accent, kind, shown=letters),
        Text(says2, x1, y + small + 18, face2, colors.ink, kind2, shown=letters2),
        Icon(icon, x2 - badge.advance(icon), y + small // 2 + 8, badge, colors.accent),
        Line((x1, bottom), (x2, bottom), colors.accent, 3),
    ]


def _centered(style: Style, sheet: Sheet, lines: tuple[_Heading, _Heading], icon: str) -> list[Mark]:
    colors, (x1, y1, x2, _) = style.palette, sheet.inner
    (says, letters, face, kind), (says2, letters2, face2, kind2) = lines
    large, small = _caps(sheet)
    middle, y = (x1 + x2) // 2, y1 + large
    second, half = y + small + 24, face2.length(letters2) // 2
    marks: list[Mark] = [
        Text(says, middle - face.length(letters) // 2, y, face, colors.ink, kind, shown=letters),
        Text(says2, middle - half, second, face2, colors.accent, kind2, shown=letters2),
    ]
    reach, level = min(110, (x2 - x1) // 2 - half - 22), second - face2.cap // 2
    if reach > 24:
        for start in (middle - half - 16 - reach, middle + half + 16):
            marks.append(Line((start, level), (start + reach, level), colors.accent, 2))
    return marks


def facts(style: Style, sheet: Sheet, y: int, found: tuple[Fact, ...]) -> tuple[list[Mark], int]:
    """Labeled values in one line, or one below the other where they do not fit.

    Args:
        style: looks of the page.
        sheet: the paper.
        y: top of the first line in pixels.
        found: what to write.

    Returns:
        The marks, and where they end.
    """
    if not found:
        return [], y
    plain, strong = sized(style.body, SMALLEST + 1), sized(style.body, SMALLEST + 1, style.strong)
    pitch, gap = round(FACT_PITCH * plain.cap), 2 * plain.cap
    spans = [plain.length(fact.label) + strong.length(fact.value) + 10 for fact in found]
    total = sum(spans) + gap * (len(spans) - 1)
    together = total <= sheet.width
    x = sheet.inner[0]
    if style.banner == "center" and together:
        x = (sheet.inner[0] + sheet.inner[2] - total) // 2
    marks: list[Mark] = []
    for fact, span in zip(found, spans, strict=True):
        base = y + plain.cap
        marks.append(Text(fact.label, x, base, plain, style.palette.muted, "label"))
        marks.append(Text(fact.value, x + span - strong.length(fact.value), base, strong, style.palette.ink, "fact"))
        x, y = (x + span + gap, y) if together else (x, y + pitch)
    return marks, y + pitch if together else y


def totals(style: Style, edges: tuple[int, int], y: int, pitch: int, found: tuple[Fact, ...], face: Face) -> list[Mark]:
    """The lines below a table that add it up; the last one is the largest.

    Args:
        style: looks of the page.
        edges: left and right edge of the table in pixels.
        y: top of the first line in pixels.
        pitch: height of a line in pixels.
        found: labels with values.
        face: the table's face.
    """
    if not found:
        return []
    colors, (left, right) = style.palette, edges
    marks: list[Mark] = [Line((left, y), (right, y), colors.ink, 2, 6 if style.rows == "dashes" else 0)]
    for index, fact in enumerate(found):
        last = index == len(found) - 1
        one = sized(style.body, face.cap, style.strong if last else None)
        base = y + 8 + index * pitch + (pitch + one.cap) // 2
        value = Text(fact.value, right - one.length(fact.value), base, one, colors.ink, "fact")
        label = Text(fact.label, left, base, one, colors.ink if last else colors.muted, "label",
                     shown=shown(fact.label, style.capitals))  # fmt: skip
        marks += [label, value]
    return marks


def foot(style: Style, sheet: Sheet, content: Content, rng: random.Random, bars: bool) -> list[Mark]:
    """The small print at the bottom of the paper, on some receipts below a bar code."""
    colors, (x1, _, x2, y2) = style.palette, sheet.inner
    note = content.notes[0]
    face = _fitting(style.body, note, SMALLEST, x2 - x1)
    base = y2 - round(0.5 * face.cap)
    centered = style.banner == "center"
    x = (x1 + x2 - face.length(note)) // 2 if centered else x1
    marks: list[Mark] = [Text(note, x, base, face, colors.muted, "note")]
    if bars:
        marks += _bar_code(rng, (x1 + x2) // 2, base - face.cap - BARS - 16, min(260, x2 - x1), colors.ink)
    elif not centered:
        level = base - round(1.8 * face.cap)
        marks.append(Line((x1, level), (x2, level), colors.rule, 1))
    return marks


def _bar_code(rng: random.Random, middle: int, top: int, width: int, color: Color) -> list[Mark]:
    marks: list[Mark] = []
    x = middle - width // 2
    while x < middle + width // 2 - 6:
        bar = rng.choice((2, 2, 3, 5))
        marks.append(Fill((x, top, x + bar, top + BARS), color))
        x += bar + rng.choice((2, 3, 5))
    return marks
