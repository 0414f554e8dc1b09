"""What an exception of huggingface_hub means: what went wrong, what was expected, and what to do."""

from __future__ import annotations

from httpx2 import HTTPError
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def explained(error: Exception, place: str) -> str:
    """Explain why files could not be fetched.

    Args:
        error: what huggingface_hub raised.
        place: the Hub name that was asked for, perhaps with a revision.

    Returns:
        What went wrong, what was expected, and what to do, without a full stop at the end.
    """
    named = (text for kind, text in _refusals(place) if isinstance(error, kind))
    return next(named, None) or _failure(error)


def _refusals(place: str) -> tuple[tuple[type[Exception], str], ...]:
    """Exceptions that say what is wrong with a Hub name, and their meaning, special ones first."""
    name, _, revision = place.partition("@")
    page = f"{constants.ENDPOINT}/{name}"
    return (
        (
            GatedRepoError,
            f"it is gated. Expected access to it: accept its terms on {page}, then log in with `hf auth login` or set "
            "HF_TOKEN",
        ),
        (
            RepositoryNotFoundError,
            "there is no such repository, or it is private. Expected one that you can read: check the spelling; for a "
            "private one log in with `hf auth login` or set HF_TOKEN",
        ),
        (
            RevisionNotFoundError,
            f"it has no revision {revision!r}. Expected a branch, tag or commit: choose from {page}",
        ),
        (HFValidationError, "this is not a Hub name. Expected owner/model or owner/model@revision: check it"),
        (
            IncompleteSnapshotError,
            "an earlier download was interrupted, and the Hub cannot be reached now. Expected a connection: connect "
            "and run it again; it goes on where it stopped",
        ),
    )


def _failure(error: Exception) -> str:
    """The meaning of any other exception: of the connection, the cache or the disk."""
    if isinstance(error, LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return (
                "it is not in the cache, and offline mode is on. Expected a copy or a connection: unset "
                "HF_HUB_OFFLINE for the first download, or give the folder of a copy"
            )
        return (
            "it is not in the cache, and the Hub cannot be reached. Expected a copy or a connection: check the "
            "connection (or HF_ENDPOINT), or give the folder of a copy"
        )
    if isinstance(error, HfHubHTTPError):
        return f"the Hub answered {first_line(error)}. Expected the files: try again later"
    if isinstance(error, HTTPError):
        return (
            f"the connection failed ({first_line(error)}). Expected one: check it, and HTTPS_PROXY if there is a proxy"
        )
    if getattr(error, "errno", None) == 28:
        return f"the disk of {constants.HF_HUB_CACHE} is full. Expected room: delete files, or set HF_HOME to another"
    return f"{first_line(error)}. Expected {constants.HF_HUB_CACHE} to be writable: change that, or set HF_HOME"


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, or the exception's name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
