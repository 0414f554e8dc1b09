"""LLaVA-1.5 with GlimpsePrune under its published name, in the published way of calling it or in that of transformers.

    model = LlavaLlamaForCausalLM_GP.from_pretrained("liuhaotian/llava-v1.5-7b", dtype="float16")
    model.load_new_modules("ashun989/GlimpsePrune_LLaVA-1.5-7B")
    model.generate(input_ids, images=images, do_selection=True, max_new_tokens=64)     # -200 in the ids; new ids only
    model.generate(**inputs, do_selection=True, max_new_tokens=64)                     # as transformers has it

The base may be the authors' folder or the Hugging Face conversion. Unlike the original, batches and several images per
prompt are possible, and `do_selection=False` answers unpruned.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from glimpse_core.backbones import Llava
from glimpse_core.backbones.original_inputs import PLACEHOLDER, read_prompt
from glimpse_core.dropin.forward import selecting
from glimpse_core.dropin.model import DropIn
from glimpse_core.errors import GlimpseError


class LlavaLlamaForCausalLM_GP(  # type: ignore[misc]  # transformers types two overridden methods otherwise
    DropIn, LlavaForConditionalGeneration
):
    """LLaVA-1.5 with GlimpsePrune, under its published name; see the module docstring."""

    family = Llava
    forward = selecting(LlavaForConditionalGeneration.forward)

    @classmethod
    def _opened(cls, source: Any, settings: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Open a folder in either layout; the authors' Hub names mean the conversions of their weights."""
        if settings.get("model_type") == "llava_llama":
            return _Opened.open(source, settings, **kwargs)
        return super()._opened(source, settings, *args, **kwargs)

    def generate(  # type: ignore[override]  # the published order of positional arguments
        self, input_ids: Tensor | None = None, images: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Generate as the stock class does, with visual tokens pruned.

        Args:
            input_ids: with `images`, (B, l) with one -200 per image; else with a placeholder per visual token.
            images: (images, 3, S, S), or a list of (3, S, S). Then, as published, only generated ids are returned.
            kwargs: of the stock `generate`, and the settings of `DropIn.generate`.

        Raises:
            GlimpseError: as `DropIn.generate` does, and for -200 without images.
        """
        if images is None:
            if kwargs.get("pixel_values") is None and input_ids is not None and bool((input_ids == PLACEHOLDER).any()):
                raise GlimpseError(
                    f"input_ids have {PLACEHOLDER}, which stands for an image. Expected images as well: give them."
                )
            return super().generate(input_ids, **kwargs)
        given = self._published({"input_ids": input_ids, "images": images, **kwargs})
        out, length = super().generate(**given), given["input_ids"].shape[1]
        if isinstance(out, Tensor):
            return out[:, length:]
        out.sequences = out.sequences[:, length:]
        return out

    def _published(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        images = kwargs.pop("images", None)
        if images is None:
            return kwargs
        if kwargs.get("labels") is not None:
            raise GlimpseError("labels and images were both given. Expected one: train with `glimpse train glimpse`.")
        images = torch.stack(list(images)) if isinstance(images, (list, tuple)) else images
        inputs = {"input_ids": kwargs["input_ids"], "images": images}
        if kwargs.get("attention_mask") is not None:
            inputs["attention_mask"] = kwargs["attention_mask"]
        prompt, _, _ = read_prompt(inputs, self.family(self))
        own = {"input_ids": prompt.input_ids, "attention_mask": prompt.attention_mask, "pixel_values": images}
        left_out = ("image_sizes", "position_ids")  # images are squares already; positions are made anew
        return {name: value for name, value in kwargs.items() if name not in left_out} | own


class _Opened(Llava):
    """Opens the authors' folders as the class above instead of the stock one."""

    stock = LlavaLlamaForCausalLM_GP
