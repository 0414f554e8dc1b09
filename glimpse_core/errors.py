"""The one exception that users are meant to read.

Every `GlimpseError` says three things: what was given, what was wanted, and what to do about it. The command line
prints the message on stderr and exits with code 2; the page shows it in place of an answer. Anything else that
escapes is a defect.
"""

from __future__ import annotations


class GlimpseError(Exception):
    """A request that cannot be carried out, explained for the person who made it."""


class Cancelled(GlimpseError):
    """The person who asked stopped the work before it was done."""
