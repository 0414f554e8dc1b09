"""From a name and a budget to a pruner: the one way in for evaluation, benchmarks and pages.

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
    from glimpse_core.glimpse.model import GlimpseModel

Match = Literal["final", "kv", "prefill"]
Policy = Literal["published", "common"]
SHARES = {"final": final_share, "kv": kv_share, "prefill": prefill_share}
COMMON = {"cache": "pruned", "positions": "original"}
FINE = 1_000_000  # visual tokens of the imaginary picture on which budgets are matched


def build(
    name: str,
    model: GlimpseModel,
    *,
    ratio: float | None = None,
    count: int | None = None,
    match: Match = "final",
    policy: Policy = "published",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **own: Any,
) -> Method:
    """A pruner by its name in `PRUNERS`, or several joined by "+", each going on with what the one before has left.

    Args:
        ratio: share of the visual tokens; what it is the share of, `match` says. None: the method's own default.
        count: visual tokens left behind the last drop, for every row; instead of a ratio.
        match: "final": ratio of all tokens is left behind the last drop. "kv": ratio is the share of visual tokens in
            the KV cache while answering, averaged over layers (the published comparison's budget). "prefill": the
            share that the layers run on in the prefill, averaged over layers.
        policy: what happens to the caches of layers already run, and to positions. "published": as the authors do.
            "common": caches pruned, original positions, for all methods alike.
        options, own: further options of the method (its fields). In a cascade the budget and `own` go to the last
            method, and `options` has those of any by name.

    Raises GlimpseError for unknown names and options, for impossible budgets, and for a budget that the method cannot
    reach, such as a small share of the prefill for one that drops late.
    """
    if policy not in ("published", "common"):
        raise GlimpseError(f"policy is {policy!r}: choose published or common")
    names = name.split("+")
    options = {key: dict(value) for key, value in (options or {}).items()}
    stray = sorted(set(options) - set(names))
    if stray:
        raise GlimpseError(f"options are given for {', '.join(stray)}, but the pruner is {name}: leave them out")
    options.setdefault(names[-1], {}).update(own)
    steps = tuple(_one(part, model, policy, options.get(part, {})) for part in names)
    pruner = steps[0] if len(steps) == 1 else Cascade(model, steps)
    return pruner if ratio is None and count is None else _with_budget(pruner, name, ratio, count, match)


def card(name: str) -> Card:
    """What tables say about a pruner or a cascade of `build`'s."""
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
    )


def _find(name: str) -> type[Method]:
    if name not in PRUNERS:
        close = difflib.get_close_matches(name, PRUNERS, n=1)
        hint = f"did you mean {close[0]}? Known are" if close else "choose one of"
        raise GlimpseError(f"there is no pruner called {name!r}: {hint} {', '.join(PRUNERS)}")
    return PRUNERS[name]


def _one(name: str, model: GlimpseModel, policy: Policy, given: Mapping[str, Any]) -> Method:
    kind = _find(name)
    known = [field.name for field in fields(kind) if field.name != "model"]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise GlimpseError(f"{name} has no option {', '.join(unknown)}: it has {', '.join(known) or 'none'}")
    common = {key: value for key, value in COMMON.items() if policy == "common" and key in known}
    return kind(model, **(common | dict(given)))


def _with_budget(pruner: Method, name: str, ratio: float | None, count: int | None, match: Match) -> Method:
    if ratio is not None and count is not None:
        raise GlimpseError(f"both a ratio ({ratio}) and a count ({count}) were given: choose one of them")
    if match not in SHARES:
        raise GlimpseError(f"match is {match!r}: choose {', '.join(SHARES)}")
    if not card(name).budgeted:
        raise GlimpseError(f"{name} has no budget: leave out ratio and count")
    check_budget(ratio, count)
    if count is not None:
        if match != "final":
            raise GlimpseError(f'a count is what is left behind the last drop, so match="{match}" needs a ratio')
        return pruner.with_budget(count=count)
    return pruner.with_budget(ratio=ratio if match == "final" else _matching(pruner, name, ratio, match))


def _matching(pruner: Method, name: str, share: float, match: Match) -> float:
    """The ratio at which the layers' average is `share`, found by halving: shares grow with the ratio."""

    def reached(ratio: float) -> float:
        plan = pruner.with_budget(ratio=ratio).plan(FINE)
        return SHARES[match](schedule(pruner.model.backbone.layers, FINE, plan))

    low, high = 0.0, 1.0
    least, most = reached(low), reached(high)
    if not least - 1e-6 <= share <= most + 1e-6:
        raise GlimpseError(
            f"{name} cannot reach a {match} share of {share:.1%}: between {least:.1%} and {most:.1%} is possible with "
            "its layers, so choose another share, earlier layers, or another policy"
        )
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < share else (low, middle)
    return high
