"""Several processes that train one model, each on its own device, or one process alone.

Every process learns from its share of the images; gradients and sums are added up over all of them, so that any
number of processes takes the same steps, up to rounding. Start them with `accelerate launch` or `torchrun`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, as one of them sees them."""

    rank: int = 0  # number of this process, from 0
    size: int = 1  # number of processes
    device: torch.device | None = None  # of this process; None: not assigned

    @property
    def leads(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def mine(self, start: int, stop: int) -> range:
        """Return the indices from start to stop - 1 that this process works on: every `size`-th."""
        return range(start + (self.rank - start) % self.size, stop, self.size)

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)

    def wait(self) -> None:
        """Wait until all processes have come to this point."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = ProcessGroup()


def join(device: str = "auto") -> ProcessGroup:
    """Join the group that a launcher has started this process in; alone, if none has.

    Args:
        device: "cpu" uses no GPU; anything else uses the one that the launcher assigns.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    return ProcessGroup(state.process_index, state.num_processes, state.device)
