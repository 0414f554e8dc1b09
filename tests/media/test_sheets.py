"""Sheets, legend, charts and the files they are saved to."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.media import plots
from glimpse_core.media.overlay import colors, overlay
from glimpse_core.media.sheets import GAP, PAPER, legend, overview, png, save_png, side_by_side
from glimpse_core.types import Grid
from tests.costs.test_cost import GLIMPSE_7B, QWEN_7B

POINTS = [
    {"keep_layer": 3, "accuracy": 0.9, "kept_share": 0.1, "prefill_share": 0.6},
    {"keep_layer": 1, "accuracy": 0.7, "kept_share": 0.3, "prefill_share": 0.4},
]
TYPES = {"color": {"evidence_share": 0.03, "kept_share": 0.05}, "describe": {"evidence_share": 0.8, "kept_share": 0.7}}


@pytest.fixture(scope="module")
def costs():
    return cost(Shape.from_config(QWEN_7B, GLIMPSE_7B), 5074, 5050, 202)


def test_legend_shows_the_map_from_end_to_end_and_the_threshold() -> None:
    bar = np.asarray(legend(300, 45))
    assert np.array_equal(bar[5], colors(np.linspace(0, 1, 300)))
    marked = np.asarray(legend(300, 45, threshold=0.25))
    differing = np.nonzero((marked[5] != bar[5]).any(-1))[0]
    assert differing.min() >= 72 and differing.max() <= 77 and 75 in differing  # 0.25 of 299 pixels
    assert (bar[-14:] != 255).any()  # the numbers below


def test_panels_stand_side_by_side_at_one_height() -> None:
    red, blue = Image.new("RGB", (100, 50), "red"), Image.new("RGB", (30, 60), "blue")
    row = side_by_side([("first", red), ("second", blue)], height=60)
    assert row.width == GAP + 120 + GAP + 30 + GAP
    line = row.height - 60 - 2 * GAP
    pixels = np.asarray(row)
    assert (pixels[GAP + line : GAP + line + 60, GAP : GAP + 120] == (255, 0, 0)).all()
    assert (pixels[GAP + line : GAP + line + 60, 2 * GAP + 120 : 2 * GAP + 150] == (0, 0, 255)).all()
    assert (pixels[:, :GAP] == PAPER).all()
    column = side_by_side([("first", red), ("second", blue)], height=60, columns=1)
    assert column.width == GAP + 120 + GAP and column.height == 2 * (line + 60 + GAP) + GAP


def test_long_and_foreign_captions_stay_inside_their_panel() -> None:
    square = Image.new("RGB", (64, 64), "green")
    sheet = side_by_side([("Which of the many flags\nis blue? " * 50, square), ("größer → Ω", square)], height=64)
    pixels = np.asarray(sheet)
    assert (pixels[:, GAP + 64 : 2 * GAP + 64] == PAPER).all()
    ink = np.nonzero((pixels[: -64 - GAP, : GAP + 64] != PAPER).any((0, 2)))[0]
    assert ink.min() < GAP + 8 and ink.max() > GAP + 48  # cut no shorter than needed


def test_overview_holds_the_four_views() -> None:
    image, grid = Image.effect_noise((90, 60), 60).convert("RGB"), Grid(2, 3)
    values = np.linspace(0, 1, 6)
    sheet = np.asarray(overview(image, values, values > 0.5, grid, threshold=0.5, height=60))
    top = sheet.shape[0] - 44 - GAP - GAP - 60  # legend, gap, gap, panel
    for place, view in enumerate(("picture", "heat", "kept", "kept_only")):
        left = GAP + place * (90 + GAP)
        panel = sheet[top : top + 60, left : left + 90]
        assert np.array_equal(panel, np.asarray(overlay(image, values, values > 0.5, grid, view)))


def test_png_files_hold_the_same_pixels(tmp_path: Path) -> None:
    image = Image.effect_noise((40, 30), 50).convert("RGB")
    assert Image.open(io.BytesIO(png(image))).tobytes() == image.tobytes()
    path = save_png(image, tmp_path / "made" / "a.png")
    with Image.open(path) as read:
        assert read.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        (lambda costs: plots.alive(costs), ["decoder layer"]),
        (lambda costs: plots.stages(costs), ["prefill TFLOPs"]),
        (lambda costs: plots.sweep(POINTS, 0.95), ["accuracy", "tokens kept", "prefill FLOPs"]),
        (lambda costs: plots.accuracy_over_kept({"glimpse": [(0.1, 0.9)], "random": [(0.1, 0.4)]}, 0.95, log=True), []),
        (lambda costs: plots.by_type(TYPES), ["share of the visual tokens"]),
    ],
)
def test_charts_come_out_as_png_and_svg(costs, make, texts: list[str]) -> None:
    figure = make(costs)
    assert isinstance(figure, Figure)
    shown = [words for axes in figure.axes for words in (axes.get_xlabel(), axes.get_ylabel(), axes.get_title())]
    for text in texts:
        assert any(text in words for words in shown)
    picture = np.asarray(Image.open(io.BytesIO(plots.png(figure, dpi=50))).convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5
    document = plots.svg(figure)
    assert ElementTree.fromstring(document).tag.endswith("svg")


def test_svg_of_the_same_figure_has_the_same_bytes() -> None:
    assert plots.svg(plots.by_type(TYPES)) == plots.svg(plots.by_type(TYPES))


def test_sweep_is_drawn_in_order_of_k_and_costs_as_counted(costs) -> None:
    line = plots.sweep(POINTS).axes[0].lines[0]
    assert line.get_xdata().tolist() == [1, 3] and line.get_ydata().tolist() == [0.7, 0.9]
    bars = [bar.get_width() for bar in plots.stages(costs).axes[0].patches]
    assert sum(bars) == pytest.approx((costs.full.prefill + costs.pruned.prefill) / 1e12)


def test_figures_are_saved_by_their_ending(tmp_path: Path) -> None:
    figure = plots.by_type(TYPES)
    assert plots.save(figure, tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert plots.save(figure, tmp_path / "deep" / "a.svg").read_text().startswith("<?xml")


def test_what_cannot_be_drawn_or_saved_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    square = Image.new("RGB", (8, 8))
    for call, named in (
        (lambda: plots.save(plots.by_type(TYPES), tmp_path / "a.jpg"), "a.jpg"),
        (lambda: save_png(square, tmp_path / "a.gif"), "a.gif"),
        (lambda: save_png(square, blocked / "a.png"), "cannot be written"),
        (lambda: plots.sweep([{"keep_layer": 1}]), "accuracy is missing"),
        (lambda: plots.sweep([]), "no points"),
        (lambda: plots.by_type({}), "no question types"),
        (lambda: plots.accuracy_over_kept({"glimpse": []}), "glimpse"),
        (lambda: side_by_side([]), "0 panels"),
        (lambda: legend(40, 20), "40 x 20"),
        (lambda: legend(threshold=2), "threshold is 2"),
    ):
        with pytest.raises(GlimpseError, match=named):
            call()
