"""Versions of what is installed, without importing it."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

from glimpse_core import __version__


@cache
def version(distribution: str) -> str | None:
    """Return the version of an installed distribution, without importing it; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions(*distributions: str) -> dict[str, str | None]:
    """Return the versions of this package, of these distributions and of Python, by name; None: not installed."""
    found = {name: version(name) for name in distributions}
    return {"glimpse_core": __version__} | found | {"python": platform.python_version()}
