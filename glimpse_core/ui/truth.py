"""True answers as a stranger reads them: the demo world counts aloud, which looks like no answer to "how many"."""

from __future__ import annotations

import re

COUNTED = re.compile(r"I see .+: (\d+)\.")
NOTE = "That is {}: this model counts aloud, one word for each that it sees (such as its color), then how many."


def truth_note(truth: str | None) -> str:
    """What a true answer means where its words do not say so by themselves, else nothing. As web/state/truth.js."""
    found = COUNTED.fullmatch(truth or "")
    return NOTE.format(found[1]) if found else ""
