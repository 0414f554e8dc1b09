"""The version of this package, and those of what is installed, read without importing it."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

__version__ = "0.1.0"  # the one place: the wheel takes it from here


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
