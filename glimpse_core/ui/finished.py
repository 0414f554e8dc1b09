"""Finished benchmark runs of this process, by names that cannot be guessed: what a reload of the page shows again.

A run has a folder of files. It goes when the run does, or was not kept, and at the latest with the process.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glimpse_core.evaluation.benchmark import Progress

MOST = 16  # runs that are kept
AGE = 3600.0  # seconds after which a run is let go, as Gradio does with its files


@dataclass
class Run:
    """A finished run, its folder, and when it ended."""

    progress: Progress
    folder: Path
    ended: float


class Folder:
    """The folder of a run that is under way. `keep` hands it over to the finished ones."""

    def __init__(self, path: Path, keep: Callable[[Progress], str]) -> None:
        self.path, self.keep = path, keep


class Finished:
    """The last runs that ended, of all visitors. clock: seconds, for tests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()
        self._clock = clock
        self._root = Path(tempfile.mkdtemp(prefix="glimpse-benchmark-"))
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)

    @contextmanager
    def folder(self) -> Iterator[Folder]:
        """An empty folder for a run, deleted at the end of the block unless the run was kept."""
        path, kept = Path(tempfile.mkdtemp(dir=self._root)), []

        def keep(progress: Progress) -> str:
            kept.append(progress)
            return self._add(Run(progress, path, self._clock()))

        try:
            yield Folder(path, keep)
        finally:
            if not kept:
                shutil.rmtree(path, ignore_errors=True)

    def get(self, name: Any) -> Progress | None:
        """The run of this name; None for one that is not, or no longer, there."""
        with self._lock:
            self._forget()
            run = self._runs.get(name) if isinstance(name, str) else None
            return run.progress if run else None

    def _add(self, run: Run) -> str:
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._runs[name] = run
            self._forget()
        return name

    def _forget(self) -> None:
        now = self._clock()
        while self._runs and (len(self._runs) > MOST or now - next(iter(self._runs.values())).ended > AGE):
            _, run = self._runs.popitem(last=False)
            shutil.rmtree(run.folder, ignore_errors=True)
