"""The published rule through the drop-in's keyword arguments, `model.config` and the checkpoints' config.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimpse_core.dropin.settings import selection_of, take
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import PUBLISHED
from glimpse_core.models.checkpoint_config import from_ours, from_published
from glimpse_core.types import Selection, Settings
from tests.support.some_settings import one_each, some_settings

CONFIG = Path(__file__).parents[1] / "parity" / "qwen" / "a_square" / "new_modules" / "config.json"
NOTHING = SimpleNamespace()
OTHER = Selection(0.9, 0.1, 3, ("br",))


def spelled(rule: Selection, published: bool) -> dict[str, Any]:
    return {theirs if published else ours: getattr(rule, ours) for ours, theirs in PUBLISHED.items()}


@given(some_settings(), st.booleans())
def test_keyword_arguments_give_the_rule_back(settings: Settings, published: bool) -> None:
    kwargs = {"max_new_tokens": 4} | spelled(settings.selection, published)
    given_ = take(kwargs)
    assert kwargs == {"max_new_tokens": 4}
    assert selection_of(OTHER, NOTHING, given_) == settings.selection


@given(some_settings())
def test_what_is_written_to_the_config_is_read(settings: Settings) -> None:
    written = SimpleNamespace(**spelled(settings.selection, published=True))
    assert selection_of(OTHER, written, {}) == settings.selection
    assert selection_of(OTHER, written, {"selection": OTHER}) == OTHER


@given(some_settings())
def test_checkpoints_give_the_rule_back(settings: Settings) -> None:
    published = json.loads(CONFIG.read_text(encoding="utf-8"))
    config = from_published(published | spelled(settings.selection, published=True))
    assert config.selection == settings.selection
    assert from_ours(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_setting_goes_through_every_way(name: str) -> None:
    rule = one_each()[name].selection
    published = json.loads(CONFIG.read_text(encoding="utf-8")) | spelled(Selection(), published=True)
    for key in (name, PUBLISHED[name]):
        assert selection_of(Selection(), NOTHING, take({key: getattr(rule, name)})) == rule != Selection()
    assert selection_of(Selection(), SimpleNamespace(**{PUBLISHED[name]: getattr(rule, name)}), {}) == rule
    assert from_published(published | {PUBLISHED[name]: getattr(rule, name)}).selection == rule
    with pytest.raises(GlimpseError, match=f"^{name} "):
        selection_of(Selection(), NOTHING, {name: "nonsense"})


def test_a_published_fixed_share_is_read_from_the_call_and_from_the_config():
    default = Selection(0.9, 0.1, 3, ("br",))
    expected = Selection(0.0, 0.25, 3, ("br",))
    assert selection_of(default, NOTHING, take({"fixed_remain_ratio": 0.25, "threshold": 0.7})) == expected
    assert selection_of(default, SimpleNamespace(fixed_remain_ratio=0.25, reduce_threshold=0.7), {}) == expected
    assert selection_of(default, SimpleNamespace(fixed_remain_ratio=None), {}) == default
    with pytest.raises(GlimpseError, match="fixed_remain_ratio is 1.5"):
        selection_of(default, NOTHING, {"fixed_remain_ratio": 1.5})
