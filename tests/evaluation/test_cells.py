"""Cells: how methods and budgets are written, and what the methods' declarations make of them."""

import pytest

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.cells import ADAPTIVE, REFERENCE, Cell, Maker, grid_of, horizon, read_budget
from glimpse_core.evaluation.tasks import Item
from glimpse_core.types import Selection
from tests.support import tiny

ITEM = Item("7", "What?", ("x",), tiny.picture(), boxes=((0.0, 0.0, 0.5, 0.5),))


def test_cells_of_methods_and_budgets():
    assert [cell.label for cell in grid_of(["random", "boxes", "random"], [0.111, 0.111, "dynamic"])] == [
        "none", "random@11.1%", "random@dynamic", "boxes"
    ]  # fmt: skip
    assert [read_budget(text) for text in ("11.1%", "0.222", "dynamic", " 1 ")] == [0.111, 0.222, "dynamic", 1.0]
    for text in ("0", "120%", "-1", "many", ""):
        with pytest.raises(GlimpseError, match=r"Expected a share such as .* or dynamic\."):
            read_budget(text)
    with pytest.raises(GlimpseError, match="random has no budget"):
        grid_of(["random"], [])
    with pytest.raises(GlimpseError, match="There is no pruner called 'fastw'"):
        grid_of(["fastw"], [0.1])
    with pytest.raises(GlimpseError, match="mask keeps given masks"):
        grid_of(["mask"], [])


def test_what_stands_after_a_colon():
    cascade = Cell("divprune:50%+glimpse", 0.2)
    assert (cascade.name, cascade.title) == ("divprune+glimpse", "DivPrune 50% + GlimpsePrune")
    assert [step.ratio for step in cascade.steps] == [0.5, None]
    again = Cell("random:draw2", 0.2)
    assert (again.name, again.title, again.draw, again.steps[0].ratio) == ("random", "random draw 2", 2, None)
    turned = Cell("inverse:boxes")
    assert (turned.name, turned.title, turned.label) == ("inverse", "inverse of oracle boxes", "inverse:boxes")
    whole = Cell("glimpse:exact", 0.2)
    assert (whole.name, whole.title, whole.label) == ("glimpse", "GlimpsePrune by rank", "glimpse:exact@20%")
    wrong = (
        "fastv:exact",
        "fastv:draw2",
        "random:draw0",
        "random:drawn",
        "random:draw2+glimpse",
        "divprune:half+glimpse",
        "grid:2",
        "grid:k",
        "fastv:k2",
    )
    deep = Cell("divprune:50%+random:k20", 0.2)
    assert (deep.name, deep.title) == ("divprune+random", "DivPrune 50% + random before layer 20")
    assert [step.depth for step in deep.steps] == [None, 20]
    assert horizon([0, 4, 0]) == ["random:k0", "random:k4", "drop_all:k0", "drop_all:k4"]
    trained = Cell("visionselector:some/folder", 0.2)
    assert (trained.name, trained.title, trained.steps[0].weights) == (
        "visionselector",
        "VisionSelector",
        "some/folder",
    )
    with pytest.raises(GlimpseError, match="visionselector was given no weights.*Expected visionselector:FOLDER"):
        grid_of(["visionselector"], [0.1])
    for method in (*wrong, "divprune:dynamic+glimpse"):
        with pytest.raises(GlimpseError, match="Expected a share"):
            grid_of([method], [0.1])
    with pytest.raises(GlimpseError, match="There is no pruner called 'boxen'"):
        grid_of(["inverse:boxen"], [])


def test_methods_declare_the_reference_and_who_sets_the_dynamic_budget():
    assert (REFERENCE, ADAPTIVE) == ("none", "glimpse")
    assert [name for name in pruners.PRUNERS if Cell(name).adaptive] == ["glimpse"]
    assert not Cell("divprune:50%+glimpse").adaptive, "a cascade gets the number, as other methods do"
    assert not Cell("glimpse:exact").adaptive, "and so does a method that keeps all of its budget"


def test_pruners_are_handed_what_they_declare_to_need():
    model, threshold = tiny.model(), Selection(threshold=0.3)
    maker = Maker(model, threshold, first_draw=100)
    make = lambda method, budget=None: maker.pruner(Cell(method, budget), ITEM, 5, 9)  # noqa: E731
    assert make("glimpse", "dynamic").selection is threshold and make("glimpse", 0.2).ratio == 0.2
    cascade = make("divprune:50%+glimpse", "dynamic")
    assert (cascade.steps[0].ratio, cascade.steps[1].count, cascade.steps[1].selection) == (0.5, 9, None)
    assert make("fastv", "dynamic").count == 9
    exact = make("glimpse:exact", "dynamic")
    assert (exact.count, exact.exact, exact.selection) == (9, True, None) and not make("glimpse", 0.2).exact
    assert make("random", 0.2).seed == 105 and make("random:draw3", 0.2).seed == 105 + 2 * 1_000_003
    assert [step.seed for step in make("random:50%+random_at_k", 0.2).steps] == [105, 105]
    assert make("boxes").boxes == (ITEM.boxes,) and make("inverse:boxes").of == make("boxes")
    assert make("inverse").of is None
    assert (make("random:k2", 0.2).depth, make("drop_all:k5").depth, make("drop_all").layer) == (2, 5, 3)
    with pytest.raises(GlimpseError, match="depth is 6. Expected a layer of this model: choose from 0 to 5"):
        make("drop_all:k6")
    assert make("visionselector:some/folder", 0.2).weights == "some/folder"
    without = Item("8", "What?", ("x",), tiny.picture())
    for method in ("boxes", "inverse:boxes"):
        with pytest.raises(GlimpseError, match="question 8 has none"):
            maker.pruner(Cell(method), without, 0)
