"""Build a pruner from a name and a budget: as evaluation, benchmarks and pages do.

pruners.build("fastv", model, ratio=0.111)
pruners.build("fastv", model, ratio=0.111, policy="common")          # comparable with the others
pruners.build("pyramiddrop", model, ratio=0.333, match="kv")         # the published comparison's budget
pruners.build("divprune+glimpse", model, ratio=0.111, options={"divprune": {"ratio": 0.5}})
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from glimpse_core.costs.schedule import final_share, kv_share, prefill_share, schedule
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.base import check_budget
from glimpse_core.pruners.method import Card, Cascade, Method
from glimpse_core.pruners.registry import PRUNERS

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import LoadedModel

Match = Literal["final", "kv", "prefill"]
Policy = Literal["published", "common"]
SHARES = {"final": final_share, "kv": kv_share, "prefill": prefill_share}
COMMON = {"cache": "pruned", "positions": "original"}
FINE = 1_000_000  # visual tokens of the imaginary image on which budgets are matched


def build(
    name: str,
    model: LoadedModel,
    *,
    ratio: float | None = None,
    count: int | None = None,
    match: Match = "final",
    policy: Policy = "published",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **own: Any,
) -> Method:
    """Build a pruner.

    Args:
        name: a key of `PRUNERS`, or several joined by "+": each then goes on with what the one before has left.
        model: the model to prune for.
        ratio: share of the visual tokens, from 0 to 1; `match` says of what. None: the method's own default.
        count: visual tokens that are left after the last drop, of every row; instead of a ratio.
        match: "final": that share of all tokens is left after the last drop. "kv": it is the share of visual tokens in
            the KV cache while answering, averaged over layers (the published comparison's budget). "prefill": the
            share that the layers process in the prefill, averaged over layers.
        policy: what happens to the caches of layers that have run, and to positions. "published": as the authors do.
            "common": caches pruned, original positions, for all methods alike.
        options: further options (fields) of any method of a cascade, by its name.
        own: further options of the last method, which also gets the budget.

    Returns:
        The method, or a `Cascade` of several.

    Raises:
        GlimpseError: for unknown names and options, for impossible budgets, and for a budget that the method cannot
            reach, such as a small share of the prefill for one that drops late.
    """
    if policy not in ("published", "common"):
        raise GlimpseError(f"policy is {policy!r}. Expected published or common.")
    names = name.split("+")
    given: dict[str, dict[str, Any]] = {key: dict(value) for key, value in (options or {}).items()}
    stray = sorted(set(given) - set(names))
    if stray:
        raise GlimpseError(f"Options are given for {', '.join(stray)}. Expected steps of {name} only: leave them out.")
    given.setdefault(names[-1], {}).update(own)
    steps = tuple(_one(part, model, policy, given.get(part, {})) for part in names)
    pruner = steps[0] if len(steps) == 1 else Cascade(model, steps)
    return pruner if ratio is None and count is None else _with_budget(pruner, name, ratio, count, match)


def card(name: str) -> Card:
    """What a pruner, or a cascade, that `build` would make declares. Raises GlimpseError for unknown names.

    The budget, the seed and the adaptivity of a cascade are those of its last step.
    """
    cards = [_find(part).card for part in name.split("+")]
    if len(cards) == 1:
        return cards[0]
    return Card(
        label=" + ".join(one.label for one in cards),
        where=", ".join(one.where for one in cards),
        question=any(one.question for one in cards),
        merges=any(one.merges for one in cards),
        budgeted=cards[-1].budgeted,
        seeded=cards[-1].seeded,
        needs=tuple(dict.fromkeys(need for one in cards for need in one.needs)),
        adaptive=cards[-1].adaptive,
        modules=any(one.modules for one in cards),
    )


def _find(name: str) -> type[Method]:
    if name not in PRUNERS:
        close = difflib.get_close_matches(name, PRUNERS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise GlimpseError(f"There is no pruner called {name!r}. Expected one of {', '.join(PRUNERS)}.{hint}")
    return PRUNERS[name]


def _one(name: str, model: LoadedModel, policy: Policy, given: Mapping[str, Any]) -> Method:
    kind = _find(name)
    known = [field.name for field in fields(kind) if field.name != "model"]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise GlimpseError(f"{name} has no option {', '.join(unknown)}. Expected {', '.join(known) or 'none'}.")
    common = {key: value for key, value in COMMON.items() if policy == "common" and key in known}
    return kind(model, **(common | dict(given)))


def _with_budget(pruner: Method, name: str, ratio: float | None, count: int | None, match: Match) -> Method:
    if ratio is not None and count is not None:
        raise GlimpseError(f"Both ratio ({ratio}) and count ({count}) were given. Expected one of them: leave one out.")
    if match not in SHARES:
        raise GlimpseError(f"match is {match!r}. Expected one of {', '.join(SHARES)}.")
    if not card(name).budgeted:
        raise GlimpseError(
            f"A budget was given for {name}, which has none. Expected neither ratio nor count: leave them out."
        )
    check_budget(ratio, count)
    if count is not None:
        if match != "final":
            raise GlimpseError(
                f'match is "{match}", but count is given, which is what is left after the last drop. Expected a ratio: '
                'pass one, or choose match="final".'
            )
        return pruner.with_budget(count=count)
    if ratio is not None and match != "final":
        ratio = _matching(pruner, name, ratio, match)
    return pruner.with_budget(ratio=ratio)


def _matching(pruner: Method, name: str, share: float, match: Match) -> float:
    """The ratio at which the layers' average is `share`, found by halving: shares grow with the ratio."""

    def reached(ratio: float) -> float:
        plan = pruner.with_budget(ratio=ratio).plan(FINE)
        return SHARES[match](schedule(pruner.model.backbone.layers, FINE, plan))

    low, high = 0.0, 1.0
    least, most = reached(low), reached(high)
    if not least - 1e-6 <= share <= most + 1e-6:
        raise GlimpseError(
            f"The {match} share is {share:.1%}. Expected {least:.1%} to {most:.1%}, which {name} can reach with its "
            "layers: choose another share, earlier layers, or another policy."
        )
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < share else (low, middle)
    return high
