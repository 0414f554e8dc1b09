"""The supervised glimpse stage: the base frozen, glimpse vectors and VIP trained with the published losses.

Several choices of K can be trained in one run: the frozen base's work on an image is the same for all of them. Each
has its own weights, optimizer and folder, and learns exactly what it would learn alone.

OUT holds, for one K, `config.json` and `glimpse.safetensors`; for several, a folder `layer-K` with these for each.
Beside them `log.jsonl` (one line per K and interval) and `state.pt`, from which a run is resumed. Files are replaced
whole, so that an interrupted run leaves none half written.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, GlimpseModules, LoadedModel, with_modules
from glimpse_core.models import checkpoint
from glimpse_core.training.glimpse.collate import FrozenImages
from glimpse_core.training.glimpse.forward import Frozen, Supervised, losses, supervised_after
from glimpse_core.training.losses import LossWeights
from glimpse_core.training.process_group import ALONE, ProcessGroup
from glimpse_core.types import GlimpseConfig

STATE, LOG = "state.pt", "log.jsonl"


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, except for the model and the data.

    Attributes:
        steps: optimizer steps.
        minutes: the schedule follows the clock instead, and `steps` is only the limit. None: it follows the steps.
        batch: images per step, one forward pass each.
        learning_rate: the peak, followed by a half cosine down to 0.
        warmup: share of the run in which the learning rate rises to the peak.
        clip: largest norm of the gradients.
        seed: of initialization and dropout.
        bf16: compute the VIP's matrix products in bfloat16; its weights stay float32.
        weights: of the losses.
        log_every, save_every: steps.
        recompute: run the decoder's layers again in the backward pass, for less memory (gradient checkpointing).
    """

    steps: int
    minutes: float | None = None
    batch: int = 8
    learning_rate: float = 1e-4
    warmup: float = 0.1
    clip: float = 1.0
    seed: int = 0
    bf16: bool = False
    weights: LossWeights = field(default_factory=LossWeights)
    log_every: int = 10
    save_every: int = 100
    recompute: bool = False


def learning_rate(progress: float, peak: float, warmup: float) -> float:
    """Return the learning rate: a linear warm-up, then a half cosine.

    Args:
        progress: share of the run that is done, 0..1.
        peak: largest learning rate.
        warmup: share of the run in which it is reached.
    """
    if progress < warmup:
        return peak * progress / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / max(1e-9, 1 - warmup))))


@dataclass
class Trainee:
    """Glimpse modules in training, with their optimizer and folder."""

    model: GlimpseModel
    optimizer: torch.optim.Optimizer
    folder: Path
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def layer(self) -> int:
        """K, the layer after which tokens are dropped."""
        return self.model.config.keep_layer

    @property
    def modules(self) -> nn.ModuleDict:
        """The trained modules, by their names in a state dict."""
        return nn.ModuleDict({"glimpse": self.model.glimpse, "vip": self.model.vip})

    def learn(self, frozen: Frozen, settings: Settings) -> None:
        """Add the gradients of one image, and note its losses."""
        outputs = supervised_after(self.model, frozen, settings.bf16, settings.recompute)
        found = losses(outputs, frozen.targets, settings.weights)
        (found.total / settings.batch).backward()
        dice, bce = found.parts.dice[-1], found.parts.bce[-1]
        for name, loss in {"total": found.total, "answer": found.answer, "dice": dice, "bce": bce}.items():
            self.sums[name] += float(loss.detach())
        for name, value in mask_quality(outputs, frozen.targets).items():
            self.sums[name] += value
        self.sums["images"] += 1

    def step(self, rate: float, clip: float, process_group: ProcessGroup) -> None:
        """Take an optimizer step with the gradients of all processes, and clear them."""
        process_group.add(gradients(self.modules) if process_group.size > 1 else ())
        nn.utils.clip_grad_norm_(self.modules.parameters(), clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def means(self, process_group: ProcessGroup) -> dict[str, float]:
        """Return averages since the last call, over all processes."""
        found, self.sums = self.sums, defaultdict(float)
        values = torch.tensor(list(found.values()), dtype=torch.float64, device=process_group.device)
        process_group.add([values])
        sums = dict(zip(found, values.tolist(), strict=True))
        counts = {"recall": sums.pop("with_evidence", 0.0)}
        images = sums.pop("images")
        return {name: value / max(counts.get(name, images), 1e-9) for name, value in sums.items()}

    def save(self) -> None:
        """Write the folder's two files, each replaced in one go."""
        part = self.folder / ".partial"
        checkpoint.save(part, self.model.config, self.model.glimpse, self.model.vip, self.model.backbone)
        for file in sorted(part.iterdir()):
            os.replace(file, self.folder / file.name)
        part.rmdir()


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


def mask_quality(outputs: Supervised, targets: tuple[Tensor, ...]) -> dict[str, float]:
    """Return measures of the masks at threshold 0.5.

    Returns:
        kept: share of tokens kept, mean over questions. target: share of tokens in the target, mean over questions.
        recall: share of the target that is kept, summed over questions with evidence. with_evidence: number of these.
    """
    kept = [mask[-1].detach() > 0 for mask in outputs.masks]
    recalls = [float(k[t].float().mean()) for k, t in zip(kept, targets, strict=True) if bool(t.any())]
    return {
        "kept": sum(float(k.float().mean()) for k in kept) / len(kept),
        "target": sum(float(t.float().mean()) for t in targets) / len(targets),
        "recall": sum(recalls),
        "with_evidence": len(recalls),
    }


def reading(tensors: dict[str, Tensor], before: Sequence[int], now: Sequence[int]) -> dict[str, Tensor]:
    """Return the tensors of modules that read the layers `before`, changed for the layers `now`.

    Layers that were not read before get weights of 0.
    """
    name = "vip.attention_in.weight"  # (vip size, layers * heads)
    columns = dict(zip(before, tensors[name].chunk(len(before), dim=1), strict=True))
    nothing = torch.zeros_like(columns[before[0]])
    return tensors | {name: torch.cat([columns.get(layer, nothing) for layer in now], dim=1)}


def gradients(modules: nn.Module) -> list[Tensor]:
    """Return the gradients of all parameters; missing ones are set to 0, so that every process has the same."""
    found: list[Tensor] = []
    for parameter in modules.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        found.append(parameter.grad)
    return found


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
