"""Training-free scores: what the last token of a prompt attends to in layer K, for models without glimpse modules.

The last prompt token writes the first token of the answer. Its attention is a softmax over all tokens of the prompt,
text included, in each head of layer K; the scores of the visual tokens are its mean over heads. `pruners.attention`
ranks by the same values. Layer K is `LoadedModel.keep_layer`: where released glimpse modules read and drop, unless
another one was asked for.

B rows, H heads, N visual tokens of all rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from glimpse_core.engine.attention import Probe
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.types import Prompt


def probe_of(model: LoadedModel) -> Probe:
    """A probe that reads the last token's attention in layer K, for `engine.prefix.advance`."""
    return Probe(frozenset({model.keep_layer}))


def attention(model: LoadedModel, prompt: Prompt, probe: Probe, padding: Tensor | None) -> tuple[Tensor, Tensor]:
    """The attention that the last token of every row pays to its visual tokens in layer K.

    Args:
        model: whose K the probe read.
        prompt: the question.
        probe: after layers 0..K.
        padding: (B, L) bool, True where real; None where nothing is padded.

    Returns:
        float32 (N,), shares of the token's attention averaged over heads, and float32 (N, H), their logarithms in each
        head. Both are shares of the attention to all tokens, so the visual ones do not add up to 1.

    Raises:
        GlimpseError: where the model's attention was not recorded.
    """
    if model.keep_layer not in probe.logits:
        raise GlimpseError(
            f"The attention of layer {model.keep_layer} was not recorded. Expected an attention function that can be "
            "read: load the model with glimpse_core.load."
        )
    logits = probe.logits[model.keep_layer].to(prompt.input_ids.device).float()
    if padding is not None:
        logits = logits.masked_fill(~padding[:, None], -torch.inf)
    visual = model.backbone.visual(prompt)
    return logits.softmax(-1).mean(1)[visual], logits.log_softmax(-1).transpose(1, 2)[visual]


def relative(attention: Tensor) -> Tensor:
    """Scale attention (N,) so that the most attended token has 1; all are above 0, and keep their order."""
    smallest = torch.finfo(attention.dtype).tiny
    return (attention / attention.max().clamp(min=smallest)).clamp(min=smallest)
