"""Qwen3-VL: as Qwen2.5-VL, but every temporal slice of a video is a block of its own after its time as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from glimpse_core.backbones.processors.qwen import QwenProcessor


@dataclass(frozen=True)
class Qwen3Processor(QwenProcessor):
    """Qwen3-VL's processor."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen3_vl",)
    video_processor: ClassVar[str] = "Qwen3VLVideoProcessor"

    def place_video(self, ids: list[int], config: Any, slices: list[int], seconds: float, fps: float) -> list[int]:
        """See `QwenProcessor.place_video`. The marks around the template's placeholder go around every slice.

        The time of a slice is the mean of its first and its last frame's, rounded to a tenth of a second.
        """
        first = ids.index(config.video_token_id)
        start, end = ids[first - 1 : first], ids[first + 1 : first + 2]
        last = seconds - 1 / fps  # from the first frame of a slice to its last
        placed = ids[: first - 1]
        for number, count in enumerate(slices):
            time = number * seconds + last / 2
            placed += [*self.special_ids(f"<{time:.1f} seconds>"), *start, *[config.video_token_id] * count, *end]
        return placed + ids[first + 2 :]
