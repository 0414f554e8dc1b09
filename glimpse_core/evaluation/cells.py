"""What is compared: pruning methods, each at several budgets. All of them are held against the cell `none`.

A budget is a share of the visual tokens, or "dynamic": as many as GlimpsePrune keeps of this very question at its
threshold, so that everybody else is given the same number, question by question. Methods that decide themselves how
much to keep (none, text only, the evidence boxes) have no budget and are run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.tasks import Item
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.pruners import Method, SharedWork
from glimpse_core.types import Selection

DYNAMIC = "dynamic"
REFERENCE = "none"
GLIMPSE = "glimpse"
BOXES = "boxes"
SEEDED = ("random", "random_at_k")
APART = 1_000_003  # between the seeds of two draws for one question; those of questions lie one apart
DRAW = "draw"


@dataclass(frozen=True)
class Cell:
    """One method at one budget: a share in (0, 1], "dynamic", or None.

    method: a pruner's name, or several joined by "+" whose last one gets the budget; those before it say their own
    behind a colon, as in "divprune:50%+glimpse". Random ones may say which draw they are: "random:draw2".
    """

    method: str
    budget: float | str | None = None

    @property
    def label(self) -> str:
        return self.method if self.budget is None else f"{self.method}@{budget_text(self.budget)}"

    @property
    def _steps(self) -> list[tuple[str, str]]:
        """Names, and what each says of its own."""
        return [(name, own) for name, _, own in (part.partition(":") for part in self.method.split("+"))]

    @property
    def name(self) -> str:
        """The method without shares, as `pruners.build` takes it."""
        return "+".join(name for name, _ in self._steps)

    @property
    def title(self) -> str:
        """For people: DivPrune 50% + GlimpsePrune; random draw 2."""
        own_words = [(name, own.replace(DRAW, f"{DRAW} ")) for name, own in self._steps]
        return " + ".join(f"{pruners.card(name).label} {own}".strip() for name, own in own_words)

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """Those of the steps with a share of their own. Raises GlimpseError for what is none."""
        own_shares = [(name, own) for name, own in self._steps if own and not self._drawn]
        return {name: {"ratio": read_budget(own)} for name, own in own_shares}

    @property
    def draw(self) -> int:
        """Which draw of a random method, from 1."""
        return int(self._drawn) if self._drawn else 1

    @property
    def _drawn(self) -> str | None:
        """The number of a further draw; None for everything else."""
        number = self._steps[-1][1].removeprefix(DRAW)
        further = self.method == f"{self.name}:{DRAW}{number}" and self.name in SEEDED and number.isdecimal()
        return number if further and int(number) else None

    @property
    def budgeted(self) -> bool:
        return pruners.card(self.name).budgeted


def budget_text(budget: float | str | None) -> str:
    """As people write it: 11.1%, dynamic, or a dash."""
    if budget is None:
        return "-"
    return budget if isinstance(budget, str) else f"{100 * budget:.4g}%"


def read_budget(text: str) -> float | str:
    """ "11.1%", "0.111" or "dynamic". Raises GlimpseError."""
    text = text.strip()
    if text == DYNAMIC:
        return text
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise GlimpseError(f"the budget is {text!r}: wanted was a share such as 11.1% or 0.111, or {DYNAMIC}")
    return round(share, 6)


def grid_of(methods: Sequence[str], budgets: Sequence[float | str]) -> tuple[Cell, ...]:
    """Every method at every budget, the reference first. Raises GlimpseError for unknown ones and missing budgets."""
    chosen = [REFERENCE, *(method for method in dict.fromkeys(methods) if method != REFERENCE)]
    cells = []
    for method in chosen:
        _ = Cell(method).options  # what is wrong with them is said at once
        if not Cell(method).budgeted:
            cells.append(Cell(method))
        elif not budgets:
            raise GlimpseError(f"{method} needs a budget: give --budgets, such as 11.1%,22.2%,{DYNAMIC}")
        else:
            cells += [Cell(method, budget) for budget in dict.fromkeys(budgets)]
    return tuple(cells)


@dataclass(frozen=True)
class Maker:
    """Makes the pruners of one question. dynamic: how many tokens GlimpsePrune keeps; asked for only when needed."""

    model: GlimpseModel
    selection: Selection
    match: str
    policy: str

    def pruner(self, cell: Cell, item: Item, seed: int, dynamic: int | None = None) -> Method:
        options: dict[str, Any] = {}
        if cell.method == BOXES:
            if item.boxes is None:
                raise GlimpseError(f"{BOXES} keeps the evidence, but question {item.key} comes without: leave it out")
            options["boxes"] = (item.boxes,)
        if cell.name in SEEDED:
            options["seed"] = seed + APART * (cell.draw - 1)
        if cell.method == GLIMPSE and cell.budget == DYNAMIC:
            options["selection"] = self.selection
        elif cell.budget == DYNAMIC:
            options["count"] = dynamic
        elif cell.budget is not None:
            options["ratio"] = cell.budget
        return pruners.build(
            cell.name, self.model, match=self.match, policy=self.policy, options=cell.options, **options
        )

    def dynamic(self, cells: Sequence[Cell], shared: SharedWork) -> int | None:
        """The number that the dynamic budget means for this question, or None if no cell asks."""
        if all(cell.budget != DYNAMIC or cell.method == GLIMPSE for cell in cells):
            return None
        kept = pruners.build(GLIMPSE, self.model, selection=self.selection)(shared.prompt, shared=shared).kept
        return int(kept[0].sum())
