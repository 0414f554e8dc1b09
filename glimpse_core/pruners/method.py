"""The base class of the methods: a function from `Live` to `Live`, wrapped as a pruner; and methods in a row."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, ClassVar, Literal

from glimpse_core.costs.schedule import Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.base import check_budget, tokens
from glimpse_core.pruners.live import Live, begin, result
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.types import Prompt, Pruned, Vision, VisionReads

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel


Need = Literal["boxes", "mask", "method"]


@dataclass(frozen=True)
class Card:
    """What callers must know of a method before they use it. They read it here and never compare names.

    Attributes:
        label: its name in tables and on pages.
        where: where it drops tokens.
        source: where it was published.
        question: its choice depends on the question.
        merges: it averages dropped tokens into kept ones.
        budgeted: it has a budget, so `build` takes `ratio` or `count` for it.
        control: it is no published method but a yardstick for them.
        baseline: it keeps every token; what all others are compared with.
        seeded: it draws at random; its field `seed` says which draw.
        needs: what a caller must hand in, because the question alone does not say it: "boxes" (field `boxes`), "mask"
            (field `masks`), "method" (another pruner, field `of`; GlimpsePrune if left out).
        adaptive: without a budget it chooses the number of tokens itself, question by question, by its field
            `selection`.
    """

    label: str
    where: str
    source: str = ""
    question: bool = False
    merges: bool = False
    budgeted: bool = True
    control: bool = False
    baseline: bool = False
    seeded: bool = False
    needs: tuple[Need, ...] = ()
    adaptive: bool = False


@dataclass(frozen=True)
class Method:
    """A pruner written as `shorten`. Sub-classes add their options as fields."""

    model: GlimpseModel

    card: ClassVar[Card]
    blind: ClassVar[bool] = False  # never looks at the picture as a whole

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        check_budget(given.get("ratio"), given.get("count"))

    def shorten(self, live: Live) -> Live:
        """The method itself."""
        raise NotImplementedError

    def plan(self, total: int) -> tuple[Drop, ...]:
        """The drops for a row of `total` visual tokens, at most; exact for methods with a fixed budget."""
        raise NotImplementedError

    def vision_reads(self) -> VisionReads:
        """What is read inside the vision tower."""
        return VisionReads()

    def conditions(self) -> tuple[int, ...]:
        """The states of the vision tower that a predictor reads."""
        return ()

    def with_budget(self, **budget: float) -> Method:
        """The same with another `ratio` or `count`."""
        return replace(self, **budget)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Matrix products that choosing among `total` visual tokens needs beside the decoder layers themselves."""
        return 0

    def __call__(self, prompt: Prompt, vision: Vision | None = None, shared: SharedWork | None = None) -> Pruned:
        if shared is not None:
            shared.check(self.model, prompt, vision)
            vision = shared.vision
        if vision is None and not self.blind:
            vision = self.model.backbone.encode_images(prompt, self.conditions(), self.vision_reads())
            shared = None
        return result(self.shorten(begin(shared or SharedWork(self.model, prompt, vision))))


@dataclass(frozen=True)
class Budgeted(Method):
    """Keeps a fixed budget: `count` visual tokens of every row, or `ratio` of them."""

    ratio: float = 0.1
    count: int | None = None

    def budget(self, total: int) -> int:
        """For a row that had `total` visual tokens before anything was dropped."""
        return tokens(total, self.ratio, self.count)

    def budgets(self, live: Live) -> list[int]:
        """For every row, at most what is left of it."""
        return [min(self.budget(total), left) for total, left in zip(live.totals, live.counts, strict=True)]


@dataclass(frozen=True)
class Cascade(Method):
    """Methods one after the other: each goes on with the tokens that the one before it has left."""

    steps: tuple[Method, ...] = ()

    card: ClassVar[Card] = Card("cascade", "as its steps")

    def shorten(self, live: Live) -> Live:
        """Cascades that differ only in their last step share what comes before it."""
        *before, last = self.steps

        def shortened() -> Live:
            return reduce(lambda left, step: step.shorten(left), before, live)

        left = live.results.once(("cascade", *before), shortened)
        trunk = None if left.trunk is None else fork(left.trunk)
        return last.shorten(replace(left, prefix=fork(left.prefix), trunk=trunk))

    def plan(self, total: int) -> tuple[Drop, ...]:
        drops: list[Drop] = []
        for drop in (drop for step in self.steps for drop in step.plan(total)):
            drops.append(replace(drop, left=min(drop.left, drops[-1].left if drops else total)))
        return tuple(drops)

    def vision_reads(self) -> VisionReads:
        asked = [step.vision_reads() for step in self.steps]
        return VisionReads(
            tuple(sorted({block for one in asked for block in one.states})),
            tuple(sorted({block for one in asked for block in one.attention})),
        )

    def conditions(self) -> tuple[int, ...]:
        return next((step.conditions() for step in self.steps if step.conditions()), ())

    def with_budget(self, **budget: float) -> Method:
        """The last step decides what is left in the end."""
        return replace(self, steps=(*self.steps[:-1], self.steps[-1].with_budget(**budget)))

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Every step chooses among what the steps before it have left."""
        flops, words = 0, prompt_length - total
        for step in self.steps:
            flops += step.selector_flops(shape, words + total, total)
            total = min([total, *(drop.left for drop in step.plan(total)[-1:])])
        return flops


def check_depth(name: str, depth: int, model: GlimpseModel, least: int) -> None:
    """Raise a GlimpseError for a layer that the model has not, or that a method cannot use."""
    layers = model.backbone.layers
    if not (isinstance(depth, int) and least <= depth <= layers):
        raise GlimpseError(f"{name} is {depth!r}, but the model has {layers} layers: choose from {least} to {layers}")
