"""The API's parameters for settings: signature, documentation, components and reading, from the settings' table."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import FIELDS, LENGTH, value_of
from glimpse_core.types import Sampling, Selection, Settings
from glimpse_core.ui.api import Api
from glimpse_core.ui.endpoint import endpoint, names, read_call
from glimpse_core.ui.inputs import AskOptions
from tests.support.some_settings import one_each, some_settings

ALL = (*FIELDS, LENGTH)


def said(settings: Settings) -> dict:
    """The settings as the parameters of a call."""
    return {
        field.name: value_of(settings, field) if field.numeric else field.to_text(value_of(settings, field))
        for field in FIELDS
    }


@given(some_settings(), st.integers(1, 256))
def test_a_call_gives_the_value_back(settings: Settings, length: int) -> None:
    options = read_call(said(settings) | {LENGTH.name: length}, 1)
    assert options == AskOptions(settings, Sampling(max_new_tokens=length))


@pytest.mark.parametrize("function", [Api.ask, Api.score, Api.overlay], ids=lambda function: function.__name__)
def test_every_setting_is_a_documented_parameter(function: object) -> None:
    offered = endpoint(function, ALL)
    parameters = inspect.signature(offered).parameters
    for name, field in [(field.name, field) for field in ALL]:
        assert (
            f"    {name}: {field.help}" in offered.__doc__ and parameters[name].default is not inspect.Parameter.empty
        )
    assert "    keep_at_most: earlier name of max_ratio, in percent." in offered.__doc__
    assert offered.__doc__.count("Args:") == offered.__doc__.count("Returns:") == 1
    assert list(parameters)[-len(names(ALL)) :] == names(ALL)


@pytest.mark.parametrize("name", one_each())
def test_what_is_not_said_is_as_nobody_has_set_it(name: str) -> None:
    settings = one_each()[name]
    silent = {parameter: None for parameter in names(ALL)}
    assert read_call(silent, 1).settings == Settings()
    assert read_call(silent | {name: said(settings)[name]}, 1).settings == settings


def test_earlier_names_are_read_in_their_own_units() -> None:
    earlier = {"keep_at_most": 33.3, "keep_at_least": 4.0, "longest_answer": 8}
    assert read_call(earlier, 1) == AskOptions(Settings(Selection(0.5, 0.333, 4)), Sampling(max_new_tokens=8))
    assert read_call({"keep_at_most": 100}, 1).settings == Settings()
    with pytest.raises(
        GlimpseError, match=r"Maximum share \(keep_at_most\) is 101. Expected a percentage from 0 to 100."
    ):
        read_call({"keep_at_most": 101}, 1)
    for one, other in (("keep_at_most", "max_ratio"), ("max_ratio", "keep_at_most")):
        with pytest.raises(GlimpseError, match="keep_at_most and max_ratio were both given. Expected one of them."):
            read_call({one: 0.5, other: 0.5}, 1)
