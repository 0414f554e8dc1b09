"""The published processor: Qwen2.5-VL's own for pictures and text, without the part that needs torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import BatchFeature, Qwen2_5_VLProcessor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.types import Grid


class Qwen2_5_VL_GP_Processor(Qwen2_5_VLProcessor):
    """Pads on the left, which batches need, and prepares pictures with Pillow on every machine."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def from_pretrained(cls, place: Any, **kwargs: Any) -> Qwen2_5_VL_GP_Processor:
        """place: a folder or a Hub name of a base model. min_pixels, max_pixels: of a picture, as published."""
        limits = {"shortest_edge": kwargs.pop("min_pixels", None), "longest_edge": kwargs.pop("max_pixels", None)}
        processor = super().from_pretrained(place, **{"padding_side": "left", "backend": "pil", **kwargs})
        for edge, pixels in limits.items():  # transformers' later names for them
            if pixels is not None:
                setattr(processor.image_processor.size, edge, pixels)
        return processor

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        normed_bboxes: Sequence[Sequence[Sequence[float]] | None] | None = None,
        videos: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """As the stock processor. normed_bboxes: per picture, boxes (x1, y1, x2, y2) from 0 to 1 or None.

        They become `ref_token_masks`, one bool mask (rows, cols) per picture, which `generate` uses with
        use_ref_masks=True.
        """
        if videos is not None:
            raise GlimpseError(
                "videos were given, but the released modules were trained on pictures: leave them out, or use "
                "Qwen2_5_VLProcessor with do_selection=False"
            )
        features = super().__call__(images=images, text=text, **kwargs)
        if normed_bboxes is not None:
            features["ref_token_masks"] = self._masks(normed_bboxes, features.get("image_grid_thw"))
        return features

    def _masks(self, boxes: Sequence[Any], sizes: Tensor | None) -> list[Tensor | None]:
        sizes = [] if sizes is None else sizes.tolist()
        if len(boxes) != len(sizes):
            raise GlimpseError(
                f"normed_bboxes has {len(boxes)} entries for {len(sizes)} pictures: give one per picture"
            )
        merge = self.image_processor.merge_size
        grids = [Grid(rows // merge, cols // merge) for _, rows, cols in sizes]
        return [
            None if some is None else box_mask(some, grid).view(grid.rows, grid.cols)
            for some, grid in zip(boxes, grids, strict=True)
        ]
