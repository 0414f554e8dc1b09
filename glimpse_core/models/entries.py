"""The named models, the glimpse modules published for them, and which files make them complete on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glimpse_core.costs.shape import Shape
from glimpse_core.glimpse.model import published_layer
from glimpse_core.models import adapter as adapters
from glimpse_core.models import checkpoint
from glimpse_core.storage import hub
from glimpse_core.storage.assets import ASSETS
from glimpse_core.types import GlimpseConfig

# A cache may hold the weights alone, from a program that needed no images.
BASE_NEEDED = ("*.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")
GLIMPSE_FILES = ("config.json", checkpoint.WEIGHTS, checkpoint.PUBLISHED_WEIGHTS)


@dataclass(frozen=True)
class Entry:
    """One line of the catalog.

    Attributes:
        base, glimpse: a local folder or a Hub name; glimpse is None where no modules were released: `train glimpse`
            makes some.
        published_parameters: of the base model; None: counted in the local file.
        published_config: the authors' configuration of glimpse modules for it; None: they have none.
        aliases: other names of the base.
        adapter: a local folder or a Hub name of a LoRA adapter on the base; None: there is none.
    """

    name: str
    title: str
    base: str
    glimpse: str | None
    published_parameters: int | None
    note: str
    published_config: GlimpseConfig | None = None
    aliases: tuple[str, ...] = ()
    adapter: str | None = None

    @property
    def parameters(self) -> int | None:
        """Of the base model; None if it is not known, because a local file is missing."""
        return self.published_parameters or hub.parameters(Path(self.base))

    @property
    def is_download(self) -> bool:
        """Whether it comes from the Hub."""
        return not hub.is_local(self.base)

    @property
    def is_local(self) -> bool:
        """Whether it can be loaded without a download."""
        base = hub.cached(self.base, ["config.json", *BASE_NEEDED])
        adapter = self.adapter is None or adapters.cached(self.adapter) is not None
        modules = self.glimpse is None or cached_glimpse(self.glimpse) is not None
        return base is not None and adapter and modules


NARROW = 1024  # base models narrower than this get a narrow predictor


def published_config(shape: Shape) -> GlimpseConfig:
    """Return the configuration that was published, carried over to any base model (the paper's table 14).

    K is at two thirds of the decoder and the only layer read. The predictor sees the deepest vision block and three
    more evenly below it, or those of DeepStack. Read are attention logits, or log-probabilities for towers of one fixed
    image size (LLaVA-1.5). The predictor has 256 + 512 channels; 64 + 64 on base models narrower than 1024.
    """
    keep_layer, blocks = published_layer(shape.text.layers), shape.vision.blocks
    below = shape.vision.deepstack or (blocks * quarter // 4 - 1 for quarter in (3, 2, 1))
    spread = sorted({blocks - 1, *(max(0, block) for block in below)}, reverse=True)
    narrow = {"vip_size": 64, "vip_condition_size": 64} if shape.text.width < NARROW else {}
    reads_logits = shape.vision.image_tokens is None
    return _config(keep_layer, shape.text.layers, tuple(spread), reads_logits, **narrow)


def _config(
    keep_layer: int, layers: int, vision_layers: tuple[int, ...], read_logits: bool = True, **sizes: Any
) -> GlimpseConfig:
    every = tuple(range(layers))
    return GlimpseConfig(keep_layer, (keep_layer,), every, vision_layers, read_logits=read_logits, **sizes)


PLUS = "ashun989/GlimpsePrune-Plus_Qwen2.5-VL-7B-Instruct"  # adapter and glimpse modules in one folder
QWEN_BLOCKS, CLIP_BLOCKS = (31, 23, 15, 7), (23, 17, 11, 5)
ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            "demo",
            "Demo model, trained here",
            str(ASSETS / "demo"),
            str(ASSETS / "demo" / "glimpse"),
            None,
            "knows the drawn scenes of this repository only; runs on any CPU",
        ),
        Entry(
            "qwen2.5-vl-3b",
            "Qwen2.5-VL 3B Instruct",
            "Qwen/Qwen2.5-VL-3B-Instruct",
            "ashun989/GlimpsePrune_Qwen2.5-VL-3B-Instruct",
            3_754_622_976,
            "about 8 GB of GPU memory for the weights in bfloat16",
            _config(23, 36, QWEN_BLOCKS),
        ),
        Entry(
            "qwen2.5-vl-7b",
            "Qwen2.5-VL 7B Instruct",
            "Qwen/Qwen2.5-VL-7B-Instruct",
            "ashun989/GlimpsePrune_Qwen2.5-VL-7B-Instruct",
            8_292_166_656,
            "about 17 GB of GPU memory for the weights in bfloat16",
            _config(18, 28, QWEN_BLOCKS),
        ),
        Entry(
            "qwen2.5-vl-7b-plus",
            "Qwen2.5-VL 7B Instruct, GlimpsePrune+",
            "Qwen/Qwen2.5-VL-7B-Instruct",
            PLUS,
            8_292_166_656,
            "the 7B model with the published adapter and the glimpse modules trained on it",
            _config(18, 28, QWEN_BLOCKS),
            adapter=PLUS,
        ),
        Entry(
            "qwen2.5-vl-32b",
            "Qwen2.5-VL 32B Instruct",
            "Qwen/Qwen2.5-VL-32B-Instruct",
            None,
            33_452_718_336,
            "about 67 GB of GPU memory for the weights in bfloat16; no glimpse modules released",
            _config(42, 64, QWEN_BLOCKS),
        ),
        Entry(
            "qwen2.5-vl-72b",
            "Qwen2.5-VL 72B Instruct",
            "Qwen/Qwen2.5-VL-72B-Instruct",
            None,
            73_410_777_344,
            "about 147 GB of GPU memory for the weights in bfloat16; no glimpse modules released",
            _config(53, 80, QWEN_BLOCKS),
        ),
        *(
            Entry(
                f"qwen3-vl-{size.lower()}",
                f"Qwen3-VL {size} Instruct",
                f"Qwen/Qwen3-VL-{size}-Instruct",
                None,
                parameters,
                f"about {2 * parameters / 1e9:.0f} GB of GPU memory for the weights in bfloat16; "
                "no glimpse modules released",
            )
            for size, parameters in (("2B", 2_127_532_032), ("4B", 4_437_815_808), ("8B", 8_767_123_696))
        ),
        Entry(
            "llava-1.5-7b",
            "LLaVA-1.5 7B",
            "llava-hf/llava-1.5-7b-hf",
            "ashun989/GlimpsePrune_LLaVA-1.5-7B",
            7_063_427_072,
            "about 14 GB of GPU memory for the weights in bfloat16",
            _config(21, 32, CLIP_BLOCKS, read_logits=False),
            ("liuhaotian/llava-v1.5-7b",),
        ),
        Entry(
            "llava-1.5-13b",
            "LLaVA-1.5 13B",
            "llava-hf/llava-1.5-13b-hf",
            "ashun989/GlimpsePrune_LLaVA-1.5-13B",
            13_351_494_656,
            "about 27 GB of GPU memory for the weights in bfloat16",
            _config(26, 40, CLIP_BLOCKS, read_logits=False),
            ("liuhaotian/llava-v1.5-13b",),
        ),
    )
}
# The authors' table spells some names with an underscore, their pages with a hyphen: the second is tried as well.
OTHER_SPELLINGS = {
    f"ashun989/GlimpsePrune_LLaVA-1.5-{size}": (f"ashun989/GlimpsePrune-LLaVA-1.5-{size}",) for size in ("7B", "13B")
}


def list_models() -> tuple[Entry, ...]:
    """Return the models that have a name, the demo model first; `entry.name` is what `load` takes."""
    return tuple(ENTRIES.values())


def entry_of(name: str | Path) -> Entry | None:
    """The catalog's line for a name, for the Hub name of a base model, or for another name of the same weights."""
    plain = str(name).partition("@")[0]
    for entry in ENTRIES.values():
        if str(name) == entry.name or (plain in (entry.base, *entry.aliases) and not Path(str(name)).exists()):
            return entry
    return None


def spellings(name: str) -> tuple[str, ...]:
    """All names under which glimpse modules may be found, the given one last."""
    return (*OTHER_SPELLINGS.get(name, ()), name)


def cached_glimpse(name: str) -> Path | None:
    """The local folder of the glimpse modules of a folder or Hub name, if it is complete; nothing is downloaded."""
    return hub.cached(name, ["config.json", f"{checkpoint.WEIGHTS}|{checkpoint.PUBLISHED_WEIGHTS}"])
