"""How large the letters of a table are, and how wide its columns."""

from dataclasses import dataclass, replace

from glimpse_core.world.pages.content import Content
from glimpse_core.world.pages.face import Face
from glimpse_core.world.pages.layout.style import LARGEST, SMALLEST, Style, shown, sized

STOPS = 30  # pixels: room for the line that joins a timetable's stops
PAD = 10  # pixels between the edge of the table and its text
SIGNS = {"yes": "☑", "no": "☐", "-": "–"}


@dataclass(frozen=True)
class Fitted:
    """A table whose columns fit.

    Args:
        content: what is left of the page's content.
        face: letters of the table.
        widths: pixels of each column's longest text.
        gap: pixels between columns.
    """

    content: Content
    face: Face
    widths: tuple[int, ...]
    gap: int

    @property
    def width(self) -> int:
        """Pixels from edge to edge of the narrowest such table."""
        lead = STOPS if self.content.kind == "timetable" else 0
        columns = zip(self.widths, self.content.columns, strict=True)
        placed = [wide for wide, column in columns if column.kind != "check"]
        return sum(placed) + self.gap * (len(placed) - 1) + 2 * PAD + lead


def cell_text(content: Content, column: int, text: str, capitals: str) -> str:
    """How a cell is drawn: boxes and dashes by their signs, names by the style's capitals."""
    kind = content.columns[column].kind
    if text and (kind == "check" or text == "-"):
        return SIGNS[text]
    named = kind in ("dish", "good", "label", "place", "team", "status", "tag")
    return shown(text, capitals) if named else text


def fit(content: Content, style: Style, width: int, pitch: int) -> Fitted:
    """Choose the largest letters that fit, and leave out columns where even the smallest do not.

    Args:
        content: what the page says.
        style: looks of the page.
        width: pixels from edge to edge.
        pitch: height of a row in pixels.
    """
    largest = max(SMALLEST, min(LARGEST, round(pitch * 0.58)))
    while True:
        for cap in range(largest, SMALLEST - 1, -1):
            found = _measured(content, style, cap)
            if found.width <= width:
                return found
        spare = [index for index, column in enumerate(content.columns) if not column.essential]
        if not spare:
            return _squeezed(content, style, width)
        content = content.without(spare[-1])


def _squeezed(content: Content, style: Style, width: int) -> Fitted:
    """The table in letters below the smallest size, for pages narrower than those that are drawn by default."""
    for cap in range(SMALLEST - 1, 8, -1):
        found = _measured(content, style, cap)
        if found.width <= width:
            return found
    raise ValueError(f"page of {width} pixels; expected one wide enough for {content.kind}, 504 pixels or more")


def _measured(content: Content, style: Style, cap: int) -> Fitted:
    face = sized(style.body, cap)
    strong = replace(face, weight=style.strong)
    widths = []
    for index, column in enumerate(content.columns):
        cells = {cell_text(content, index, row[index], style.capitals) for row in content.rows} - {""}
        one = strong if index == content.naming else face
        head = strong.length(shown(column.head, style.capitals)) if column.head else 0
        widths.append(max([head, *map(one.length, cells)]))
    return Fitted(content, face, tuple(widths), round((1.6 if style.rows == "tiles" else 1.15) * cap))
