"""The supervised glimpse stage: the base frozen, glimpse vectors and VIP trained with the published losses.

Several choices of K can be trained in one run: the frozen base's work on an image is the same for all of them. Each
has its own weights, optimizer and folder, and learns exactly what it would learn alone.

OUT holds, for one K, `config.json` and `glimpse.safetensors`; for several, a folder `layer-K` with these for each.
Beside them `log.jsonl` (one line per K and interval) and `state.pt`, from which a run is resumed. Files are replaced
whole, so that an interrupted run leaves none half written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModules, LoadedModel, with_modules
from glimpse_core.models import checkpoint
from glimpse_core.training.glimpse.collate import FrozenImages
from glimpse_core.training.glimpse.frozen import Frozen
from glimpse_core.training.glimpse.trainee import Settings, Trainee, reading
from glimpse_core.training.process_group import ALONE, ProcessGroup
from glimpse_core.training.schedule import learning_rate
from glimpse_core.types import GlimpseConfig

STATE, LOG = "state.pt", "log.jsonl"


def _check_group(process_group: ProcessGroup, settings: Settings) -> None:
    if process_group.size > 1 and settings.minutes is not None:
        raise GlimpseError(
            f"--minutes is given for {process_group.size} processes, whose clocks differ. Expected --steps: give it "
            "instead."
        )
    if process_group.size > settings.batch:
        raise GlimpseError(
            f"--batch is {settings.batch}. Expected at least one image for each of {process_group.size} processes: "
            "raise it."
        )


class GlimpseTrainer:
    """A run: the modules in training, and the folder they are saved in.

    A step is `settings.batch` images, one after the other, their gradients added up; a process group shares them out.
    """

    def __init__(
        self,
        out: Path,
        base: LoadedModel,
        configs: list[GlimpseConfig],
        data: FrozenImages,
        settings: Settings,
        process_group: ProcessGroup = ALONE,
    ) -> None:
        """Create the modules to train.

        Args:
            out: folder of the run.
            base: the frozen base model.
            configs: one per K.
            data: frozen images by index.
            settings: of the run.
            process_group: the processes that share the work.

        Raises:
            GlimpseError: settings and processes do not fit, or a K is given twice.
        """
        _check_group(process_group, settings)
        layers = [config.keep_layer for config in configs]
        if len(set(layers)) < len(layers):
            raise GlimpseError(f"The layers to train are {layers}. Expected different ones: name each of them once.")
        self.out, self.data, self.settings, self.process_group = Path(out), data, settings, process_group
        self.trainees: list[Trainee] = []
        for config in configs:
            torch.manual_seed(settings.seed)
            glimpse, vip = checkpoint.create(config, base.backbone)
            model = with_modules(base, GlimpseModules(config, glimpse.train(), vip.train()))
            folder = self.out if len(configs) == 1 else self.out / f"layer-{config.keep_layer}"
            folder.mkdir(parents=True, exist_ok=True)
            parameters = [*glimpse.parameters(), *vip.parameters()]
            optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
            self.trainees.append(Trainee(model, optimizer, folder))
        self.done, self.elapsed = 0, 0.0

    def start_from(self, folder: Path) -> None:
        """Begin with the modules of a folder in either format, with a schedule of its own.

        A layer that they did not read has weights of 0 at first, so that their outputs are unchanged.
        """
        config, tensors = checkpoint.read(folder, self.data.model.backbone)
        for trainee in self.trainees:
            trainee.modules.load_state_dict(reading(tensors, config.read_layers, trainee.model.config.read_layers))

    def progress(self) -> float:
        """Return the share of the run that is done, by steps or by the clock."""
        shares = [self.done / self.settings.steps]
        if self.settings.minutes is not None:
            shares.append(self.elapsed / (60 * self.settings.minutes))
        return min(1.0, max(shares))

    def train(self, workers: int = 0, progress: Callable[[str], None] = print) -> None:
        """Run to the end of the schedule. The state is also written if the run is interrupted.

        Args:
            workers: processes that run the base. 0: it runs in this process.
            progress: called with each line of the log.
        """
        batch = self.settings.batch
        images = self.data.stream(self.done * batch, self.settings.steps * batch, workers, self.process_group)
        try:
            while self.progress() < 1:
                self._step(images)
                if self.done % self.settings.log_every == 0 or self.progress() == 1:
                    self._report(progress)
                if self.done % self.settings.save_every == 0:
                    self.save()
        finally:
            self.save()
        self.process_group.wait()

    def _step(self, images: Iterator[Frozen]) -> None:
        began = time.perf_counter()
        own = 1 / self.settings.steps if self.settings.minutes is None else 0.0  # the first step has a rate above 0
        rate = learning_rate(self.progress() + own, self.settings.learning_rate, self.settings.warmup)
        for index in self.process_group.mine(self.done * self.settings.batch, (self.done + 1) * self.settings.batch):
            frozen = next(images)
            for trainee in self.trainees:
                torch.manual_seed(self.settings.seed + 1 + index)  # dropout: the same alone, beside others, and resumed
                trainee.learn(frozen, self.settings)
        for trainee in self.trainees:
            trainee.step(rate, self.settings.clip, self.process_group)
            trainee.sums["rate"] = rate * trainee.sums["images"]
        self.done += 1
        self.elapsed += time.perf_counter() - began

    def _report(self, progress: Callable[[str], None]) -> None:
        means = [trainee.means(self.process_group) for trainee in self.trainees]
        if not self.process_group.leads:
            return
        share = self.progress()
        left = self.elapsed * (1 - share) / max(share, 1e-9)
        progress(f"step {self.done}  {share:.0%} done  {self.elapsed / 60:.1f} min, {left / 60:.1f} min left")
        with (self.out / LOG).open("a") as log:
            for trainee, found in zip(self.trainees, means, strict=True):
                line = {"step": self.done, "layer": trainee.layer, "seconds": round(self.elapsed, 1)}
                line |= {name: float(f"{value:.6g}") for name, value in found.items()}
                log.write(json.dumps(line) + "\n")
                parts = ("answer", "dice", "bce", "kept", "target", "recall")
                progress(f"  K {trainee.layer}: " + "  ".join(f"{name} {found[name]:.4f}" for name in parts))

    def _identity(self) -> dict[str, Any]:
        """Return what must not change between a run and its continuation, as JSON values."""
        free = ("minutes", "log_every", "save_every", "recompute")
        settings = {name: value for name, value in asdict(self.settings).items() if name not in free}
        configs = [json.loads(json.dumps(asdict(trainee.model.config))) for trainee in self.trainees]
        return {**settings, "configs": configs, "data": self.data.source.identity}

    def save(self) -> None:
        """Write modules and state, once for a process group. An interrupted write leaves the previous files."""
        if not self.process_group.leads:
            return
        for trainee in self.trainees:
            trainee.save()
        state = {
            "identity": self._identity(),
            "done": self.done,
            "elapsed": self.elapsed,
            "modules": [trainee.modules.state_dict() for trainee in self.trainees],
            "optimizers": [trainee.optimizer.state_dict() for trainee in self.trainees],
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
        state = torch.load(path, map_location=self.data.model.device, weights_only=True)
        was, now = state["identity"], self._identity()
        changed = [f"{name} was {was.get(name)!r}, is {now[name]!r}" for name in now if was.get(name) != now[name]]
        if changed:
            raise GlimpseError(
                f"The run in {self.out} had other options: {'; '.join(changed)}. Expected the same: give these again, "
                "or name another folder."
            )
        for trainee, modules, optimizer in zip(self.trainees, state["modules"], state["optimizers"], strict=True):
            trainee.modules.load_state_dict(modules)
            trainee.optimizer.load_state_dict(optimizer)
        self.done, self.elapsed = state["done"], state["elapsed"]
