"""The optimizers of the demo base: Muon for the matrices of the blocks, AdamW for everything else."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from glimpse_core.training.demo_base.recipe import Recipe

BLOCKS = (".visual.blocks.", ".visual.merger.mlp.", ".language_model.layers.")  # in names of a Qwen2.5-VL's parameters


class Optimizer:
    """Both optimizers as one."""

    def __init__(self, model: nn.Module, heads: nn.Module, recipe: Recipe) -> None:
        """Create the optimizers without any state.

        Args:
            model: the demo base model.
            heads: the heads that are trained with it.
            recipe: learning rates and weight decays.
        """
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and any(part in name for part in BLOCKS)]
        taken = {id(parameter) for parameter in matrices}
        others = [p for p in (*model.parameters(), *heads.parameters()) if id(p) not in taken]
        groups = [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=recipe.matrix_rate, weight_decay=recipe.matrix_decay),
            torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98), fused=True),
        )
        self.peaks = (recipe.matrix_rate, recipe.rate)

    def step(self, share: float) -> None:
        """Take a step with the gradients that there are, and clear them. share: of the peak learning rates."""
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * share
            part.step()
            part.zero_grad(set_to_none=True)

    def take_over(self, other: "Optimizer", pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take the state of another one. pairs: own parameters, each with the other's parameter that it was."""
        for parameter, old in pairs:
            for mine, theirs in zip(self.parts, other.parts, strict=True):
                if old in theirs.state:
                    mine.state[parameter] = theirs.state[old]

    def moment(self, parameter: Tensor) -> Tensor | None:
        """Return the averaged gradient of a parameter; None before its first step."""
        for part in self.parts:
            if parameter in part.state:
                state = part.state[parameter]
                found: Tensor = state["momentum_buffer"] if "momentum_buffer" in state else state["exp_avg"]
                return found
        return None

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of both."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take the states of `state_dict`."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
