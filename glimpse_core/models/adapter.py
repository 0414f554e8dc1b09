"""LoRA adapters (arXiv 2106.09685) on the language model: made for training, read from a folder or the Hub, written.

GlimpsePrune+ trains such an adapter. PEFT puts its layers into the stock model, and the engine need not know of them.
A file is read strictly: an adapter that does not fit the base model is refused, and what does not fit is
named. PEFT belongs to the extra `train`, and is imported where an adapter is used.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from glimpse_core.backbones import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.storage import hub
from glimpse_core.storage.hub import Progress

if TYPE_CHECKING:
    from peft import PeftModel

CONFIG, WEIGHTS, OLD_WEIGHTS = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
FILES = (CONFIG, WEIGHTS, OLD_WEIGHTS)
NEEDED = (CONFIG, f"{WEIGHTS}|{OLD_WEIGHTS}")
WRAPPER = "base_model.model."  # what PEFT puts before a module's name
# How earlier versions of transformers, which the published adapter was trained with, name the same modules.
EARLIER_NAMES = ((r"^model\.layers\.", "model.language_model.layers."), (r"^visual\.", "model.visual."),
                 (r"^language_model\.model\.layers\.", "model.language_model.layers."))  # fmt: skip


@dataclass(frozen=True)
class LoraSizes:
    """Sizes of a new adapter. The defaults are the published ones (its yaml file and table 12; the text has rank 64).

    Attributes:
        rank: of the two matrices that are added to each layer.
        alpha: the product of the matrices is scaled by alpha / rank.
        dropout: share of a layer's inputs that the adapter does not see in training.
    """

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.05


@dataclass(frozen=True)
class Adapter:
    """An adapter inside a base model.

    Attributes:
        peft: the wrapped stock model, whose layers are those of the backbone.
    """

    peft: PeftModel = field(repr=False)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The adapter's weights by name, in a fixed order."""
        return {name: weight for name, weight in self.peft.named_parameters() if ".lora_" in name}

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Run the base model without the adapter."""
        with self.peft.disable_adapter():
            yield

    def save(self, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors, which PEFT reads as well."""
        from peft import get_peft_model_state_dict

        folder.mkdir(parents=True, exist_ok=True)
        tensors = get_peft_model_state_dict(self.peft, save_embedding_layers=False)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
        config = self.peft.peft_config["default"]
        config.inference_mode, before = True, config.inference_mode
        config.save_pretrained(str(folder))
        config.inference_mode = before


def linear_layers(backbone: Backbone) -> list[str]:
    """Return the names of all linear layers of the language model's decoder layers; not its head, nor the tower."""
    inside = {id(module) for module in backbone.text.layers.modules() if isinstance(module, nn.Linear)}
    return [name for name, module in backbone.hf.named_modules() if id(module) in inside]


def create(backbone: Backbone, sizes: LoraSizes | None = None, seed: int = 0) -> Adapter:
    """Put a new adapter into a base model, which computes the same as before until the adapter is trained.

    Args:
        backbone: the base model; its own weights stay frozen.
        sizes: of the adapter; None: the published ones.
        seed: of its initial weights.

    Raises:
        GlimpseError: PEFT is missing.
    """
    sizes = sizes or LoraSizes()
    settings = {"r": sizes.rank, "lora_alpha": sizes.alpha, "lora_dropout": sizes.dropout}
    torch.manual_seed(seed)
    adapter = _inject(backbone, {**settings, "target_modules": linear_layers(backbone), "task_type": "CAUSAL_LM"})
    for parameter in adapter.parameters.values():
        parameter.requires_grad_(True)
    return adapter


def cached(place: str) -> Path | None:
    """The local folder of an adapter, if it is complete; nothing is downloaded."""
    return hub.cached(place, list(NEEDED))


def fetch(place: str, progress: Progress | None = None) -> Path:
    """The local folder of an adapter; of a Hub name only the files that are read are downloaded, if needed.

    Raises:
        GlimpseError: it cannot be had, or the folder holds no adapter.
    """
    folder = cached(place) or hub.fetch(place, "adapter", FILES, progress=progress)
    if not (folder / CONFIG).exists() or not any((folder / name).exists() for name in (WEIGHTS, OLD_WEIGHTS)):
        raise GlimpseError(
            f"{place} holds no adapter. Expected {CONFIG} and {WEIGHTS} in it: give the folder of a LoRA adapter."
        )
    return folder


def load(folder: Path, backbone: Backbone, merge: bool = True) -> Backbone:
    """Put an adapter into a base model.

    Args:
        folder: of the adapter, as `fetch` returns it.
        backbone: the base model. It must not be used without the adapter afterwards.
        merge: add the adapter to the weights, so that it costs nothing. False: it stays apart in the layers.

    Returns:
        The base model with the adapter, ready for inference.

    Raises:
        GlimpseError: for an adapter that is damaged, of another kind, or for another base model.
    """
    settings, tensors = read(folder, backbone)
    adapter = _inject(backbone, settings)
    own = adapter.peft.state_dict()
    for name, tensor in tensors.items():
        own[WRAPPER + name.replace(".weight", ".default.weight")].copy_(tensor)
    adapter.peft.eval().requires_grad_(False)
    if not merge:
        return backbone
    whole: Any = adapter.peft.merge_and_unload()
    return type(backbone)(whole)


def read(folder: Path, backbone: Backbone) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read settings and weights of an adapter, and compare them with a base model.

    Args:
        folder: of the adapter.
        backbone: the base model; only its sizes matter, so its weights may be on torch's device "meta".

    Returns:
        What `LoraConfig` takes, and the tensors by the names of this version of transformers, such as
        "model.language_model.layers.0.mlp.up_proj.lora_A.weight".

    Raises:
        GlimpseError: listing what does not fit the base model.
    """
    settings = _settings(folder)
    tensors = {_name(name): tensor for name, tensor in _tensors(folder).items()}
    modules = dict(backbone.hf.named_modules())
    wrong, targets = [], {}
    for name, tensor in tensors.items():
        place, _, part = name.partition(".lora_")
        layer = modules.get(place)
        if part not in ("A.weight", "B.weight") or not isinstance(layer, nn.Linear):
            wrong.append(f"unexpected {name} {tuple(tensor.shape)}")
            continue
        targets[place] = True
        rank = _rank(settings, place)
        expected = (rank, layer.in_features) if part.startswith("A") else (layer.out_features, rank)
        if tuple(tensor.shape) != expected:
            wrong.append(f"{name} is {tuple(tensor.shape)}, expected {expected}")
    wrong += [f"missing {place}.lora_{part}.weight" for place in targets for part in "AB"
              if f"{place}.lora_{part}.weight" not in tensors]  # fmt: skip
    if wrong or not tensors:
        shown = "; ".join(wrong[:4]) + (f"; and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        base = settings["base_model_name_or_path"] or "another base model"
        raise GlimpseError(
            f"The adapter in {folder} was made for {base} and has: {shown or 'no tensors'}. Expected the layers of "
            "this base model: load the base model that the adapter belongs to."
        )
    keep = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "task_type")
    return {name: settings[name] for name in keep} | {"target_modules": list(targets)}, tensors


def _settings(folder: Path) -> dict[str, Any]:
    """What adapter_config.json says, with defaults for what it leaves out."""
    try:
        found = json.loads((folder / CONFIG).read_text())
        kind, _ = found["peft_type"], found["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GlimpseError(
            f"{folder / CONFIG} does not describe an adapter ({error}). Expected that of a LoRA adapter: fetch it "
            "again."
        ) from error
    plain = kind == "LORA" and not found.get("use_dora") and found.get("bias", "none") == "none"
    if not plain or found.get("modules_to_save"):
        raise GlimpseError(
            f"The adapter in {folder} is of type {kind}, with use_dora {found.get('use_dora', False)}, bias "
            f"{found.get('bias', 'none')!r} and modules_to_save {found.get('modules_to_save')}. Expected plain LoRA: "
            "merge it into its base model with PEFT and load the result as a model folder."
        )
    usual = {"lora_alpha": 8, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}, "task_type": None}
    return {**usual, "base_model_name_or_path": None, **found}


def _rank(settings: dict[str, Any], place: str) -> int:
    for pattern, rank in settings["rank_pattern"].items():
        if re.fullmatch(rf"(.*\.)?({pattern})", place):
            return int(rank)
    return int(settings["r"])


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        if (folder / WEIGHTS).exists():
            return load_file(folder / WEIGHTS)
        found: dict[str, Tensor] = torch.load(folder / OLD_WEIGHTS, map_location="cpu", weights_only=True)
        return found
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise GlimpseError(
            f"The adapter's weights in {folder} cannot be read ({error}). Expected an undamaged file: fetch it again."
        ) from error


def _name(name: str) -> str:
    """A tensor's name in this version of transformers, without PEFT's wrapper."""
    name = name.removeprefix(WRAPPER)
    for earlier, now in EARLIER_NAMES:
        name = re.sub(earlier, now, name)
    return name


def _inject(backbone: Backbone, settings: dict[str, Any]) -> Adapter:
    """Put the layers of an adapter with these settings into the stock model."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise GlimpseError(
            "An adapter was asked for, and the package peft is missing. Expected it: install glimpse-prune[train]."
        ) from error
    with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5 for a name that has a successor
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        peft = get_peft_model(backbone.hf, LoraConfig(**settings))
    return Adapter(peft.eval())
