"""Work that several pruners of one question have in common is done once: `sharing` opens the scope, `once` uses it.

Outside a scope `once` simply does the work. Inside, it returns what the same work gave before for the same objects,
which must not be changed by anybody (fork a prefix before going on). The scope belongs to the thread that opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Result = TypeVar("Result")
_done: ContextVar[dict[tuple, tuple[tuple, Any]] | None] = ContextVar("done", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Until the block ends, `once` remembers. Scopes do not see each other's results."""
    token = _done.set({})
    try:
        yield
    finally:
        _done.reset(token)


def once(name: str, objects: tuple[object, ...], work: Callable[[], Result]) -> Result:
    """`work()`, which depends on nothing but `name` and `objects`. Objects are told apart by identity, numbers too."""
    done = _done.get()
    if done is None:
        return work()
    key = (name, *(value if isinstance(value, int | str | tuple) else id(value) for value in objects))
    if key not in done:
        done[key] = (objects, work())  # the objects are kept alive, so that no id is given out twice
    return done[key][1]
