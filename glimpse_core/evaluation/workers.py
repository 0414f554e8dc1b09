"""Indices in, results out, in order: in this process, or from worker processes of one thread each.

Ctrl-C reaches only the parent, which ends the workers; what has been handed out by then is complete.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

_loaded: Any = None  # of a worker process, set once when it starts


def each(
    do: Callable[[Any, int], Any], indices: Sequence[int], load: Callable[[], Any], loaded: Any, processes: int
) -> Iterator[Any]:
    """Yield `do(loaded, index)` for every index, in order.

    Args:
        do: must be picklable, as `load`, where there are several processes.
        load: called by each worker process for its own `loaded`.
        loaded: what `load` returns, used in this process.
        processes: 1 works in this process.
    """
    if processes <= 1 or len(indices) < 2:
        yield from (do(loaded, index) for index in indices)
        return
    with multiprocessing.get_context("spawn").Pool(processes, _start, (load,)) as pool:
        yield from pool.imap(partial(_do, do), indices)
        # Leaving the block kills the workers; those that end by themselves put their locks (tqdm's, say) away.
        pool.close()
        pool.join()


def _start(load: Callable[[], Any]) -> None:
    global _loaded
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _loaded = load()


def _do(do: Callable[[Any, int], Any], index: int) -> Any:
    return do(_loaded, index)
