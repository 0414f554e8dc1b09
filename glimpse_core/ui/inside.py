"""The figures below the answers: tokens alive in each layer, cost by stage, and what the glimpse token looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from glimpse_core.costs.cost import Costs
from glimpse_core.ui.figures import calculated_stages
from glimpse_core.ui.messages import Answers, Heads, Inside, Side
from glimpse_core.ui.payloads import floats, octets

MAX_HEADS = 32  # small multiples more than this are left out


def inside_payload(costs: Costs, session: Any, answers: Answers, complete: Mapping[Side, Any] | None = None) -> Inside:
    """Plain values for `inside.js`. answers: as they stand, with their measured times. complete: the engine's own."""
    layers, both = list(costs.tokens_per_layer()), (("full", answers["full"]), ("kept", answers["kept"]))
    inside: Inside = {
        "question": answers["question"],
        "layers": costs.layers,
        "keep_layer": costs.keep_layer,
        "alive": {
            "full": [layer.full for layer in layers],
            "kept": [layer.pruned for layer in layers],
            "cached": [layer.cached for layer in layers],
        },
        "calculated": {"full": calculated_stages(costs, False), "kept": calculated_stages(costs, True)},
        "measured": {name: answer["measured"] for name, answer in both if answer},
        "kv_bytes": {
            "full": costs.kv_bytes,
            "kept": costs.kept_kv_bytes,
            "per_token": costs.kv_bytes // max(1, costs.prompt_length),
        },
        "heads": heads_payload(session),
    }
    if not session.model.trained:
        inside["attention"] = True
    if complete is not None:
        found = session.divergence(complete["full"], complete["kept"])
        inside["divergence"] = None if found is None else found.to_dict()
    return inside


def heads_payload(session: Any) -> Heads | None:
    """The glimpse token's attention in the last layer that the VIP reads: one map per head, and the VIP's own.

    Within a head the attention is shown as a share of what the head gives to all visual tokens: a softmax over them,
    of raw attention logits as well as of log-probabilities. Sent are bytes, 255 for the head's strongest token, and
    that token's share. Without glimpse modules it is the attention of the last prompt token at layer K, and the scores.
    None: nothing was read.
    """
    attention = getattr(session, "attention", None)
    config = session.config
    if attention is None or (config is not None and config.masks != "vip"):
        return None
    layers = (session.model.keep_layer,) if config is None else config.read_layers
    heads = len(attention) // len(layers)
    shares = attention[-heads:].float().softmax(-1)
    peaks = shares.max(-1).values
    maps = (shares / peaks[:, None].clamp_min(1e-12) * 255).round().clamp(0, 255).to(torch.uint8)
    return {
        "layer": layers[-1],
        "read_layers": list(layers),
        "maps": [octets(one) for one in maps[:MAX_HEADS]],
        "peaks": [round(float(peak), 5) for peak in peaks[:MAX_HEADS]],
        "heads": heads,
        "vip": floats(session.probabilities),
    }
