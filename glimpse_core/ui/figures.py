"""The numbers under the answers and in the figures below, each with how it was obtained: counted, calculated, measured.

Counted and calculated ones come from `cost.py`, measured ones from the engine's own clocks. They are never mixed: no
figure adds one kind to another.
"""

from __future__ import annotations

from typing import Any

from glimpse_core.costs import flops
from glimpse_core.costs.cost import Costs, cost
from glimpse_core.costs.shape import Shape
from glimpse_core.ui.messages import Answer


def costs_of(model: Any, session: Any, kept: int) -> Costs:
    """The arithmetic for one question on one model, as it ran: the glimpse is counted for controls, too."""
    shape, total = Shape.from_config(model.backbone.hf.config, session.config), len(session.probabilities)
    row = 0 if model.trained else flops.attention_row(shape.text, session.prompt_length)
    return cost(
        shape,
        session.prompt_length,
        total,
        kept,
        model.keep_layer,
        grids=session.grids,
        dtype=model.dtype,
        glimpse=model.trained,
        selector=row,
    )


def answer_payload(costs: Costs, session: Any, answer: Any, pruned: bool) -> Answer:
    """One answer as it stands now: its text, its state, and its numbers."""
    first = first_token_seconds(session, answer, pruned)
    return {
        "pieces": [(answer.text, False)],
        "state": answer.finished or "running",
        "measured": measured_stages(session, answer, pruned),
        "first": None if first is None else round(1000 * first, 3),
        "speed": decode_speed(answer),
        "tokens": costs.kept_tokens if pruned else costs.visual_tokens,
        "length": costs.kept_length if pruned else costs.prompt_length,
    }


def first_token_seconds(session: Any, answer: Any, pruned: bool) -> float | None:
    """Measured time from the prepared prompt to the first token, or None while there is none.

    Both answers continue from one trunk, so its time counts for both, although a plain run would not carry the
    glimpse token. Glimpse and VIP count only for the pruned answer.
    """
    tokens = answer.timings.get("tokens") or []
    if not tokens:
        return None
    stages = ("vision", "trunk", "glimpse_vip") if pruned else ("vision", "trunk")
    return sum(session.timings.get(stage, 0.0) for stage in stages) + tokens[0]


def decode_speed(answer: Any) -> float | None:
    """Measured tokens per second behind the first one, or None while there is no second one."""
    later = (answer.timings.get("tokens") or [])[1:]
    return len(later) / sum(later) if later and sum(later) > 0 else None


def measured_stages(session: Any, answer: Any, pruned: bool) -> dict[str, float]:
    """Measured milliseconds of each stage; "decode" is one token's mean."""
    tokens = answer.timings.get("tokens") or []
    branch = float(answer.timings.get("branch") or 0.0)
    speed = decode_speed(answer)
    seconds = {
        "vision": session.timings.get("vision", 0.0),
        "trunk": session.timings.get("trunk", 0.0),
        "glimpse_vip": session.timings.get("glimpse_vip", 0.0) if pruned else 0.0,
        "branch": branch,
        "first": max(0.0, tokens[0] - branch) if tokens else 0.0,
        "decode": 1 / speed if speed else 0.0,
    }
    return {stage: round(1000 * value, 3) for stage, value in seconds.items()}


def calculated_stages(costs: Costs, pruned: bool) -> dict[str, int]:
    """FLOPs of each stage, as `cost.py` counts them; "first" is the output matrix, "decode" one generated token."""
    flops = costs.pruned if pruned else costs.full
    return {
        "vision": flops.vision,
        "trunk": flops.trunk,
        "glimpse_vip": flops.glimpse_vip,
        "branch": flops.branch,
        "first": flops.lm_head,
        "decode": flops.decode,
    }
