"""Work that several pruners of one question have in common, done once and handed along.

    shared = SharedWork(model, prompt, vision)
    results = [pruner(prompt, vision, shared) for pruner in pruners]

Results equal those of pruners that share nothing. Whoever holds the object decides how long its results live.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from glimpse_core.engine.prefix import fork
from glimpse_core.types import Prefix, Prompt, Vision, VisionReadings, VisionReads

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel

Result = TypeVar("Result")


class Results:
    """Results by name, each computed at most once; a thread that asks for one in progress waits for it.

    Results are shared, so they must not be changed: fork a prefix before going on from it.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}
        self._prefixes: dict[int, Prefix] = {}
        self._lock = RLock()  # reentrant: one result may be made of others

    def once(self, name: Hashable, work: Callable[[], Result]) -> Result:
        """The result called `name`; the first call makes it by `work()`, which must depend on the name alone."""
        with self._lock:
            if name not in self._found:
                self._found[name] = work()
            return self._found[name]

    def prefix(self, depth: int, start: Callable[[], Prefix], run: Callable[[Prefix], Prefix]) -> Prefix:
        """The tokens stopped before layer `depth`, reached from the deepest known stop that is not deeper.

        Args:
            depth: decoder layers that have run.
            start: gives a stop at or above `depth`; called if none is known.
            run: runs the layers up to `depth` from a stop.

        Returns:
            A fork, with which the caller may go on.
        """
        with self._lock:
            if depth not in self._prefixes:
                nearest = max((stop for stop in self._prefixes if stop < depth), default=None)
                self._prefixes[depth] = run(start() if nearest is None else fork(self._prefixes[nearest]))
            return fork(self._prefixes[depth])


@dataclass(frozen=True)
class SharedWork:
    """What the pruners of one question share: hand the same object to each of them. Threads may do so at a time.

    Attributes:
        model: that of every pruner that gets this object.
        prompt: the question.
        vision: what the vision tower gave for it. None: the images have not been seen, and only methods that never
            look at them (`Method.blind`) can share work.
        readings: what was read inside the vision tower beyond `vision`.
        whole: results for the prompt with all of its tokens. A method that has dropped some is handed others
            (`Live.results`).
    """

    model: GlimpseModel
    prompt: Prompt
    vision: Vision | None
    readings: Results = field(default_factory=Results)
    whole: Results = field(default_factory=Results)

    def check(self, model: GlimpseModel, prompt: Prompt, vision: Vision | None) -> None:
        """Raise a ValueError if these are not the model, the prompt and (unless None) the vision of this object."""
        if model is not self.model or prompt is not self.prompt or (vision is not None and vision is not self.vision):
            raise ValueError("the shared work belongs to another model, prompt or vision: make one for each question")

    def vision_readings(self, reads: VisionReads) -> VisionReadings:
        """What `reads` names from inside the vision tower. Runs the tower again if `vision` came without it."""
        have = self.vision.readings
        if {*reads.states} <= have.states.keys() and {*reads.attention} <= have.attention.keys():
            return have
        return self.readings.once(reads, lambda: self.model.backbone.encode_images(self.prompt, (), reads).readings)

    def conditioned(self, layers: tuple[int, ...]) -> Vision:
        """`vision` with the states of these layers for the predictor. Runs the tower again if it came without them."""
        if len(self.vision.conditions) == len(layers):
            return self.vision
        return self.readings.once(layers, lambda: self.model.backbone.encode_images(self.prompt, layers))
