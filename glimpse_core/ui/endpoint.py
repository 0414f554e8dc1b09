"""Settings as parameters of the API: signature, documentation, components and reading, all from the settings' table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import DEFAULT_LENGTH, FIELDS, LENGTH, value_of, with_values
from glimpse_core.glimpse.settings.codec import default_of
from glimpse_core.glimpse.settings.field import Field
from glimpse_core.types import Sampling, Settings
from glimpse_core.ui.inputs import AskOptions, check_images

EARLIER = {"keep_at_most": "max_ratio", "keep_at_least": "min_tokens", "longest_answer": LENGTH.name}
BY_NAME = {field.name: field for field in (*FIELDS, LENGTH)}


def names(fields: Sequence[Field]) -> list[str]:
    """The parameters for some fields: the threshold and the earlier names first, in their order of always."""
    offered = {field.name for field in fields}
    earlier = [old for old, name in EARLIER.items() if name in offered]
    first, *others = [field.name for field in fields]
    return [first, *earlier, *others]


def components(fields: Sequence[Field], base: Settings | None = None) -> dict[str, Any]:
    """By parameter, the component that gives it its type and its default. base: as of `endpoint`."""
    made: dict[str, Any] = {}
    for name in names(fields):
        field = BY_NAME[EARLIER.get(name, name)]
        label = f"{field.label} ({name})"
        made[name] = (gr.Number if field.numeric else gr.Textbox)(_default(name, base), label=label)
    return made


def endpoint(function: Callable[..., Any], fields: Sequence[Field], base: Settings | None = None) -> Callable[..., Any]:
    """The function with a parameter for each field, and the earlier names, in place of its last one, a mapping of all.

    Gradio makes the API's documentation from its signature and docstring. base: the defaults that hold; None: those of
    the settings' table.
    """
    *own, _ = inspect.signature(function).parameters.values()
    taken = names(fields)
    settings = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=_default(name, base)) for name in taken]
    head, _, returns = (inspect.getdoc(function) or "").partition("\n\nReturns:")
    lines = [f"    {name}: {_help(name)}." for name in taken]

    def offered(*values: Any) -> Any:
        asked, given = values[: len(own)], values[len(own) :]
        return function(*asked, dict(zip(taken, given, strict=True)))

    offered.__name__ = function.__name__
    offered.__doc__ = "\n".join([head, *lines]) + "\n\nReturns:" + returns
    signature = Signature([*(one.replace(default=_own_default(one)) for one in own), *settings])
    vars(offered)["__signature__"] = signature
    return offered


def read_call(given: Mapping[str, Any], images: int, base: Settings | None = None) -> AskOptions:
    """What a call asks for, over `base`. Raises GlimpseError that names the first parameter that cannot be."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:  # not given
            continue
        field = BY_NAME[EARLIER.get(name, name)]
        if field.name in values:
            (other,) = (old for old, new in EARLIER.items() if new == field.name)
            raise GlimpseError(f"{other} and {field.name} were both given. Expected one of them.")
        spelled = f"{field.label} ({name})"
        read = field.from_control if name in EARLIER else field.from_call
        values[field.name] = read(value, spelled)
    length = values.pop(LENGTH.name, DEFAULT_LENGTH)
    settings = with_values(base or Settings(), values)
    check_images(settings, images)
    return AskOptions(settings, Sampling(max_new_tokens=length))


def _default(name: str, base: Settings | None) -> Any:
    """The default that callers see. Where a field has an earlier name as well, neither has one: not given is None."""
    if name in EARLIER or name in EARLIER.values():
        return None
    field = BY_NAME[name]
    if not field.numeric:
        return ""
    return default_of(field) if base is None or field is LENGTH else value_of(base, field)


def _own_default(parameter: Parameter) -> Any:
    return {"view": "kept", "budgets": "auto"}.get(parameter.name, Parameter.empty)


def _help(name: str) -> str:
    field = BY_NAME[EARLIER.get(name, name)]
    if name in EARLIER:
        unit = ", in percent" if field.kind == "share" else ""
        return f"earlier name of {field.name}{unit}"
    example = "" if field.numeric else f", such as {field.example}"
    return f"{field.help}{example}"
