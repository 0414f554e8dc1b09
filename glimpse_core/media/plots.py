"""Charts: costs of one question, sweeps over K, accuracy over kept tokens.

Every function takes plain numbers and returns a matplotlib Figure. Figures are made without pyplot, so no global state
changes and several threads may draw. `png`, `svg` and `save` turn a figure into bytes, text or a file. Series differ in
marker and in color; the colors are those of Okabe and Ito, which can be told apart with any kind of color vision.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter
from PIL import Image

from glimpse_core.costs.cost import Costs
from glimpse_core.errors import GlimpseError
from glimpse_core.media.sheets import write

BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GRAY = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#6b7280",
)  # fmt: skip
LINES = ("-", "--", ":", "-.")
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"), (RED, "P"))
STAGES = (
    ("vision", "vision", GRAY),
    ("trunk", "layers 0..K", BLUE),
    ("glimpse_vip", "glimpse + VIP", ORANGE),
    ("branch", "layers K+1..", SKY),
    ("lm_head", "output matrix", PURPLE),
)


def alive(costs: Costs) -> Figure:
    """Draw the prompt tokens in each decoder layer, with and without pruning."""
    figure, axes = _figure(6.4, 3.2)
    rows = list(costs.tokens_per_layer())
    borders = [*(row.layer for row in rows), costs.layers]
    axes.stairs([row.full for row in rows], borders, baseline=None, color=GRAY, linewidth=2, label="all tokens")
    axes.stairs([row.pruned for row in rows], borders, baseline=None, color=BLUE, linewidth=2, label="kept tokens")
    axes.stairs(
        [row.cached for row in rows], borders, baseline=None, color=ORANGE, linestyle="--", label="left in the cache"
    )
    axes.set(xlabel="decoder layer", ylabel="tokens", xlim=(0, costs.layers), ylim=(0, costs.prompt_length * 1.1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def stages(costs: Costs) -> Figure:
    """Draw the prefill FLOPs by stage, one stacked bar for all tokens and one for kept tokens."""
    figure, axes = _figure(6.4, 2.4)
    unit, scale = ("TFLOPs", 1e12) if costs.full.prefill >= 1e12 else ("GFLOPs", 1e9)
    left = [0.0, 0.0]
    for stage, name, color in STAGES:
        parts = [getattr(run, stage) / scale for run in (costs.pruned, costs.full)]
        axes.barh(["kept tokens", "all tokens"], parts, left=left, color=color, label=name)
        left = [before + part for before, part in zip(left, parts, strict=True)]
    axes.set(xlabel=f"prefill {unit}, computed from the config", xlim=(0, max(left) * 1.05))
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(STAGES), frameon=False, fontsize="small")
    return figure


def sweep(points: Sequence[Mapping[str, float]], full_accuracy: float | None = None) -> Figure:
    """Draw accuracy and cost over K, the layer after which tokens are dropped.

    Args:
        points: one mapping per K with `keep_layer` and, from 0 to 1, `accuracy`, `kept_share` and `prefill_share` (of
            the unpruned decoder prefill).
        full_accuracy: accuracy of the unpruned model, 0 to 1, drawn as a line.

    Raises:
        GlimpseError: if there is no point, or a point lacks a field.
    """
    fields = (("accuracy", "accuracy"), ("kept_share", "tokens kept"), ("prefill_share", "prefill FLOPs"))
    points = sorted(points, key=lambda point: _field(point, "keep_layer"))
    if not points:
        raise GlimpseError("The sweep has no points. Expected one mapping per keep_layer.")
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    for axes, (field, title), (color, marker) in zip(figure.subplots(1, 3), fields, SERIES, strict=False):
        _style(axes)
        axes.plot(
            [point["keep_layer"] for point in points],
            [_field(point, field) for point in points],
            marker,
            ls="-",
            c=color,
        )
        axes.set(xlabel="K (0-based layer)", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if field == "accuracy" and full_accuracy is not None:
            axes.axhline(full_accuracy, color=GRAY, linestyle="--", label="all tokens")
            axes.legend(frameon=False)
        elif field != "accuracy":
            axes.set_ylim(0, None)
    return figure


def accuracy_over_kept(
    series: Mapping[str, Sequence[tuple[float, float]]],
    full_accuracy: float | None = None,
    log: bool = False,
    xlabel: str = "visual tokens kept",
    ylabel: str = "accuracy",
) -> Figure:
    """Draw accuracy over the kept share, one line per method.

    Args:
        series: by method, its points (kept share, accuracy), both from 0 to 1.
        full_accuracy: accuracy of the unpruned model, 0 to 1, drawn as a line.
        log: whether the x axis is logarithmic.
        xlabel, ylabel: labels, for other shares than these, such as those of the prefill.

    Raises:
        GlimpseError: if there is no method, or a method has no point.
    """
    if not series or not all(series.values()):
        raise GlimpseError(f"The series are {dict(series)!r}. Expected at least one method, and one point per method.")
    many = len(series) > len(SERIES)
    figure, axes = _figure(8.6 if many else 6.4, max(4.0, 0.24 * len(series)))
    for index, (name, points) in enumerate(series.items()):
        color, marker = SERIES[index % len(SERIES)]
        across, up = zip(*sorted(points), strict=True)
        style = LINES[index // len(SERIES) % len(LINES)]
        axes.plot(across, up, marker, ls=style, c=color, label=name)
    if full_accuracy is not None:
        axes.axhline(full_accuracy, color=GRAY, linestyle="--", label="all tokens")
    if log:
        axes.set_xscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    if many:
        figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    else:
        axes.legend(frameon=False)
    return figure


def accuracy_over_depth(
    series: Mapping[str, Sequence[tuple[float, float]]],
    full_accuracy: float | None = None,
    ylabel: str = "accuracy",
) -> Figure:
    """Draw accuracy over the number of decoder layers that see every token.

    Args:
        series: by control, its points (layers, accuracy from 0 to 1).
        full_accuracy: accuracy of the unpruned model, 0 to 1, drawn as a line.
        ylabel: label, for other shares than the accuracy.

    Raises:
        GlimpseError: as `accuracy_over_kept`.
    """
    figure = accuracy_over_kept(series, full_accuracy, xlabel="decoder layers that see every token", ylabel=ylabel)
    axis = figure.axes[0].xaxis
    axis.set_major_locator(MaxNLocator(integer=True))
    axis.set_major_formatter(ScalarFormatter())
    return figure


def by_type(table: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the share of evidence tokens and the share of kept tokens by question type.

    Args:
        table: by type, `evidence_share` and `kept_share` from 0 to 1 (`by_type` of an evaluation).

    Raises:
        GlimpseError: if there is no type, or a type lacks a field.
    """
    if not table:
        raise GlimpseError("The table has no question types. Expected the by_type part of an evaluation.")
    names = sorted(table, key=lambda name: _field(table[name], "evidence_share"))
    figure, axes = _figure(6.4, 1.2 + 0.32 * len(names))
    evidence, kept = ([_field(table[name], field) for name in names] for field in ("evidence_share", "kept_share"))
    axes.hlines(names, evidence, kept, color="#d1d5db", linewidth=2, zorder=1)
    axes.plot(evidence, names, "D", c=ORANGE, label="evidence")
    axes.plot(kept, names, "o", c=BLUE, label="kept")
    axes.set(xlabel="share of the visual tokens", xlim=(0, None), ylim=(-0.6, len(names) - 0.4))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False, loc="lower right")
    return figure


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    return _printed(figure, "png", dpi=dpi, metadata={"Software": None})


def image(figure: Figure, dpi: int = 120) -> Image.Image:
    """Return the figure as an image."""
    return Image.open(io.BytesIO(png(figure, dpi)))


def svg(figure: Figure) -> str:
    """Return the figure as an SVG document; equal figures give equal bytes."""
    with matplotlib.rc_context({"svg.hashsalt": "glimpse"}):
        return _printed(figure, "svg", metadata={"Date": None, "Creator": None}).decode("utf-8")


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure as PNG or SVG, depending on the suffix, and make missing folders. Returns the path.

    Raises:
        GlimpseError: for another suffix, or if the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".png", ".svg"):
        raise GlimpseError(f"The file name of the figure is {path.name}. Expected a name that ends in .png or .svg.")
    write(path, png(figure) if kind == ".png" else svg(figure).encode("utf-8"))
    return path


def _printed(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _style(axes)
    return figure, axes


def _style(axes: Axes) -> None:
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _field(row: Mapping[str, float], name: str) -> float:
    if name not in row:
        raise GlimpseError(
            f"A row has the fields {', '.join(row) or 'none'}. Expected {name} as well: {name} is missing."
        )
    return row[name]
