"""Work that several pruners of one question have in common, done once and handed along.

    shared = SharedWork(model, prompt, vision)
    results = [pruner(prompt, vision, shared) for pruner in pruners]

Results equal those of pruners that share nothing. The holder of the object decides how long its results live.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from glimpse_core.engine.prefix import fork
from glimpse_core.types import Prefix, Prompt, Vision, VisionReadings, VisionReads

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import LoadedModel

Result = TypeVar("Result")


class Results:
    """Results by name, each computed at most once; a thread that asks for one in progress waits for it.

    Results are shared, so they must not be changed: fork a prefix before continuing it.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}
        self._prefixes: dict[int, Prefix] = {}
        self._lock = RLock()  # reentrant: computing one result may need others

    def once(self, name: Hashable, work: Callable[[], Result]) -> Result:
        """The result called `name`; the first call computes it by `work()`, which must depend on the name alone."""
        with self._lock:
            if name not in self._found:
                self._found[name] = work()
            found: Result = self._found[name]
            return found

    def prefix(self, depth: int, start: Callable[[], Prefix], run: Callable[[Prefix], Prefix]) -> Prefix:
        """The tokens stopped before layer `depth`, continued from the deepest known stop that is not deeper.

        Args:
            depth: decoder layers that have run.
            start: gives a stop at or above `depth`; called if none is known.
            run: runs the layers up to `depth` from a stop.

        Returns:
            A fork, which the caller may continue.
        """
        with self._lock:
            if depth not in self._prefixes:
                nearest = max((stop for stop in self._prefixes if stop < depth), default=None)
                self._prefixes[depth] = run(start() if nearest is None else fork(self._prefixes[nearest]))
            return fork(self._prefixes[depth])


@dataclass(frozen=True)
class SharedWork:
    """What the pruners of one question share: hand the same object to each of them, from any thread.

    Attributes:
        model: that of every pruner that gets this object.
        prompt: the question.
        vision: what the vision tower gave for it; None: the images were not encoded, and only methods that never look
            at them (`Method.blind`) can share work.
        readings: results read inside the vision tower beyond `vision`.
        whole: results for the prompt with all of its tokens. A method that has dropped some shares others
            (`PruningState.results`).
    """

    model: LoadedModel
    prompt: Prompt
    vision: Vision | None
    readings: Results = field(default_factory=Results)
    whole: Results = field(default_factory=Results)

    def check(self, model: LoadedModel, prompt: Prompt, vision: Vision | None) -> None:
        """Raise a ValueError if these are not the model, the prompt and (unless None) the vision of this object."""
        if model is not self.model or prompt is not self.prompt or (vision is not None and vision is not self.vision):
            raise ValueError(
                "The shared work belongs to another model, prompt or vision. Expected one for each question: make it "
                "anew."
            )

    def require_vision(self) -> Vision:
        """`vision`. Raises a ValueError where the images were not encoded, which is a mistake in the method."""
        if self.vision is None:
            raise ValueError(
                "The images were not encoded, and this method reads them. Expected encoded ones: its `blind` must be "
                "False."
            )
        return self.vision

    def vision_readings(self, reads: VisionReads) -> VisionReadings:
        """What `reads` names from inside the vision tower. Runs the tower again if `vision` came without it."""
        have = self.require_vision().readings
        if {*reads.states} <= have.states.keys() and {*reads.attention} <= have.attention.keys():
            return have
        return self.readings.once(reads, lambda: self.model.backbone.encode_images(self.prompt, (), reads).readings)

    def conditioned(self, layers: tuple[int, ...]) -> Vision:
        """`vision` with the states of these layers for the predictor. Runs the tower again if it came without them."""
        vision = self.require_vision()
        if len(vision.conditions) == len(layers):
            return vision
        return self.readings.once(layers, lambda: self.model.backbone.encode_images(self.prompt, layers))
