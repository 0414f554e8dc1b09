"""What a comparison found: one `Check` per tensor, one `Result` per case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-4  # of the scale of the expected numbers


@dataclass(frozen=True)
class Check:
    """One compared tensor. tolerance 0: must be equal, difference counts the places that are not."""

    name: str
    ok: bool
    difference: float
    tolerance: float
    message: str = ""


@dataclass
class Result:
    """What was compared in one case, filled by `equal` and `close`.

    Attributes:
        case: its name.
        checks: one per compared tensor.
        ignored: names of expected tensors that nothing was compared with.
    """

    case: str
    checks: list[Check] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether something was compared and everything agreed."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def equal(self, name: str, ours: Any, expected: Any) -> None:
        """Compare integers or masks exactly."""
        ours, expected = torch.as_tensor(ours), torch.as_tensor(expected)
        if ours.shape != expected.shape:
            self._add(name, False, float("inf"), 0.0, f"shape {tuple(ours.shape)}, expected {tuple(expected.shape)}")
            return
        wrong = int((ours != expected).sum())
        self._add(name, not wrong, wrong, 0.0, f"{wrong} of {expected.numel()} entries differ")

    def close(self, name: str, ours: Tensor, expected: Tensor, floor: float = 1.0) -> None:
        """Compare real numbers: within 1e-4 of the largest expected one, or of `floor`. Infinities must agree."""
        ours = torch.as_tensor(ours).detach().float()
        if ours.shape != expected.shape:
            self._add(
                name, False, float("inf"), TOLERANCE, f"shape {tuple(ours.shape)}, expected {tuple(expected.shape)}"
            )
            return
        infinite = ~expected.isfinite()
        agree = bool((ours.isfinite() == ~infinite).all()) and torch.equal(ours[infinite], expected[infinite])
        finite = expected[~infinite]
        difference = (ours[~infinite] - finite).abs().max().item() if finite.numel() else 0.0
        scale = max(finite.abs().max().item() if finite.numel() else 0.0, floor)
        tolerance = TOLERANCE * scale
        self._add(
            name,
            agree and difference <= tolerance,
            difference,
            tolerance,
            f"off by {difference:.2e}, allowed {tolerance:.2e}",
        )

    def _add(self, name: str, ok: bool, difference: float, tolerance: float, message: str) -> None:
        self.checks.append(Check(name, ok, difference, tolerance, "" if ok else message))
