"""Draw the packages of `glimpse_core` in the order in which they may import each other.

    python -m docs.diagram            # writes docs/images/packages.svg

The order is that of the import-linter contract in pyproject.toml, so the drawing cannot disagree with what is checked.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "images" / "packages.svg"

WIDTH, MARGIN, HEIGHT, GAP, SPACE = 640, 20, 40, 14, 8  # pixels; GAP between layers, SPACE between boxes of one layer


def layers(text: str | None = None) -> list[list[str]]:
    """The layers of the contract, top first; several names in one layer do not import each other.

    text: the content of a pyproject.toml; None reads ours.
    """
    config = tomllib.loads(text or (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(one for one in config["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return [[name.strip(" ()") for name in layer.replace(":", "|").split("|")] for layer in contract["layers"]]


def summary(name: str) -> str:
    """The first sentence of a package's or module's docstring."""
    folder = ROOT / "glimpse_core" / name
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = " ".join(doc.split("\n\n")[0].split())
    sentence, full_stop, _ = first.partition(". ")
    return (sentence + full_stop.strip()).replace("``", "`")


def svg(found: list[list[str]]) -> str:
    """The drawing. It brings its own background, so that it can be read on light and on dark pages."""
    height = MARGIN * 2 + len(found) * (HEIGHT + GAP) - GAP + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title" font-family="system-ui, sans-serif" font-size="18">',
        f'<title id="title">{_title(found)}</title>',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for place, layer in enumerate(found):
        top = MARGIN + place * (HEIGHT + GAP)
        width = (WIDTH - 2 * MARGIN - SPACE * (len(layer) - 1)) / len(layer)
        for index, name in enumerate(layer):
            left = MARGIN + index * (width + SPACE)
            lines += [
                f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{HEIGHT}" rx="6" fill="#eef2ff" '
                'stroke="#6366f1"/>',
                f'<text x="{left + width / 2:g}" y="{top + 26}" text-anchor="middle" fill="#1e1b4b">{name}</text>',
            ]
        if place:
            lines.append(f'<path d="M{WIDTH // 2} {top - GAP + 2}v{GAP - 6}m-4 -4l4 4l4 -4" {ARROW}/>')
    note = "Each package may import those below it, never those above it."
    lines.append(
        f'<text x="{WIDTH // 2}" y="{height - 18}" text-anchor="middle" fill="#4b5563" font-size="16">{note}</text>'
    )
    return "\n".join([*lines, "</svg>"]) + "\n"


ARROW = 'fill="none" stroke="#6366f1" stroke-width="1.5"'


def _title(found: list[list[str]]) -> str:
    return "Packages of glimpse_core, top to bottom: " + "; ".join(", ".join(layer) for layer in found)


def main() -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(svg(layers()), encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
