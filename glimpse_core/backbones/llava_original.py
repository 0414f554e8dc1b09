"""LLaVA-1.5 in its authors' layout: one flat config, the projector among the decoder's weights, and a CLIP tower apart.

Read into what the stock class of transformers loads: its config, and tensors under the names of the Hugging Face
conversion. The original has no id for an image placeholder; like that conversion, one is appended to the vocabulary.
The appended rows of both matrices are the mean of the others, so that no answer prefers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionConfig, LlavaConfig

from glimpse_core.errors import GlimpseError
from glimpse_core.storage import hub

EXPECTED = {"mm_projector_type": "mlp2x_gelu", "mm_use_im_start_end": False, "image_aspect_ratio": "pad"}
# original prefix -> converted prefix
NAMES = {
    "model.mm_projector.0.": "multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "multi_modal_projector.linear_2.",
    "model.vision_tower.vision_tower.": "vision_tower.",
    "model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
}
TEXT_FIELDS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_act",
    "max_position_embeddings", "rms_norm_eps", "rope_theta", "bos_token_id", "eos_token_id", "initializer_range",
)  # fmt: skip
APPENDED = 64  # rows, as in the released conversions: the image token, and a multiple that suits a GPU


def tower_folder(folder: Path, settings: dict[str, Any]) -> Path:
    """Return the folder of the CLIP tower that a model names; a Hub name is downloaded if the cache lacks it.

    Args:
        folder: the model's folder. A tower inside it or beside it is found by its last name.
        settings: what the model's config.json holds.

    Raises:
        GlimpseError: there is no such folder, or the Hub gives none.
    """
    tower = str(settings.get("mm_vision_tower", ""))
    paths = (folder / tower, folder / Path(tower).name, folder.parent / Path(tower).name, Path(tower))
    for path in paths:
        if tower and (path / "config.json").exists():
            return path
    if not tower or hub.is_local(tower):
        raise GlimpseError(
            f"{folder} names the vision tower {tower!r}, which does not exist. Expected a folder or a Hub name: put "
            "the CLIP tower there (openai/clip-vit-large-patch14-336 for LLaVA-1.5)."
        )
    needed = ("preprocessor_config.json", "|".join(hub.WEIGHT_FILES))
    return hub.fetch(tower, "vision tower", (*hub.BASE_FILES, "pytorch_model*.bin"), needed)


def read_config(folder: Path, settings: dict[str, Any], tower: Path) -> LlavaConfig:
    """Return the config of the Hugging Face conversion.

    Raises:
        GlimpseError: an option has a value that LLaVA-1.5 does not have.
    """
    for name, value in EXPECTED.items():
        if settings.get(name) != value:
            raise GlimpseError(
                f"{name} of {folder} is {settings.get(name)!r}. Expected {value!r}, as in LLaVA-1.5: choose "
                "llava-1.5-7b or llava-1.5-13b."
            )
    vision = CLIPVisionConfig.from_pretrained(tower)
    vocabulary = settings["vocab_size"]
    text = {name: settings[name] for name in TEXT_FIELDS if settings.get(name) is not None}
    return LlavaConfig(
        text_config={"model_type": "llama", "vocab_size": vocabulary + APPENDED, **text},
        vision_config=vision.to_dict(),
        image_token_index=vocabulary,
        image_seq_length=(cast(int, vision.image_size) // cast(int, vision.patch_size)) ** 2,
        vision_feature_layer=settings.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="full" if settings.get("mm_vision_select_feature") == "cls_patch" else "default",
        tie_word_embeddings=False,
    )


def read_weights(folder: Path, tower: Path) -> dict[str, Tensor]:
    """Read all tensors under their converted names; the tower's own files fill in what the model's leave out."""
    tensors = {converted(name): tensor for name, tensor in _tensors(folder)}
    if not any(name.startswith("vision_tower.") for name in tensors):
        own = {name.removeprefix("vision_model."): tensor for name, tensor in _tensors(tower) if _is_vision(name)}
        tensors |= {f"vision_tower.vision_model.{name}": tensor for name, tensor in own.items()}
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        if name in tensors:
            rows = tensors[name]
            mean = rows.float().mean(0, keepdim=True).to(rows.dtype)
            tensors[name] = torch.cat([rows, mean.expand(APPENDED, -1)])
    return tensors


def converted(name: str) -> str:
    """Return the converted name: model.mm_projector.0.weight -> multi_modal_projector.linear_1.weight"""
    for theirs, ours in NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _is_vision(name: str) -> bool:
    """Tell whether a tensor belongs to the vision tower, in a file of it alone or of a whole CLIP."""
    return name.startswith(("vision_model.", "embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm."))


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for path in hub.weight_files(folder):
        if path.suffix == ".safetensors":
            yield from load_file(path).items()
        else:
            yield from torch.load(path, map_location="cpu", weights_only=True, mmap=True).items()
