"""A run of GlimpsePrune+: steps, log, state, and the folder of the adapter.

OUT holds `adapter_config.json` and `adapter_model.safetensors`; beside them `log.jsonl` (one line per interval) and
`state.pt`, from which a run is resumed. Files are replaced whole, so that an interrupted run leaves none half written.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glimpse_core.errors import GlimpseError
from glimpse_core.training.plus.learner import Lesson, Progress, Settings, add_gradients, learn
from glimpse_core.training.plus.prompts import Prompts
from glimpse_core.training.plus.rewards import Reward
from glimpse_core.training.process_group import ALONE, ProcessGroup
from glimpse_core.training.schedule import learning_rate

STATE, LOG = "state.pt", "log.jsonl"


def check(settings: Settings, process_group: ProcessGroup) -> None:
    """Raise GlimpseError for settings that are not possible."""
    if settings.group < 2:
        raise GlimpseError(f"--group is {settings.group}. Expected at least 2 answers, which are compared.")
    if settings.limit < 1 or settings.batch < 1 or settings.steps < 1:
        raise GlimpseError(
            f"--max-new-tokens is {settings.limit}, --batch {settings.batch}, --steps {settings.steps}. Expected at "
            "least 1 each."
        )
    if process_group.size > settings.batch:
        raise GlimpseError(
            f"--batch is {settings.batch}. Expected at least one prompt for each of {process_group.size} processes: "
            "raise it."
        )


class PlusTrainer:
    """A run: an adapter in training, and the folder that it is saved in.

    A step is `settings.batch` prompts, one after the other, their gradients added up; a process group shares them out.
    """

    def __init__(
        self, out: Path, prompts: Prompts, reward: Reward, settings: Settings, process_group: ProcessGroup = ALONE
    ) -> None:
        """Prepare a run.

        Args:
            out: folder of the run.
            prompts: by index, with the model and its adapter.
            reward: of an answer.
            settings: of the run.
            process_group: the processes that share the work.

        Raises:
            GlimpseError: settings and processes do not fit.
        """
        check(settings, process_group)
        self.out, self.prompts, self.reward = Path(out), prompts, reward
        self.settings, self.process_group = settings, process_group
        self.weights = list(prompts.adapter.parameters.values())
        self.optimizer = torch.optim.AdamW(self.weights, lr=settings.learning_rate, weight_decay=0.0)
        self.done, self.elapsed = 0, 0.0
        self.sums: dict[str, float] = defaultdict(float)
        self.out.mkdir(parents=True, exist_ok=True)

    def train(self, progress: Progress = print, dump: Callable[[list[dict[str, Any]]], None] | None = None) -> None:
        """Run to the end of the schedule. The state is also written if the run is interrupted.

        Args:
            progress: called with each line of the log.
            dump: called with the first step's prompts (`Lesson.dump`) of this process, before the optimizer's step.
        """
        try:
            while self.done < self.settings.steps:
                lessons = self._step(progress, keep=dump is not None)
                if dump is not None:
                    dump([lesson.dump() for lesson in lessons])
                    dump = None
                last = self.done == self.settings.steps
                if self.done % self.settings.log_every == 0 or last:
                    self._report(progress)
                if self.done % self.settings.save_every == 0:
                    self.save()
        finally:
            self.save()
        self.process_group.wait()

    def _step(self, progress: Progress, keep: bool) -> list[Lesson]:
        began, batch, lessons = time.perf_counter(), self.settings.batch, []
        self.optimizer.zero_grad(set_to_none=False)
        for index in self.process_group.mine(self.done * batch, (self.done + 1) * batch):
            lesson = self._learn(index, progress)
            if lesson is not None:
                add_gradients(self.weights, lesson.gradients, 1 / batch)
                if keep:
                    lessons.append(lesson)
        self._update()
        self.done += 1
        self.elapsed += time.perf_counter() - began
        return lessons

    def _learn(self, index: int, progress: Progress) -> Lesson | None:
        """What prompt `index` teaches; None, with a message, where it takes more memory than there is."""
        image = self.prompts.read(index)
        try:
            lesson = learn(self.prompts, self.prompts.ask(image), index, self.reward, self.settings)
        except (torch.OutOfMemoryError, MemoryError):
            lesson = None
        if lesson is None:  # outside of the handler, whose traceback holds tensors
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            size = f"{image.image.width} x {image.image.height}"
            progress(f"prompt {index} (image of {size} pixels) left out: not enough memory; --gradient-checkpointing "
                     "takes less")  # fmt: skip
            self.sums["skipped"] += 1
            return None
        for name, value in lesson.figures().items():
            self.sums[name] += value
        self.sums["prompts"] += 1
        return lesson

    def _update(self) -> None:
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.process_group.add([weight.grad for weight in self.weights if weight.grad is not None])
        settings = self.settings
        nn.utils.clip_grad_norm_(self.weights, settings.clip)
        rate = learning_rate((self.done + 1) / settings.steps, settings.learning_rate, settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.sums["rate"] = rate

    def _report(self, progress: Progress) -> None:
        names = ("loss", "reward", "reward_std", "kl", "length", "kept", "entropy", "prompts", "skipped")
        rate, values = self.sums["rate"], torch.tensor([self.sums[name] for name in names], dtype=torch.float64)
        values = values.to(self.process_group.device)
        self.process_group.add([values])
        self.sums = defaultdict(float)
        found = dict(zip(names, values.tolist(), strict=True))
        count = found.pop("prompts")
        means = {name: value if name == "skipped" else value / max(count, 1) for name, value in found.items()}
        if not self.process_group.leads:
            return
        share = self.done / self.settings.steps
        left = self.elapsed * (1 - share) / share
        line = {"step": self.done, "seconds": round(self.elapsed, 1), "rate": rate, "prompts": int(count), **means}
        line = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in line.items()}
        with (self.out / LOG).open("a") as log:
            log.write(json.dumps(line) + "\n")
        shown = "  ".join(f"{name} {means[name]:.4f}" for name in ("reward", "kl", "length", "kept", "entropy"))
        progress(f"step {self.done}  {share:.0%} done  {self.elapsed / 60:.1f} min, {left / 60:.1f} min left  {shown}")

    def _identity(self) -> dict[str, Any]:
        """Return what must not change between a run and its continuation, as JSON values."""
        free = ("log_every", "save_every", "recompute")
        settings = {name: value for name, value in asdict(self.settings).items() if name not in free}
        prompts = self.prompts
        own = {"mask": prompts.mask, "depth": prompts.depth, "cap": prompts.cap, "data": prompts.source.identity}
        return {**settings, **own}

    def save(self) -> None:
        """Write adapter and state, once for a process group. An interrupted write leaves the previous files."""
        if not self.process_group.leads:
            return
        part = self.out / ".partial"
        self.prompts.adapter.save(part)
        for file in sorted(part.iterdir()):
            os.replace(file, self.out / file.name)
        part.rmdir()
        state = {
            "identity": self._identity(),
            "done": self.done,
            "elapsed": self.elapsed,
            "weights": [weight.detach() for weight in self.weights],
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, self.out / (STATE + ".partial"))
        os.replace(self.out / (STATE + ".partial"), self.out / STATE)

    def resume(self) -> None:
        """Continue the run in `out`.

        Raises:
            GlimpseError: there is none, or it was started with other settings.
        """
        path = self.out / STATE
        if not path.exists():
            raise GlimpseError(f"{self.out} has no run to resume. Expected {STATE} in it: leave out --resume to start.")
        state = torch.load(path, map_location=self.prompts.model.device, weights_only=True)
        was, now = state["identity"], self._identity()
        changed = [f"{name} was {was.get(name)!r}, is {now[name]!r}" for name in now if was.get(name) != now[name]]
        if changed:
            raise GlimpseError(
                f"The run in {self.out} had other options: {'; '.join(changed)}. Expected the same: give these again, "
                "or name another folder."
            )
        with torch.no_grad():
            for weight, saved in zip(self.weights, state["weights"], strict=True):
                weight.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.elapsed = state["done"], state["elapsed"]
