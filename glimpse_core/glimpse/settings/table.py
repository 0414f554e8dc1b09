"""The table of settings: one row each, from which page, JavaScript, API, links, records, command line and drop-in read
names, limits, defaults and words. A new setting is a new row here and a new attribute in `types.py`.
"""

from __future__ import annotations

from glimpse_core.glimpse.settings.field import Control, Field
from glimpse_core.glimpse.settings.lists import Choice, Names, Tokens
from glimpse_core.glimpse.settings.numbers import Count, Number, Share

MAX_TOKENS = 100_000  # more visual tokens than any prompt has

THRESHOLD = Number(
    name="threshold",
    label="Threshold",
    example="0.5",
    help="tokens whose relevance is above this probability are kept",
    key="t",
    phrase=("relevance above {}",) * 2,
    part="selection",
    published="reduce_threshold",
    caption="Keep tokens more relevant than",
    low=0.0,
    high=1.0,
    control=Control(0, 1, 0.01),
    ranked=False,
)
MAX_RATIO = Share(
    name="max_ratio",
    label="Maximum share",
    example="0.25",
    help="largest share of all tokens that may pass the threshold, from 0 to 1; none is no limit",
    key="most",
    phrase=("at most {}%",) * 2,
    part="selection",
    published="max_remain_ratio",
    old=("ratio",),
    caption="Keep at most (% of all tokens; 100 = no limit)",
    control=Control(0, 100, 1),
    ranked=False,
)
MIN_TOKENS = Count(
    name="min_tokens",
    label="Minimum tokens",
    example="4",
    help="number of tokens kept at least, the most relevant ones",
    key="least",
    phrase=("at least {}",) * 2,
    part="selection",
    published="min_remain_num",
    old=("floor",),
    caption="Keep at least (tokens)",
    low=0,
    high=MAX_TOKENS,
    control=Control(0, 64, 1),
    ranked=False,
)
ANCHORS = Names(
    name="anchors",
    label="Anchors",
    example="tl,br",
    help="corner tokens that are always kept (one image only)",
    key="corners",
    phrase=("{} corner", "{} corners"),
    part="selection",
    published="anchor_positions",
    caption="Always keep these corners (one picture only)",
    choices={"tl": "top left", "tr": "top right", "bl": "bottom left", "br": "bottom right"},
)
BUDGET = Count(
    name="budget",
    label="Budget",
    example="24",
    help="keep exactly this number of tokens, the most relevant ones, in place of threshold, maximum share and minimum",
    key="top",
    phrase=("the {} most relevant",) * 2,
    caption="Keep exactly (tokens, by rank; 0 = by relevance)",
    low=1,
    high=MAX_TOKENS,
    nullable=True,
)
PAINTED = Tokens(
    name="painted",
    label="Painted tokens",
    example="12-15,30",
    help="tokens kept by hand whatever the rule says, as raster numbers from 0, all images together",
    key="in",
    phrase=("{} painted in",) * 2,
    part="edits",
    old=("keep",),
    high=MAX_TOKENS - 1,
    longest=4000,
)
ERASED = Tokens(
    name="erased",
    label="Erased tokens",
    example="12-15,30",
    help="tokens dropped by hand whatever the rule says, as raster numbers from 0, all images together",
    key="out",
    phrase=("{} erased",) * 2,
    part="edits",
    old=("drop",),
    high=MAX_TOKENS - 1,
    longest=4000,
)
CONTROL = Choice(
    name="control",
    label="Control",
    example="random",
    help="answer from other tokens: random takes as many at random, inverse exactly those that would be dropped",
    key="control",
    part="edits",
    choices={"random": "random tokens, same budget", "inverse": "only the dropped tokens"},
)
SEED = Count(
    name="seed",
    label="Seed",
    example="3",
    help="which random tokens the control draws",
    key="seed",
    part="edits",
    low=0,
    high=2**31 - 1,
)
FIELDS: tuple[Field, ...] = (THRESHOLD, MAX_RATIO, MIN_TOKENS, BUDGET, ANCHORS, PAINTED, ERASED, CONTROL, SEED)
RULE: tuple[Field, ...] = tuple(field for field in FIELDS if field.published)
PUBLISHED: dict[str, str] = {field.name: field.published for field in RULE}
FIXED_SHARE = "fixed_remain_ratio"  # published only: a cap without a threshold

# How long the answer may get is no part of the selection, but the page, its links and its API ask for it beside it.
LENGTH = Count(
    name="max_new_tokens",
    label="Longest answer",
    example="96",
    help="number of tokens generated at most",
    key="length",
    caption="Longest answer (tokens)",
    low=1,
    high=256,
    control=Control(1, 256, 1),
)
DEFAULT_LENGTH = 96
