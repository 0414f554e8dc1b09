"""Every sentence of the page that is longer than a label. Plain text; the browser puts it in place as text."""

from __future__ import annotations

import re

from glimpse_core.glimpse.settings import describe
from glimpse_core.types import Settings

TITLE = "Glimpse"
TAGLINE = "See what a vision-language model keeps when its visual tokens are pruned."

QUESTION_PLACEHOLDER = "Ask about the picture, then press Enter"

LOADING = "The model is still loading; your question starts as soon as it is ready."
LOOKING = "Looking at the picture…"
ANSWERING = "Answering…"
STOPPED = "Stopped."

NO_VISITOR = (
    "The request does not say which page it is from. Expected 16 to 64 characters as `visitor`: reload the page."
)

BROWSER = {  # what the page's own scripts say
    "tagline": TAGLINE,
    "placeholder": QUESTION_PLACEHOLDER,
    "sending": "Waiting for the model…",
    "opening": "Opening…",
    "uploading": "Sending your picture…",
    "held": "Your picture is on its way; the question follows as soon as it is here. Stop takes both back.",
    "stopping": "Stopping…",
    "lost": "The connection to the server was lost: please ask again.",
    "not_sent": "The picture did not arrive: please choose it again.",
    "too_large": "{} is too large: at most 40 MB are read. Please choose a smaller file.",
    "too_many": "{} pictures were given. Expected at most 4.",
    "no_image": "No picture was given. Expected PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF files.",
    "other_words": "The model's answer is not the one that is shown: answer again, then look at its words.",
    "link_pictures": "Your own pictures are not kept, so the link has the question and the settings only.",
    "link_painted": "What you painted is too scattered for a link, so the link leaves it out.",
    "no_threshold": (
        "Off: without glimpse modules the scores are attention, no probabilities. The dial says how many tokens stay."
    ),
    "unfamiliar": (
        "This model knows drawn scenes and pages only: of a picture like this one it understands nothing. For "
        "photographs start the page with a model such as Qwen2.5-VL-3B (--model qwen2.5-vl-3b)."
    ),
}

LINKED_THRESHOLD = (
    "The link has a threshold, which says nothing about attention: this model has no glimpse modules. It was left out."
)
NO_PICTURE = "There is no picture yet. Choose one of the examples, or add your own."
NO_QUESTION = "There is no question yet. Type one, for example “What is on the left?”, and press Enter."
NOTHING_TO_SAVE = "There is nothing to save yet: ask a question first. (Results are kept for a while only.)"
UNEXPECTED = "Something failed inside the page ({name}). The server's log has the details; please try again."
OUT_OF_MEMORY = (
    "The model ran out of memory on this picture. Use a smaller picture or fewer of them, or start the page with "
    "--dtype bfloat16 or a smaller model."
)

DEMO_KNOWS = """\
The built-in demo model is a real, very small Qwen2.5-VL, trained from scratch by this repository on drawn scenes only.

**It knows** sixteen kinds of things (house, tree, star, heart, fish, boat, car, flower, mushroom, balloon, cup,
hat, kite, lamp, umbrella, moon), eight colors, labels of one to four characters, what is near, left, right, above
or below, counting, and listing what a scene holds.

**It does not know** anything else. It takes any picture and any text, but for a photograph, or a question of another
kind, its answer means nothing. It is here to show the method, not to be clever.
"""

REAL_KNOWS = """\
This page runs {name}, with glimpse modules that were trained while the base model stayed frozen. It takes photographs,
documents and drawings.

**Expect losses** where nearly everything matters: tiny print, counting many things, “describe everything”, and
follow-up questions about what an earlier question let go.
"""

PLAIN_KNOWS = """\
This page runs {name} without glimpse modules. It takes photographs, documents and drawings.

**Nothing was trained** to find what matters: tokens are ranked by plain attention, and how many stay is for you to
choose. Expect losses where nearly everything matters: tiny print, counting many things, “describe everything”.
"""

HOW_WITHOUT_MODULES = """\
**1 · Read.** The picture becomes visual tokens, one for each cell of a grid. They run with your question through the
first layers of the language model.

**2 · Score.** This model has no glimpse modules, so nothing trained says what matters. The score of a visual token is
plain attention: what the last token of the prompt, which writes the first word of the answer, pays to it in one layer,
averaged over heads. That is the heat map, 1 for the most attended token.

**3 · Keep.** The most attended tokens stay, as many as the dial says; the others leave the sequence and the key/value
cache of every layer. A threshold would say nothing: attention is no probability that a token matters.

Turning the dial never runs the model: the page has all scores. **Answer again** continues from the stored first layers
with the new selection.
"""

HOW = """\
**1 · Glimpse.** The picture becomes visual tokens, one for each cell of a grid. They run with your question, and with
one learned *glimpse token* at the end, through the first layers of the language model.

**2 · Score.** The glimpse token's attention to every visual token goes into a small predictor, which turns it into
a relevance probability per token. That is the heat map.

**3 · Keep.** Tokens above the threshold stay, the others leave the sequence and the key/value cache of every layer.
The answer goes on from there, as if they had never been.

Moving the threshold never runs the model: the page has all scores. **Answer again** continues from the stored first
layers with the new selection.
"""

PRIVACY = (
    "Pictures and questions stay on the machine that runs this page; uploads are deleted within two hours, results "
    "when you close the page or after half an hour."
)


def faster(layers: int, keep_layer: int, saved: float, trained: bool = True) -> str:
    """What pruning can and cannot speed up.

    keep_layer: the 0-based layer after which tokens are dropped. saved: share of the prefill FLOPs, negative if more.
    trained: whether a glimpse scores the tokens; else attention does, which costs next to nothing.
    """
    run = min(keep_layer + 1, layers)
    if run >= layers:
        return (
            f"Tokens leave after the last of {layers} layers, so reading the prompt costs as much as before; only the "
            "key/value cache gets smaller, and with it the cost of each further word."
        )
    if abs(saved) <= 0.01:
        why = ": the glimpse costs about what the dropped tokens save" if trained else ""
        change = f"takes about as much compute as without pruning{why}"
    elif saved > 0:
        change = f"takes {100 * saved:.0f}% less compute here"
    else:
        change = f"takes {-100 * saved:.0f}% more compute here: the glimpse costs more than these dropped tokens save"
    return (
        f"What gets cheaper: the last {layers - run} of {layers} layers read only the kept tokens, and the key/value "
        f"cache shrinks in all {layers}. What does not: the vision tower and the first {run} layers still read every "
        f"token, so the whole prefill {change}."
    )


def rule(settings: Settings, trained: bool) -> str:
    """The settings in words. trained: whether a predictor says how relevant a token is, or else attention."""
    words = describe(settings)
    if trained:
        return words
    return re.sub(r"^at most ([\d.]+%)", r"the \1 most attended", words.replace("most relevant", "most attended"))


def waiting(ahead: int) -> str:
    """While others use the model."""
    others = "one question is" if ahead == 1 else f"{ahead} questions are"
    return f"The model is busy: {others} before yours. Stop takes you out of the line."


def verdict(same: bool, finished: bool) -> str:
    """One plain line on both answers."""
    if not finished:
        return "Stopped before both were complete"
    return "Same answer" if same else "Different answers"


BENCHMARK = (
    "Every question is answered with all tokens and by every method at every budget, one question after the other. "
    "Accuracy is exact match."
)
BENCHMARK_DYNAMIC = ' "dynamic" gives every method as many tokens as GlimpsePrune keeps of that question.'
