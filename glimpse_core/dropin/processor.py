"""The published processor: Qwen2.5-VL's own for images and text, without the part that needs torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import BatchFeature, Qwen2_5_VLProcessor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.types import Grid


class Qwen2_5_VL_GP_Processor(Qwen2_5_VLProcessor):
    """Pads on the left, which batches need, and prepares images with Pillow on every machine."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # options by keyword only
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> Qwen2_5_VL_GP_Processor:
        """Load the processor of a base model.

        Args:
            pretrained_model_name_or_path: a folder or a Hub name.
            kwargs: of the stock method, and as published min_pixels and max_pixels, the limits of an image's size.
        """
        limits = {"shortest_edge": kwargs.pop("min_pixels", None), "longest_edge": kwargs.pop("max_pixels", None)}
        options = {"padding_side": "left", "backend": "pil", **kwargs}
        processor: Qwen2_5_VL_GP_Processor = super().from_pretrained(pretrained_model_name_or_path, **options)
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
        """Make model inputs as the stock processor does.

        Args:
            images, text: as the stock processor takes them.
            normed_bboxes: per image, boxes (x1, y1, x2, y2) from 0 to 1, or None. They become `ref_token_masks`, one
                bool mask (rows, cols) per image, which `generate` uses with use_ref_masks=True.
            videos: not supported.
            kwargs: of the stock processor.

        Raises:
            GlimpseError: for videos, and where boxes and images differ in number.
        """
        if videos is not None:
            raise GlimpseError(
                "videos were given. Expected images, on which the released modules were trained: leave them out, or "
                "use Qwen2_5_VLProcessor with do_selection=False."
            )
        features = super().__call__(images=images, text=text, **kwargs)
        if normed_bboxes is not None:
            features["ref_token_masks"] = self._masks(normed_bboxes, features.get("image_grid_thw"))
        return features

    def _masks(self, boxes: Sequence[Any], sizes: Tensor | None) -> list[Tensor | None]:
        images: list[list[int]] = [] if sizes is None else sizes.tolist()
        if len(boxes) != len(images):
            raise GlimpseError(f"normed_bboxes has {len(boxes)} entries. Expected one per image: {len(images)}.")
        merge = self.image_processor.merge_size
        grids = [Grid(rows // merge, cols // merge) for _, rows, cols in images]
        return [
            None if some is None else box_mask(some, grid).view(grid.rows, grid.cols)
            for some, grid in zip(boxes, grids, strict=True)
        ]
