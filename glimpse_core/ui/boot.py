"""What the page is given once, with its HTML: names and limits of settings, texts, examples, the first thing to see."""

from __future__ import annotations

from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import REASONS, REASONS_BY_RANK
from glimpse_core.glimpse.settings import FIELDS, LENGTH
from glimpse_core.glimpse.settings.interfaces import field_values
from glimpse_core.ui import comparison, gpu, texts
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE, MAX_PICTURES
from glimpse_core.ui.inputs import MAX_QUESTION
from glimpse_core.ui.pictures import MAX_BYTES, address_of

USUAL = ("glimpse", "random", "grid", "fastv", "divprune", "visionzip")  # methods that are compared if none are chosen
USUAL_WITHOUT_MODULES = ("attention", *USUAL[1:])


def boot_payload(flow: Flow, tabs: list[str], knows: str) -> dict[str, Any]:
    """Boot of `web/types.d.ts`. knows: paragraphs on what the loaded model can be asked."""
    how = texts.HOW if flow.trained else texts.HOW_WITHOUT_MODULES
    usual = USUAL if flow.trained else USUAL_WITHOUT_MODULES
    return {
        "fields": [field_values(field, flow.base) for field in FIELDS],
        "length": field_values(LENGTH),
        "reasons": list(REASONS),
        "reasons_by_rank": list(REASONS_BY_RANK),
        "texts": texts.BROWSER | {"knows": knows, "how": how, "privacy": texts.PRIVACY},
        "examples": [
            {
                "src": address_of(example.path),
                "thumbnail": example.thumbnail,
                "alt": example.alt,
                "questions": [list(pair) for pair in example.questions],
            }
            for example in flow.gallery.examples
        ],
        "tabs": tabs,
        "methods": [
            {"name": name, "label": label, "usual": name in usual} for label, name in comparison.offered(flow.trained)
        ],
        "first": _first(flow),
        "model": badge_value(flow),
        "borrowed": gpu.zero(),
        "band": not gpu.zero(),
        "limits": {"pictures": MAX_PICTURES, "bytes": MAX_BYTES, "question": MAX_QUESTION},
    }


def _first(flow: Flow) -> Any:
    try:
        return {**flow.gallery.show([f"{EXAMPLE}0"]), "example": 0} if flow.gallery.examples else None
    except GlimpseError:
        return None


def badge_value(flow: Flow) -> dict[str, Any]:
    """The model's state: "loading", "ready" or "failed", its title, a detail, and whether it has glimpse modules."""
    holder = flow.holder
    value = {"state": holder.state, "title": holder.title, "detail": holder.detail, "trained": flow.trained}
    if holder.state == "loading":
        return value
    if holder.state == "failed":
        return value | {"detail": f"not loaded: {holder.error}"}
    model = holder.model
    parts = [str(model.device), str(model.dtype).removeprefix("torch."), str(model.attn)]
    if not model.trained:
        parts.insert(0, f"no glimpse modules: scores are attention at layer {model.keep_layer}")
    if model.backbone.repetition_penalty != 1:
        parts.append(f"repetition penalty {model.backbone.repetition_penalty:g}")
    return value | {"detail": " · ".join(parts), "trained": model.trained}
