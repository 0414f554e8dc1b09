"""The exceptions that users are meant to read.

Every message says three things, in this order: what was given, what was expected, and what to do about it. The command
line prints it on stderr and exits with code 2; the page shows it in place of an answer. Any other exception that
escapes is a defect.
"""

from __future__ import annotations


class GlimpseError(Exception):
    """Raised for a request that cannot be carried out, with an explanation for the person who made it."""


class Cancelled(GlimpseError):
    """Raised when the person who asked has stopped the work before it was done."""
