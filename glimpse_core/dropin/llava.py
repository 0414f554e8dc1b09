"""LLaVA-1.5 with GlimpsePrune under its published name, in the published way of calling it or in that of transformers.

    model = LlavaLlamaForCausalLM_GP.from_pretrained("liuhaotian/llava-v1.5-7b", dtype="float16")
    model.load_new_modules("ashun989/GlimpsePrune_LLaVA-1.5-7B")
    model.generate(input_ids, images=images, do_selection=True, max_new_tokens=64)     # -200 in the ids; new ids only
    model.generate(**inputs, do_selection=True, max_new_tokens=64)                     # as transformers has it

The base may be the authors' folder or the Hugging Face conversion. Unlike the original, batches and several pictures
per prompt are possible, and `do_selection=False` answers unpruned.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from glimpse_core import catalog
from glimpse_core.backbone import Llava
from glimpse_core.dropin.model import DropIn, selecting
from glimpse_core.errors import GlimpseError
from glimpse_core.original_inputs import read_prompt


class LlavaLlamaForCausalLM_GP(DropIn, Llava.stock):
    """See the module docstring."""

    family = Llava
    forward = selecting(Llava.stock.forward)

    @classmethod
    def from_pretrained(cls, place: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """place: a folder in either layout, or a Hub name; the authors' names mean the conversions of their weights."""
        if place is None:  # weights and config are given
            return super().from_pretrained(place, *args, output_loading_info=output_loading_info, **kwargs)
        folder = catalog.fetch_base(catalog.resolve(place, None)[0])
        family, settings = catalog.family_of(folder)
        if family is not Llava:
            raise GlimpseError(f"{place} is a {settings['model_type']} model, but LLaVA-1.5 is needed: choose one")
        if settings["model_type"] == "llava":
            return super().from_pretrained(folder, *args, output_loading_info=output_loading_info, **kwargs)
        model, loaded = _Opened.open(folder, settings, **kwargs)
        return (model, loaded) if output_loading_info else model

    def generate(self, input_ids: Tensor | None = None, images: Tensor | None = None, **kwargs: Any) -> Any:
        """The stock `generate`, pruned; see `DropIn.generate` for the settings of a call.

        images: (images, 3, S, S), with input_ids (B, l) that have one -200 per picture: then, as published, only the
        new ids are returned. Without it: `pixel_values`, and ids with a placeholder per visual token, as elsewhere.
        """
        if images is None:
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
            raise GlimpseError("labels and images were both given: train with `python -m glimpse_core train glimpse`")
        inputs = {"input_ids": kwargs["input_ids"], "images": images}
        if kwargs.get("attention_mask") is not None:
            inputs["attention_mask"] = kwargs["attention_mask"]
        prompt, _, _ = read_prompt(inputs, self.family(self))
        own = {"input_ids": prompt.input_ids, "attention_mask": prompt.attention_mask, "pixel_values": images}
        left_out = ("image_sizes", "position_ids")  # pictures are squares already; positions are made anew
        return {name: value for name, value in kwargs.items() if name not in left_out} | own


class _Opened(Llava):
    """Opens the authors' folders as the class above instead of the stock one."""

    stock = LlavaLlamaForCausalLM_GP
