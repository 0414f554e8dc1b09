"""The base classes of pruning methods, what a method declares about itself, and methods one after another."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from glimpse_core.costs.schedule import Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.base import check_budget, tokens
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.pruners.state import PruningState, begin, result
from glimpse_core.types import Prompt, Pruned, Vision, VisionReads

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import LoadedModel

Need = Literal["boxes", "mask", "method", "weights"]


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
        control: it is no published method but a reference for them.
        baseline: it keeps every token; all others are compared with it.
        seeded: it draws at random; its field `seed` says which draw.
        needs: what a caller must hand in because the question alone does not say it: "boxes" (field `boxes`), "mask"
            (field `masks`), "method" (another pruner, field `of`; what a session keeps if left out),
            "weights" (field `weights`: trained ones that no base model has).
        adaptive: without a budget it chooses the number of tokens itself, question by question, by its field
            `selection`.
        modules: it needs the trained glimpse modules of the model.
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
    modules: bool = False

    @property
    def self_contained(self) -> bool:
        """A question with its evidence boxes is all that it needs: neither a mask nor weights of the caller's."""
        return not {"mask", "weights"} & set(self.needs)

    def fits(self, trained: bool) -> bool:
        """Whether a question is all that it needs, on a model with (`trained`) or without glimpse modules."""
        return self.self_contained and (trained or not self.modules)


@dataclass(frozen=True)
class Method:
    """Base class of pruning methods. A method is a frozen dataclass whose fields are its options.

    A subclass has a `card` and writes `shorten` and `plan`; the others only where the defaults are not true of it. It
    acts during the prefill only.

    Args:
        model: the model to prune for.
    """

    model: LoadedModel

    card: ClassVar[Card]
    blind: ClassVar[bool] = False  # it never looks at the images as they were given

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        check_budget(given.get("ratio"), given.get("count"))

    def shorten(self, state: PruningState) -> PruningState:
        """Run the layers that the method needs and drop tokens. A batch has several rows, each with its own budget."""
        raise NotImplementedError

    def plan(self, total: int) -> tuple[Drop, ...]:
        """What is dropped where in a row of `total` visual tokens.

        Exact for methods with a fixed budget; others say the most that can be left.
        """
        raise NotImplementedError

    def vision_reads(self) -> VisionReads:
        """What the method reads inside the vision tower."""
        return VisionReads()

    def conditions(self) -> tuple[int, ...]:
        """Numbers of the vision layers whose states a predictor reads (`Vision.conditions`), in its order."""
        return ()

    def with_budget(self, **budget: Any) -> Method:
        """The same method with another `ratio` or `count`."""
        return replace(self, **budget)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """FLOPs of choosing among `total` visual tokens of one row, beyond those of the decoder layers themselves.

        Args:
            shape: sizes of the model.
            prompt_length: tokens of the row, visual ones included.
            total: visual tokens of the row.
        """
        return 0

    def __call__(self, prompt: Prompt, vision: Vision | None = None, shared: SharedWork | None = None) -> Pruned:
        """Prune a prompt; see `base.Pruner`. Raises GlimpseError for a prompt that the method cannot prune."""
        if shared is not None:
            shared.check(self.model, prompt, vision)
            vision = shared.vision
        if vision is None and not self.blind:
            vision = self.model.backbone.encode_images(prompt, self.conditions(), self.vision_reads())
            shared = None
        return result(self.shorten(begin(shared or SharedWork(self.model, prompt, vision))))


@dataclass(frozen=True)
class Budgeted(Method):
    """Base class of methods that keep a fixed number of visual tokens of every row.

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
    """

    ratio: float = 0.1
    count: int | None = None

    def budget(self, total: int) -> int:
        """Visual tokens that are kept of a row that had `total` of them before anything was dropped."""
        return tokens(total, self.ratio, self.count)

    def budgets(self, state: PruningState) -> list[int]:
        """The budget of every row, at most what is left of it."""
        return [min(self.budget(total), left) for total, left in zip(state.totals, state.counts, strict=True)]


@dataclass(frozen=True)
class Cascade(Method):
    """Methods one after another: each chooses among the tokens that the one before it has left.

    Args:
        model: the model to prune for.
        steps: at least one method, made for the same model. The last one decides how many tokens are left in the end.
    """

    steps: tuple[Method, ...] = ()

    card: ClassVar[Card] = Card("cascade", "as its steps")

    def shorten(self, state: PruningState) -> PruningState:
        """Cascades that differ only in their last step share what comes before it."""
        *before, last = self.steps

        def shortened() -> PruningState:
            return reduce(lambda left, step: step.shorten(left), before, state)

        left = state.results.once(("cascade", *before), shortened)
        trunk = None if left.trunk is None else fork(left.trunk)
        return last.shorten(replace(left, prefix=fork(left.prefix), trunk=trunk))

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: the steps' drops, none of which leaves more than the one before."""
        drops: list[Drop] = []
        for drop in (drop for step in self.steps for drop in step.plan(total)):
            drops.append(replace(drop, left=min(drop.left, drops[-1].left if drops else total)))
        return tuple(drops)

    def vision_reads(self) -> VisionReads:
        """See `Method.vision_reads`: what all steps read."""
        asked = [step.vision_reads() for step in self.steps]
        return VisionReads(
            tuple(sorted({block for one in asked for block in one.states})),
            tuple(sorted({block for one in asked for block in one.attention})),
        )

    def conditions(self) -> tuple[int, ...]:
        """See `Method.conditions`: those of the first step that has any."""
        return next((step.conditions() for step in self.steps if step.conditions()), ())

    def with_budget(self, **budget: Any) -> Self:
        """The same cascade with another budget of its last step."""
        return replace(self, steps=(*self.steps[:-1], self.steps[-1].with_budget(**budget)))

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Every step chooses among what the steps before it have left."""
        flops, words = 0, prompt_length - total
        for step in self.steps:
            flops += step.selector_flops(shape, words + total, total)
            total = min([total, *(drop.left for drop in step.plan(total)[-1:])])
        return flops


def check_depth(name: str, depth: int, model: LoadedModel, least: int) -> None:
    """Raise a GlimpseError for a layer number that the model does not have or the method cannot use.

    Args:
        name: of the option.
        depth: its value; as many layers run before tokens are dropped.
        model: whose layers.
        least: the smallest value that the method can use.
    """
    layers = model.backbone.layers
    if not (isinstance(depth, int) and least <= depth <= layers):
        raise GlimpseError(f"{name} is {depth!r}. Expected a layer of this model: choose from {least} to {layers}.")
