"""What is trained in a run: glimpse modules with their optimizer, and the settings of the run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.models import checkpoint
from glimpse_core.training.glimpse.forward import Supervised, losses, supervised_after
from glimpse_core.training.glimpse.frozen import Frozen
from glimpse_core.training.losses import LossWeights
from glimpse_core.training.process_group import ProcessGroup


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
        found = losses(outputs, frozen.targets, settings.weights, frozen.grades)
        (found.total / settings.batch).backward()
        dice, bce = found.parts.dice[-1], found.parts.bce[-1]
        named = {"total": found.total, "answer": found.answer, "dice": dice, "bce": bce, "order": found.order}
        for name, loss in named.items():
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
