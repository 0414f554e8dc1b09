"""What decides which tokens are kept, as one value (`types.Settings`) with one table and one codec.

field.py    one setting: checked, and written as JSON, text, link and control
numbers.py  the kinds that are numbers
lists.py    the kinds that are names or token numbers
table.py    the settings themselves, one row each
codec.py    the whole value to JSON, links and words, and back
interfaces.py  what is generated from the table: command line options, JSON schema, rows for the page's scripts

Torch-free, so that the command line can ask for help without it.
"""

from glimpse_core.glimpse.settings.codec import (
    changed,
    check,
    describe,
    from_json,
    from_query,
    listing,
    read_selection,
    to_json,
    to_query,
    value_of,
    with_values,
)
from glimpse_core.glimpse.settings.table import (
    ANCHORS,
    BUDGET,
    CONTROL,
    DEFAULT_LENGTH,
    FIELDS,
    FIXED_SHARE,
    LENGTH,
    MAX_RATIO,
    MIN_TOKENS,
    PUBLISHED,
    RULE,
    THRESHOLD,
)

__all__ = [
    "ANCHORS",
    "BUDGET",
    "CONTROL",
    "DEFAULT_LENGTH",
    "FIELDS",
    "FIXED_SHARE",
    "LENGTH",
    "MAX_RATIO",
    "MIN_TOKENS",
    "PUBLISHED",
    "RULE",
    "THRESHOLD",
    "changed",
    "check",
    "describe",
    "from_json",
    "from_query",
    "listing",
    "read_selection",
    "to_json",
    "to_query",
    "value_of",
    "with_values",
]
