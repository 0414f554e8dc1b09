"""Lays out a page: paper, head, facts, table in one or two blocks, totals, small print."""

import math
import random
from dataclasses import dataclass

from glimpse_core.world.pages.content import Content, Room
from glimpse_core.world.pages.kinds import KINDS
from glimpse_core.world.pages.layout import frame
from glimpse_core.world.pages.layout.fit import PAD, fit
from glimpse_core.world.pages.layout.paper import Sheet, paper, sheet_of
from glimpse_core.world.pages.layout.style import SMALLEST, Style, draw_style
from glimpse_core.world.pages.layout.table import block_of, slots, table
from glimpse_core.world.pages.marks import Mark
from glimpse_core.world.pages.palette import Color

TIGHTEST, LOOSEST = 27, 62  # pixels: height of a row
FEWEST, MOST = 8, 40  # rows of a page
CHARACTER = 14.5  # pixels: a letter of the smallest size with its share of blanks
MOST_OF = {"form": 26, "timetable": 30}  # rows of kinds that run out of different ones
HEADINGS = {"menu": 4.2, "form": 2.8}  # height of section headings in rows, at most
TOTALS = {"receipt": 3.6}  # height of totals in rows, at most
TOTAL = 1.1  # height of a line of the totals in rows
BLOCK_GAP = 44  # pixels between two blocks
TOKEN = 28  # pixels a side of one visual token
UNEVEN = 1.3  # a cut between sections may make the taller block this many times as tall as the best cut does
STRETCH = 1.75  # a table that is not spread evenly grows to at most this many times its narrowest width


@dataclass(frozen=True)
class Design:
    """A page before it is painted: what it says, how it looks, and every mark."""

    content: Content
    style: Style
    ground: Color
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Plan:
    """How the rows are stacked: from which height on, how high each is, and which stand in which block."""

    top: int
    pitch: int
    parts: tuple[range, ...]


def compose(rng: random.Random, kind: str, width: int, height: int) -> Design:
    """Lay out a page of one kind.

    Args:
        rng: source of all choices.
        kind: a key of `KINDS`.
        width: pixels.
        height: pixels.

    Raises:
        ValueError: the page is too small.
    """
    style = draw_style(rng, kind)
    sheet = sheet_of(style, kind, width, height, rng)
    bars = kind == "receipt" and height >= 840 and rng.random() < 0.5
    top = sheet.outer[1] + frame.banner_height(style, sheet)
    bottom = sheet.inner[3] - round(frame.NOTE_SPACE * SMALLEST) - (frame.BARS + 20 if bars else 0)
    blocks = 2 if _two_blocks(kind, sheet, rng) else 1
    characters = int((_block_width(sheet, blocks) - 2 * PAD) / CHARACTER)
    choices = rng.getrandbits(64)
    for rows in range(_row_count(rng, kind, bottom - top - 36, blocks, style.snapped), 2, -1):
        content = KINDS[kind](random.Random(choices), Room(rows, characters))
        marks, below = frame.facts(style, sheet, top, content.facts)
        plan = _plan(style, content, (below, bottom), blocks)
        if plan.pitch >= TIGHTEST:
            break
    else:
        raise ValueError(f"page of {width} x {height} pixels; expected one that has room for {kind}: 504 pixels a side")
    content, body = _body(style, sheet, content, plan)
    end = frame.foot(style, sheet, content, rng, bars)
    ground = style.palette.desk if style.sheet else style.palette.paper
    head = [*paper(style, kind, sheet, rng), *frame.banner(style, sheet, content)]
    return Design(content, style, ground, (*head, *marks, *body, *end))


def _block_width(sheet: Sheet, blocks: int) -> int:
    return (sheet.width - BLOCK_GAP * (blocks - 1)) // blocks


def _two_blocks(kind: str, sheet: Sheet, rng: random.Random) -> bool:
    if kind in ("menu", "form"):
        return sheet.width >= 900
    return kind in ("results", "departures") and sheet.width >= 900 and rng.random() < 0.6


def _row_count(rng: random.Random, kind: str, height: int, blocks: int, dense: bool) -> int:
    """Choose how many rows to draw, few and many about equally often.

    Args:
        rng: source of all choices.
        kind: kind of the page.
        height: pixels that the table may take.
        blocks: how many stacks of rows stand side by side.
        dense: True for a page filled with rows of the height of one visual token.
    """
    most = blocks * height / (TIGHTEST + 2) - HEADINGS.get(kind, 1.2) - TOTALS.get(kind, 0.0)
    least = blocks * height / LOOSEST - HEADINGS.get(kind, 1.2) - TOTALS.get(kind, 0.0)
    high = max(4, min(MOST, MOST_OF.get(kind, MOST), math.floor(most)))
    low = min(high, max(FEWEST, math.ceil(least)))
    share = rng.uniform(0.75, 1.0) if dense else rng.random() ** 0.8
    return round(low + (high - low) * share)


def _plan(style: Style, content: Content, span: tuple[int, int], blocks: int) -> Plan:
    """Stack the rows between two heights. The pitch falls below `TIGHTEST` where there are too many."""
    top, bottom = span
    parts = tuple(_split(content, style, blocks))
    height = max(slots(content, style, rows) for rows in parts) + TOTAL * len(content.totals)
    spare = 12 if content.totals else 0
    on_edge = -(-top // TOKEN) * TOKEN
    if style.snapped and (bottom - on_edge - spare) / height >= TOKEN:
        return Plan(on_edge, TOKEN, parts)
    return Plan(top, min(LOOSEST, int((bottom - top - spare) / height)), parts)


def _body(style: Style, sheet: Sheet, content: Content, plan: Plan) -> tuple[Content, list[Mark]]:
    """The table and its totals. Returns what is left of the content where the page is narrow, and the marks."""
    blocks, pitch = len(plan.parts), plan.pitch
    wide = _block_width(sheet, blocks)
    fitted = fit(content, style, wide, pitch)
    if not style.even and blocks == 1:
        wide = min(wide, max(round(STRETCH * fitted.width), 420))
    left = sheet.inner[0] + (sheet.width - wide * blocks - BLOCK_GAP * (blocks - 1)) // 2
    marks: list[Mark] = []
    for index, rows in enumerate(plan.parts):
        block = block_of(fitted, style, left + index * (wide + BLOCK_GAP), wide, plan.top, pitch, rows)
        marks += table(fitted, style, block)
    end = round(plan.top + slots(content, style, plan.parts[-1]) * pitch) + 4
    edges = (left + PAD, left + wide - PAD)
    marks += frame.totals(style, edges, end, round(TOTAL * pitch), content.totals, fitted.face)
    return fitted.content, marks


def _split(content: Content, style: Style, blocks: int) -> list[range]:
    """Divide the rows into blocks of about equal height, between sections where that is not too uneven."""
    count = len(content.rows)
    if blocks == 1:
        return [range(count)]

    def taller(cut: int) -> float:
        return max(slots(content, style, range(cut)), slots(content, style, range(cut, count)))

    best = min(range(1, count), key=taller)
    between = min((start for _, start in content.sections if start), key=taller, default=best)
    cut = between if taller(between) <= UNEVEN * taller(best) else best
    return [range(cut), range(cut, count)]
