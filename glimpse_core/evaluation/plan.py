"""What a comparison is, completely: everything that could change a result, and nothing else.

Question i of a plan depends on the plan and i alone, so workers, shards, order and interruptions change nothing.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.cells import Cell, Maker, check_cells
from glimpse_core.evaluation.fingerprint import fingerprint
from glimpse_core.evaluation.metrics import METRICS, Judge, Metric
from glimpse_core.evaluation.tasks import Item, Task, open_task
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel
from glimpse_core.models import catalog
from glimpse_core.pruners import Cascade
from glimpse_core.pruners.build import Match, Policy
from glimpse_core.types import Prompt, Selection, VisionReads


@dataclass(frozen=True)
class Plan:
    """A comparison of cells on the questions of a task.

    Attributes:
        model, glimpse, keep_layer, adapter, merge, dtype, device, attn: as `catalog.load` takes them.
        task, count, seed, by_group: as `open_task` takes them.
        cells: what is compared; the reference must be among them.
        selection: of the adaptive method at the dynamic budget.
        match, policy: see `pruners.build`.
        metric: None takes the task's own.
        judge: address, model, and name of the environment variable with the key.
        suffix: text after every question; None takes the task's own.
        max_new_tokens: most tokens of an answer.
        together: answers decoded in one batch, at most.
        first_draw: added to a question's index, where a method draws at random.
    """

    model: str
    task: str
    cells: tuple[Cell, ...]
    count: int | None = None
    seed: int | None = None
    by_group: bool = False
    glimpse: str | None = None
    selection: Selection = field(default_factory=Selection)
    match: Match = "final"
    policy: Policy = "published"
    metric: str | None = None
    judge: tuple[str, str, str] | None = None
    suffix: str | None = None
    max_new_tokens: int = 200
    dtype: str = "auto"
    device: str = "auto"
    attn: str = "auto"
    together: int = 64
    first_draw: int = 0
    adapter: str | None = None
    merge: bool = True
    keep_layer: int | None = None

    def load(self) -> Loaded:
        """Load model, task and metric. Raises GlimpseError for what cannot be evaluated."""
        task = open_task(self.task, self.count, self.seed, self.by_group)
        how: dict[str, Any] = {"dtype": self.dtype, "device": self.device, "attn": self.attn}
        how |= {"adapter": self.adapter, "merge": self.merge, "keep_layer": self.keep_layer}
        model = catalog.load(self.model, glimpse=self.glimpse, **how)
        return self.on(model, task)

    def on(self, model: LoadedModel, task: Task) -> Loaded:
        """Put the plan on a model and a task that are loaded already. Raises GlimpseError as `load` does."""
        model.require_processor()
        check_cells(self.cells, model)
        return Loaded(self, model, task, self._metric(task))

    def _metric(self, task: Task) -> Metric:
        name = self.metric or task.metric
        if name == Judge.name:
            if self.judge is None:
                raise GlimpseError("The judge has no address. Expected one: give --judge-url and --judge-model.")
            url, model, variable = self.judge
            return Judge(url, model, os.environ.get(variable))
        if name not in METRICS:
            raise GlimpseError(f"The metric is {name!r}. Expected one of {', '.join([*METRICS, Judge.name])}.")
        return METRICS[name]()


@dataclass(frozen=True)
class Loaded:
    """A plan with what it names."""

    plan: Plan
    model: LoadedModel
    task: Task
    metric: Metric

    def prompt(self, item: Item) -> Prompt:
        """Make the prompt of a question."""
        processor = self.model.require_processor()
        return processor.prompt(self.model.backbone, [item.image()], item.question + self.suffix)

    @cached_property
    def maker(self) -> Maker:
        """Makes the pruners of a question by the settings of the plan."""
        plan = self.plan
        return Maker(self.model, plan.selection, plan.match, plan.policy, plan.first_draw)

    @cached_property
    def vision_reads(self) -> tuple[tuple[int, ...], VisionReads]:
        """What all cells together read from the vision tower, so that it runs once per question."""
        methods = dict.fromkeys(cell.name for cell in self.plan.cells)
        every = Cascade(self.model, tuple(pruners.build(method, self.model) for method in methods))
        layers = self.model.config.vision_layers if isinstance(self.model, GlimpseModel) else ()
        return layers, every.vision_reads()

    @property
    def suffix(self) -> str:
        """Text after each question: the plan's, or the task's where the plan says nothing."""
        return self.task.suffix if self.plan.suffix is None else self.plan.suffix

    def header(self) -> dict[str, Any]:
        """Describe the run for the first line of its results: equal headers mean that results belong together."""
        plan = asdict(self.plan) | {"cells": [asdict(cell) for cell in self.plan.cells], "judge": None}
        plan["suffix"], plan["dtype"] = self.suffix, str(self.model.dtype).removeprefix("torch.")
        plan["device"], plan["attn"] = self.model.device.type, self.model.attn
        if not plan["first_draw"]:  # runs that are older than this field can be resumed
            del plan["first_draw"]
        if self.plan.adapter is None:  # likewise
            del plan["adapter"], plan["merge"]
        if self.plan.keep_layer is None:
            del plan["keep_layer"]
        return {
            "plan": plan,
            "task": self.task.origin(),
            "groups": {name: list(types) for name, types in self.task.groups.items()},
            "metric": self.metric.settings(),
            "weights": fingerprint(self.model),
            **({} if self.model.trained else {"scores": self.model.scored_by}),
            "keep_layer": self.model.keep_layer,
            "layers": self.model.backbone.layers,
        }
