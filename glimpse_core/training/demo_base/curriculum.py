"""The curriculum of the demo base model: sizes of the images and numbers of objects, by the progress of the run."""

from dataclasses import dataclass

from glimpse_core.world.scene import SIDES


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum."""

    until: float  # share of the whole run at which it ends
    sides: tuple[int, ...]  # of the images, in pixels
    objects: tuple[int, int]  # least and largest number of objects
    dense_only: bool = False  # train the vision tower alone, on what lies under each visual token


CURRICULUM: tuple[Stage, ...] = (
    Stage(0.10, SIDES[:3], (3, 6), dense_only=True),
    Stage(0.65, SIDES[:3], (3, 6)),
    Stage(0.80, SIDES[:5], (3, 9)),
    Stage(1.01, SIDES, (3, 14)),
)

FURTHER: tuple[Stage, ...] = (Stage(1.01, SIDES, (3, 14)),)  # for weights that were trained on these images before


def stage_at(progress: float, curriculum: tuple[Stage, ...] = CURRICULUM) -> Stage:
    """Return the stage of the curriculum at a share of the run, 0..1."""
    return next(stage for stage in curriculum if progress < stage.until)
