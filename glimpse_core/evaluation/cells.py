"""What is compared: cells of one pruning method at one budget each, all held against the unpruned reference.

A budget is a share of the visual tokens, or "dynamic": as many as the adaptive method (GlimpsePrune) keeps of this very
question at its threshold, so that every other method gets the same number, question by question. Methods that decide
themselves how much to keep (none, text only, the evidence boxes) have no budget and are run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.tasks import Item
from glimpse_core.glimpse.model import BY_RANK, LoadedModel
from glimpse_core.pruners import Card, Method, SharedWork
from glimpse_core.pruners.build import Match, Policy
from glimpse_core.types import Selection

DYNAMIC = "dynamic"
REFERENCE = pruners.BASELINE
ADAPTIVE = next(name for name in pruners.PRUNERS if pruners.card(name).adaptive)  # sets the dynamic budget
APART = 1_000_003  # between the seeds of two draws for one question; those of questions lie one apart
DRAW = "draw"
EXACT = "exact"
DEPTH = "k"


def usual(trained: bool) -> tuple[str, float | str]:
    """The method and budget that are compared where none is named: those by which a session chooses.

    Args:
        trained: whether the model has glimpse modules.
    """
    return (ADAPTIVE, DYNAMIC) if trained else (pruners.TRAINING_FREE, BY_RANK.max_ratio or 1.0)


@dataclass(frozen=True)
class Step:
    """One pruner of a cell.

    ratio: its own share of the visual tokens. draw: which draw of a method that draws at random, from 1. of: the method
    that it turns around. exact: keep the whole budget, of a method that otherwise may keep less. weights: folder of
    those that a trained method needs. depth: layers that process every token, of a control that drops at any layer.
    """

    name: str
    ratio: float | None = None
    draw: int = 1
    of: str | None = None
    exact: bool = False
    weights: str | None = None
    depth: int | None = None
    title: str = ""

    @property
    def card(self) -> Card:
        """What the pruner declares about itself. Raises GlimpseError for an unknown name."""
        return pruners.card(self.name)

    @classmethod
    def read(cls, text: str, alone: bool) -> Step:
        """Read NAME, NAME:SHARE, NAME:exact, NAME:kLAYER, NAME:drawN (standing alone), NAME:METHOD or NAME:FOLDER.

        Raises:
            GlimpseError: for an unknown name, and for what is no share.
        """
        name, _, own = text.partition(":")
        card = pruners.card(name)
        number = own.removeprefix(DRAW)
        if not own:
            return cls(name, title=card.label)
        if "weights" in card.needs:
            return cls(name, weights=own, title=card.label)
        if "method" in card.needs:
            return cls(name, of=own, title=f"{card.label} of {pruners.card(own).label}")
        if alone and card.seeded and own != number and number.isdecimal() and int(number):
            return cls(name, draw=int(number), title=f"{card.label} {DRAW} {number}")
        options = {field.name for field in fields(pruners.PRUNERS[name])}
        layer = own.removeprefix(DEPTH)
        if "depth" in options and own != layer and layer.isdecimal():
            return cls(name, depth=int(layer), title=f"{card.label} before layer {int(layer)}")
        if own == EXACT and own in options:
            return cls(name, exact=True, title=f"{card.label} by rank")
        return cls(name, read_share(own), title=f"{card.label} {own}")


@dataclass(frozen=True)
class Cell:
    """One method at one budget.

    method: a pruner's name, or several joined by "+" whose last one gets the budget; those before it say their own
        after a colon, as in "divprune:50%+glimpse". Random ones may say which draw they are, "random:draw2", inverse
        ones whose choice they turn around, "inverse:boxes", trained ones where their weights are. Controls drop before
        any layer, "random:k20", and "glimpse:exact" keeps all of its budget, by rank.
    budget: a share in (0, 1], "dynamic", or None.
    """

    method: str
    budget: float | str | None = None

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Raises GlimpseError for unknown methods and for what is no share."""
        parts = self.method.split("+")
        return tuple(Step.read(part, len(parts) == 1) for part in parts)

    @property
    def label(self) -> str:
        """What the cell is called in results: METHOD or METHOD@BUDGET."""
        return self.method if self.budget is None else f"{self.method}@{budget_text(self.budget)}"

    @property
    def name(self) -> str:
        """The method without shares, as `pruners.build` takes it."""
        return "+".join(step.name for step in self.steps)

    @property
    def title(self) -> str:
        """The method in words: DivPrune 50% + GlimpsePrune; random draw 2."""
        return " + ".join(step.title for step in self.steps)

    @property
    def draw(self) -> int:
        """Which draw of a random method, from 1."""
        return self.steps[-1].draw

    @property
    def budgeted(self) -> bool:
        """Whether the method takes a budget; of a cascade, the last one."""
        return self.steps[-1].card.budgeted

    @property
    def adaptive(self) -> bool:
        """Whether it decides by itself what the dynamic budget is; a cascade is given the number like other methods."""
        return len(self.steps) == 1 and self.steps[0].card.adaptive and not self.steps[0].exact


def budget_text(budget: float | str | None) -> str:
    """Write a budget: 11.1%, dynamic, or a dash."""
    if budget is None:
        return "-"
    return budget if isinstance(budget, str) else f"{100 * budget:.4g}%"


def read_budget(text: str) -> float | str:
    """Read "11.1%", "0.111" or "dynamic". Raises GlimpseError."""
    return DYNAMIC if text.strip() == DYNAMIC else read_share(text, f", or {DYNAMIC}")


def read_share(text: str, more: str = "") -> float:
    """Read "11.1%" or "0.111". more: what else would be right, for the message. Raises GlimpseError."""
    text = text.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise GlimpseError(f"The budget is {text!r}. Expected a share such as 11.1% or 0.111{more}.")
    return round(share, 6)


def grid_of(methods: Sequence[str], budgets: Sequence[float | str]) -> tuple[Cell, ...]:
    """Make the cells of every method at every budget, the reference first.

    Raises:
        GlimpseError: for unknown methods, for methods that no question can be handed in for, and for missing budgets.
    """
    cells = []
    for method in dict.fromkeys((REFERENCE, *methods)):
        cell = Cell(method)
        if any("mask" in step.card.needs for step in cell.steps):
            raise GlimpseError(
                f"{method} keeps given masks, and questions come without. Expected another method: leave it out."
            )
        for step in cell.steps:
            if "weights" in step.card.needs and not step.weights:
                raise GlimpseError(
                    f"{step.name} was given no weights, and it is trained. Expected {step.name}:FOLDER, the folder "
                    "of its weights."
                )
        if not cell.budgeted:
            cells.append(cell)
        elif not budgets:
            raise GlimpseError(f"{method} has no budget. Expected at least one, such as 11.1%,22.2%,{DYNAMIC}.")
        else:
            cells += [Cell(method, budget) for budget in dict.fromkeys(budgets)]
    return tuple(cells)


def horizon(depths: Sequence[int]) -> list[str]:
    """The methods whose accuracy over the layer shows how late visual tokens still matter."""
    return [f"{name}:{DEPTH}{depth}" for name in ("random", "drop_all") for depth in dict.fromkeys(depths)]


def check_cells(cells: Sequence[Cell], model: LoadedModel) -> None:
    """Raise a GlimpseError that names the cells for which a model without glimpse modules is not enough."""
    lacking = [cell.label for cell in cells if cell.budget == DYNAMIC or any(step.card.modules for step in cell.steps)]
    if lacking and not model.trained:
        raise GlimpseError(
            f"{model.name} has no glimpse modules, which {', '.join(lacking)} would need. Expected methods without "
            f"trained modules, such as {pruners.TRAINING_FREE}, and shares as budgets, such as 11.1%: choose others."
        )


@dataclass(frozen=True)
class Maker:
    """Makes the pruners of a question.

    selection: of the adaptive method at the dynamic budget. match, policy: see `pruners.build`. first_draw: added to a
    question's index, where a method draws at random.
    """

    model: LoadedModel
    selection: Selection
    match: Match = "final"
    policy: Policy = "published"
    first_draw: int = 0

    def pruner(self, cell: Cell, item: Item, index: int, dynamic: int | None = None) -> Method:
        """Make the pruner of one cell. dynamic: see `dynamic`. Raises GlimpseError where the question lacks boxes."""
        budget: dict[str, Any] = {}
        if cell.budget == DYNAMIC:
            budget = {"selection": self.selection} if cell.adaptive else {"count": dynamic}
        elif cell.budget is not None:
            budget = {"ratio": cell.budget}
        options = {step.name: self._options(step, item, index) for step in cell.steps}
        return pruners.build(
            cell.name, self.model, match=self.match, policy=self.policy, options=options, **budget
        )  # fmt: skip

    def dynamic(self, cells: Sequence[Cell], shared: SharedWork) -> int | None:
        """Count the tokens that the dynamic budget means for this question. None if no cell has to be told."""
        if all(cell.budget != DYNAMIC or cell.adaptive for cell in cells):
            return None
        kept = pruners.build(ADAPTIVE, self.model, selection=self.selection)(shared.prompt, shared=shared).kept
        return int(kept[0].sum())

    def _options(self, step: Step, item: Item, index: int) -> dict[str, Any]:
        """What the method declares to need, from the question, and what the cell says of its own."""
        options: dict[str, Any] = {} if step.ratio is None else {"ratio": step.ratio}
        if step.exact:
            options["exact"] = True
        if step.depth is not None:
            options["depth"] = step.depth
        if step.weights is not None:
            options["weights"] = step.weights
        if step.card.seeded:
            options["seed"] = self.first_draw + index + APART * (step.draw - 1)
        if "boxes" in step.card.needs:
            if item.boxes is None:
                raise GlimpseError(
                    f"{step.name} keeps the evidence, and question {item.key} has none. Expected another method: "
                    "leave it out."
                )
            options["boxes"] = (item.boxes,)
        if step.of is not None:
            options["of"] = pruners.build(step.of, self.model, **self._options(Step(step.of), item, index))
        return options
