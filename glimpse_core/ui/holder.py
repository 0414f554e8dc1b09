"""One model for the page, loaded in the background while visitors already look at it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Literal

from glimpse_core.errors import Cancelled, GlimpseError

log = logging.getLogger(__name__)
State = Literal["loading", "ready", "failed"]


class Holder:
    """Loads once, in a daemon thread. The loaded model is never changed, so every visitor may use it."""

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name = name
        self.title = name  # shown on the page; may be set while loading
        self.detail = "loading…"  # what is being loaded, shown on the page
        self._load = load
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.model: Any = None
        self.error: str | None = None

    @property
    def state(self) -> State:
        if not self._done.is_set():
            return "loading"
        return "failed" if self.error else "ready"

    def progress(self, stage: str) -> None:
        """What is being loaded; `catalog.load` calls this."""
        self.detail = f"loading: {stage}…"

    def start(self, background: bool = True) -> None:
        """Begin to load, unless that has happened before. Not in the background: returns when it is done."""
        if not background and not self._done.is_set():
            self._run()
        with self._lock:
            if self._thread is None and not self._done.is_set():
                self._thread = threading.Thread(target=self._run, name="glimpse-model-loader", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            self.model = self._load()
        except GlimpseError as error:
            log.error("%s was not loaded: %s", self.name, error)
            self.error = str(error)
        except Exception as error:  # whatever a library raises, the page must say it instead of waiting for ever
            log.exception("loading %s failed", self.name)
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self._done.set()

    def wait(self, cancel: threading.Event | None = None, timeout: float | None = None) -> Any:
        """The model, once it is there. Raises GlimpseError if loading failed, Cancelled if `cancel` is set first."""
        self.start()
        waited = 0.0
        while not self._done.wait(0.1):
            waited += 0.1
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped while the model was loading.")
            if timeout is not None and waited >= timeout:
                raise GlimpseError(
                    f"The model {self.name} was not ready after {timeout:.0f} seconds. Please try again later."
                )
        if self.error:
            raise GlimpseError(f"The model {self.name} could not be loaded. {self.error}")
        return self.model
