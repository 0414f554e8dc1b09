"""The table of a page: where its columns and rows stand, and all the marks that make it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from glimpse_core.world.pages.content import Content
from glimpse_core.world.pages.layout.fit import PAD, STOPS, Fitted, cell_text
from glimpse_core.world.pages.layout.style import GROTESK, LARGEST, Style, shown, sized
from glimpse_core.world.pages.marks import Disc, Fill, Line, Mark, Text
from glimpse_core.world.pages.palette import Color, mix

HEAD, SECTION = (1.15, 1.0), (1.4, 2.0)  # heights of column heads and section headings in rows; of snapped ones
RAISED = 2  # pixels above the middle of the row, since small letters reach below the baseline
MEDALS: dict[str, Color] = {"1": (240, 196, 72), "2": (200, 204, 212), "3": (214, 150, 100)}
MEDAL_INK: Color = (36, 30, 24)


@dataclass(frozen=True)
class Block:
    """One stack of rows: where it stands, and which rows it holds. All lengths are pixels."""

    left: int
    right: int
    top: int
    pitch: int
    rows: range
    edges: tuple[tuple[int, int], ...]  # left and right edge of every column


def block_of(fitted: Fitted, style: Style, left: int, width: int, top: int, pitch: int, rows: range) -> Block:
    """Spread the columns over the width of a block; a form's boxes stand where its values do."""
    content, spare = fitted.content, width - fitted.width
    count = len(fitted.widths)
    lead = STOPS if content.kind == "timetable" else 0
    x, edges = left + PAD + lead, list[tuple[int, int]]()
    for index, wide in enumerate(fitted.widths):
        if content.columns[index].kind == "check":
            edges.append((edges[-1][0], edges[-1][0] + wide))
            continue
        extra = spare // max(1, count - 1) if style.even else spare * (index == content.naming)
        if content.kind == "form":
            extra = spare // 4
        edges.append((x, x + wide))
        x += wide + fitted.gap + extra
    return Block(left, left + width, top, pitch, rows, tuple(edges))


def slots(content: Content, style: Style, rows: range) -> float:
    """Height of a block in rows, with its heads and section headings."""
    heads = HEAD[style.snapped] if any(column.head for column in content.columns) else 0.0
    sections = sum(start in rows for _, start in content.sections) + _resumes(content, rows)
    return heads + len(rows) + SECTION[style.snapped] * sections


def _resumes(content: Content, rows: range) -> bool:
    """True for a block that goes on with a section; its first row stands level with the first row beside it."""
    return bool(content.sections) and rows.start not in (start for _, start in content.sections)


def table(fitted: Fitted, style: Style, block: Block) -> list[Mark]:
    """All marks of one block, in painting order."""
    content, y, marks = fitted.content, float(block.top), list[Mark]()
    if any(column.head for column in content.columns):
        marks += _heads(fitted, style, block, round(HEAD[style.snapped] * block.pitch))
        y += HEAD[style.snapped] * block.pitch
    starts = {start: name for name, start in content.sections}
    y += SECTION[style.snapped] * block.pitch * _resumes(content, block.rows)
    for place, row in enumerate(block.rows):
        if row in starts:
            marks += _section(fitted, style, block, starts[row], row, round(y))
            y += SECTION[style.snapped] * block.pitch
        top, bottom = round(y), round(y + block.pitch)
        marks += _ground(content, style, block, row, place, (top, bottom))
        marks += _row(fitted, style, block, row, (top + bottom + fitted.face.cap) // 2 - RAISED)
        y += block.pitch
    return marks


def _heads(fitted: Fitted, style: Style, block: Block, height: int) -> Iterator[Mark]:
    colors, face = style.palette, replace(fitted.face, weight=style.strong)
    banded = style.heads == "band"
    if banded:
        yield Fill((block.left, block.top, block.right, block.top + height - 3), colors.accent, 3)
    elif style.heads == "rule":
        level = block.top + height - 4
        yield Line((block.left, level), (block.right, level), colors.ink, 2)
    base = block.top + (height - 3 + face.cap) // 2 - (0 if banded else 2 * RAISED)
    for index, column in enumerate(fitted.content.columns):
        if column.head:
            letters = shown(column.head, style.capitals)
            color = colors.on_accent if banded else colors.muted
            x = _pen(block.edges[index], face.length(letters), column.right)
            yield Text(column.head, x, base, face, color, "head", block.rows.start, index, letters)


def _pen(edges: tuple[int, int], length: int, right: bool) -> int:
    return edges[1] - length if right else edges[0]


def _section(fitted: Fitted, style: Style, block: Block, name: str, row: int, top: int) -> Iterator[Mark]:
    colors, face = style.palette, replace(fitted.face, weight=style.strong)
    letters = shown(name, "upper" if style.capitals == "upper" else "first")
    bottom = round(top + SECTION[style.snapped] * block.pitch)
    base = bottom - (block.pitch - face.cap) // 2 - 2 * RAISED
    if style.heads == "band":
        yield Fill((block.left, base - face.cap - 7, block.right, base + 7), colors.stripe, 4)
    else:
        yield Line((block.left, base + 7), (block.right, base + 7), colors.accent, 2 if style.heads == "rule" else 1)
    yield Text(name, block.left + PAD, base, face, colors.accent, "section", row, -1, letters)


def _ground(
    content: Content, style: Style, block: Block, row: int, place: int, edges: tuple[int, int]
) -> Iterator[Mark]:
    """What lies behind a row."""
    colors, (top, bottom), (left, right) = style.palette, edges, (block.left, block.right)
    if content.states and content.states[row] == "marked":
        yield Fill((left, top + 1, right, bottom - 1), colors.highlight, 4)
    elif style.rows == "stripes" and place % 2 == 0:
        yield Fill((left, top, right, bottom), colors.stripe)
    if style.rows in ("rules", "grid", "dashes"):
        yield Line((left, bottom), (right, bottom), colors.rule, 1, 5 if style.rows == "dashes" else 0)
    if style.rows == "grid":
        for (_, before), (after, _) in zip(block.edges, block.edges[1:], strict=False):
            yield Line(((before + after) // 2, top), ((before + after) // 2, bottom), colors.rule)
    if content.kind == "timetable":
        x = left + PAD + 8
        ends = (top if row else (top + bottom) // 2, bottom if row < len(content.rows) - 1 else (top + bottom) // 2)
        yield Line((x - 1, ends[0]), (x - 1, ends[1]), colors.accent, 3)
        yield Disc(x + 1, (top + bottom) // 2, 7, colors.accent)
        yield Disc(x + 1, (top + bottom) // 2, 4, colors.paper)


def _row(fitted: Fitted, style: Style, block: Block, row: int, base: int) -> Iterator[Mark]:
    content, cells = fitted.content, fitted.content.rows[row]
    crossed = bool(content.states) and content.states[row] == "crossed"
    base += (row * 7919 % (2 * style.jitter + 1)) - style.jitter
    spans = []
    for column, text in enumerate(cells):
        if text:
            mark = _cell(fitted, style, block, row, column, base)
            spans.append((mark.x, mark.x + mark.face.length(mark.letters)))
            yield from _tile(content, style, block, mark)
            yield replace(mark, color=style.palette.muted) if crossed else mark
    if style.leaders:
        for (_, before), (after, _) in zip(spans, spans[1:], strict=False):
            if after - before > 40:
                yield Line((before + 10, base - 2), (after - 8, base - 2), style.palette.muted, 2, 2)
    if crossed:
        level = base - round(0.42 * fitted.face.cap)
        yield Line((spans[0][0] - 4, level), (spans[-1][1] + 4, level), style.palette.bad, 2)


def _cell(fitted: Fitted, style: Style, block: Block, row: int, column: int, base: int) -> Text:
    content, text = fitted.content, fitted.content.rows[row][column]
    kind, colors = content.columns[column].kind, style.palette
    strong = column == content.naming or kind == "points"
    face = replace(fitted.face, weight=style.strong) if strong else fitted.face
    if kind == "check":
        face = sized(GROTESK, min(LARGEST, face.cap + 2))  # a box keeps its shape at any pitch
    letters = cell_text(content, column, text, style.capitals)
    x = _pen(block.edges[column], face.length(letters), content.columns[column].right)
    color = colors.ink
    if kind == "status" and style.colored:
        color = {"delayed": colors.fair, "canceled": colors.bad, "closed": colors.muted}.get(text, colors.good)
    elif kind == "tag" or (kind == "check" and text == "yes"):
        color = colors.accent
    elif text == "-":
        color = colors.muted
    elif kind == "rank" and text in MEDALS and style.colored:
        color = MEDAL_INK
    return Text(text, x, base, face, color, kind, row, column, letters)


def _tile(content: Content, style: Style, block: Block, mark: Text) -> Iterator[Mark]:
    """What lies behind one cell: a medal, a field, a flap for every letter."""
    cap, middle = mark.face.cap, mark.y - mark.face.cap // 2
    if mark.kind == "rank" and mark.says in MEDALS and style.colored:
        x1, _, x2, _ = mark.box
        yield Disc((x1 + x2) // 2, middle, min(block.pitch // 2 - 1, cap), MEDALS[mark.says])
    if style.rows != "tiles" or mark.kind in ("label", "check", "rank"):
        return
    fill, half = style.palette.stripe, min(round(0.95 * cap), block.pitch // 2 - 2)
    if mark.face.pitch:
        flap = mix(fill, style.palette.ink, 0.07)
        for place in range(len(mark.letters)):
            x = mark.x + place * mark.face.pitch
            yield Fill((x, middle - half, x + mark.face.pitch - 1, middle + half), flap, 2)
        seam = mark.x + len(mark.letters) * mark.face.pitch
        yield Line((mark.x, middle), (seam, middle), mix(style.palette.paper, (0, 0, 0), 0.2))
    else:
        left, right = block.edges[mark.column]
        if content.kind == "form":
            right = block.right - PAD
        yield Fill((left - 8, middle - half, right + 8, middle + half), fill, 5, style.palette.rule, 1)
