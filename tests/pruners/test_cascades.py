"""Methods in a row, controls that make pictures coarser, and CLIP's relevance: each against something slow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from glimpse_core import pruners
from glimpse_core.backbones.clip import ClipText
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.decoding import finish
from glimpse_core.pruners.random import random_mask
from glimpse_core.pruners.smaller import coarser
from glimpse_core.types import Grid
from tests.glimpse.test_oracle import MODELS
from tests.pruners.test_methods import STEPS, check_answer, check_sequence, check_stages, given, kept_of
from tests.support import slow_methods as rules
from tests.support import tiny
from tests.support.slow import plain_answer
from tests.support.tiny_folder import byte_tokenizer


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("pictures", ["one", "two"])
def test_a_cascade_is_one_after_the_other(family, pictures):
    """DivPrune before the decoder, then attention at K among what it left."""
    model, prompt, slow = given(family, pictures)
    own = {"divprune": {"count": 9, "positions": "original"}}
    pruned = pruners.build("divprune+attention", model, count=4, options=own)(prompt)
    first = rules.divprune(slow.embeds[slow.visual], 9)
    before = [rules.stage(slow, first, 0)]
    kept, stages = rules.stages_by_attention(slow, [model.keep_depth - 1], [4], "pruned", "original", True, before)
    stages[-1] = replace(stages[-1], depth=model.keep_depth)
    check_stages(model, slow, pruned, kept, stages)
    (plan,) = pruned.schedules
    assert plan.alive == (9, 9, 9, 4, 4) and plan.cached == (4, 4, 4, 4, 4)
    assert pruned.trunk.depth == 0 and pruned.trunk.hidden.shape[1] == prompt.input_ids.shape[1]


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_divprune_then_random_deep_in_the_decoder(family):
    model, prompt, slow = given(family, "one")
    own = {"divprune": {"ratio": 0.5, "positions": "original"}, "random": {"depth": 4, "seed": 3}}
    pruned = pruners.build("divprune+random", model, count=4, options=own)(prompt)
    first = rules.divprune(slow.embeds[slow.visual], round(0.5 * int(slow.visual.sum())))
    kept = [first[i] for i in random_mask(len(first), 4, seed=3).nonzero()[:, 0].tolist()]
    check_stages(model, slow, pruned, kept, [rules.stage(slow, first, 0), rules.stage(slow, kept, 4)])
    (plan,) = pruned.schedules
    assert plan.alive == (len(first),) * 4 + (4,) and plan.cached == (4,) * 5


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_a_glimpse_behind_a_method_that_keeps_all_is_the_glimpse(family):
    model = MODELS[family]()
    prompt = tiny.batch(model)
    alone = pruners.build("glimpse", model)(prompt)
    after = pruners.build("random+glimpse", model, options={"random": {"ratio": 1.0}})(prompt)
    for one, other in zip(alone.kept, after.kept, strict=True):
        assert torch.equal(one, other) and 0 < one.sum() < len(one)
    for one, other in zip(alone.scores.logits, after.scores.logits, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"vip_global": False}, {"attention_supervision": True}], ids=str)
def test_a_glimpse_sees_only_what_is_left(changes):
    """Rows of a batch are what they are alone, and dropped tokens have no influence whatever they contain."""
    model = tiny.model(**changes)
    options = {"grid": {"ratio": 0.5}}
    pruner = pruners.build("grid+glimpse", model, options=options)
    prompt = tiny.batch(model)
    together = pruner(prompt)
    assert [len(row[-1]) for row in together.scores.logits] == [10, 6]
    alone = pruner(tiny.prompt(model, (140, 112), question="Why so?"))
    torch.testing.assert_close(together.scores.logits[0], alone.scores.logits[0], atol=1e-4, rtol=1e-4)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    dropped = ~torch.cat(pruners.build("grid", model, ratio=0.5)(prompt, vision).kept)
    spoilt = replace(
        vision,
        embeds=vision.embeds.masked_fill(dropped[:, None], 7.0),
        conditions=vision.conditions.masked_fill(dropped[:, None], 7.0),
    )
    again = pruner(prompt, spoilt)
    assert all(torch.equal(a, b) for a, b in zip(together.scores.logits, again.scores.logits, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(together.kept, again.kept, strict=True))


@torch.no_grad()
def test_what_cannot_follow_says_so():
    model = tiny.model()
    prompt = tiny.prompt(model)
    with pytest.raises(GlimpseError, match="has run 2 layers"):
        pruners.build("fastv+glimpse", model)(prompt)
    with pytest.raises(GlimpseError, match="works before layer 0, but"):
        pruners.build("fastv+random", model)(prompt)
    with pytest.raises(GlimpseError, match="left the caches of its layers"):
        pruners.build("fastv+random_at_k", model)(prompt)
    with pytest.raises(GlimpseError, match="Expected the whole image"):
        pruners.build("grid+pool", model)(prompt)
    with pytest.raises(GlimpseError, match="Expected GlimpsePrune to come first"):
        references = tiny.model(masks="reference")
        pruners.build("grid+glimpse", references)(prompt)
    llava = MODELS["llava"]()
    with pytest.raises(GlimpseError, match="summary=False"):
        pruners.build("visionzip+glimpse", llava)(tiny.prompt(llava))
    pruners.build("visionzip+glimpse", llava, options={"visionzip": {"summary": False}})


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_pooling_averages_cells(family):
    model, prompt, slow = given(family, "two")
    pruned = pruners.build("pool", model, count=10)(prompt)
    carried, kept, averages, before = slow.carried[slow.visual], [], [], 0
    halves = {"qwen": [(2, 2), (3, 2)], "qwen3": [(2, 2), (2, 2)], "llava": [(2, 2), (2, 2)]}[family]
    for grid, (rows, cols) in zip(prompt.grids, halves, strict=True):
        for row in range(rows):
            for col in range(cols):
                low, high = row * grid.rows // rows, -(-(row + 1) * grid.rows // rows)
                left, right = col * grid.cols // cols, -(-(col + 1) * grid.cols // cols)
                cell = [before + y * grid.cols + x for y in range(low, high) for x in range(left, right)]
                averages.append(carried[cell].mean(0))
                middle = int((row + 0.5) * grid.rows / rows), int((col + 0.5) * grid.cols / cols)
                kept.append(before + middle[0] * grid.cols + middle[1])
        before += grid.tokens
    assert kept_of(pruned) == kept
    check_answer(model, pruned, check_sequence(slow, pruned, kept, averages))


@torch.no_grad()
def test_a_smaller_picture_is_what_the_processor_would_have_made():
    """The answer is that of the stock model on a prompt made from the resized pixels, patch by patch."""
    model, prompt, _ = given("qwen", "two")
    pruned = pruners.build("downsample", model, count=10)(prompt)
    (plan,) = pruned.schedules
    assert plan.seen == plan.final == 10 and plan.total == 27
    sizes, before, pixels = [(2, 2), (3, 2)], 0, []
    for grid, (rows, cols) in zip(prompt.grids, sizes, strict=True):
        image = torch.zeros(6, grid.rows * 28, grid.cols * 28)
        patches = iter(prompt.pixel_values[before : before + grid.tokens * 4])
        for row, col, dy, dx in _patches(grid.rows, grid.cols):
            y, x = (2 * row + dy) * 14, (2 * col + dx) * 14
            image[:, y : y + 14, x : x + 14] = next(patches).view(6, 14, 14)
        small = torch.nn.functional.interpolate(image[None], (rows * 28, cols * 28), mode="bicubic", antialias=True)[0]
        for row, col, dy, dx in _patches(rows, cols):
            y, x = (2 * row + dy) * 14, (2 * col + dx) * 14
            pixels.append(small[:, y : y + 14, x : x + 14].flatten())
        before += grid.tokens * 4
    ids, counts = prompt.input_ids[0].tolist(), [12, 15]
    image = model.backbone.image_token
    first = ids.index(image)
    second = ids.index(image, first + counts[0])
    ids = ids[:first] + [image] * 4 + ids[first + 12 : second] + [image] * 6 + ids[second + 15 :]
    stock = model.backbone.hf.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        mm_token_type_ids=(torch.tensor([ids]) == image).int(),
        pixel_values=torch.stack(pixels),
        image_grid_thw=torch.tensor([[1, 4, 4], [1, 6, 4]]),
        max_new_tokens=STEPS, do_sample=False, eos_token_id=None, return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    check_answer(model, pruned, (stock.sequences[0, len(ids) :].tolist(), torch.cat(stock.logits)))
    assert pruned.trunk is None
    seen = model.backbone.encode_images(prompt)
    trunk = finish(model.backbone, pruners.build("downsample", model, count=10)(prompt, seen).trunk)
    whole = finish(model.backbone, pruners.build("none", model)(prompt).branch)
    torch.testing.assert_close(trunk.hidden, whole.hidden)


def _patches(rows, cols):
    """The order of patches: token by token, the 2 x 2 of each together."""
    return [(r, c, dy, dx) for r in range(rows) for c in range(cols) for dy in (0, 1) for dx in (0, 1)]


@pytest.mark.parametrize(
    ("grid", "count", "expected"),
    [((20, 20), 44, 42), ((20, 20), 400, 400), ((20, 20), 1, 1), ((1, 10), 4, 4), ((10, 1), 4, 4), ((4, 5), 20, 20),
     ((3, 40), 30, 30), ((5, 4), 1000, 20)],
)  # fmt: skip
def test_coarser_grids(grid, count, expected):
    found = coarser(Grid(*grid), count)
    assert found.tokens == expected <= count
    assert found.rows <= grid[0] and found.cols <= grid[1]


@pytest.fixture(scope="module")
def clip():
    config = CLIPConfig(
        text_config=dict(
            vocab_size=320, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=16, eos_token_id=2, bos_token_id=1, pad_token_id=0,
        ),
        vision_config=dict(
            hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, image_size=56,
            patch_size=14,
        ),
        projection_dim=20,
    )  # fmt: skip
    hf = CLIPModel(config).eval()
    tiny.randomize(hf, seed=3)
    return ClipText(hf, PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer()))


@torch.no_grad()
@pytest.mark.parametrize("pictures", ["one", "two"])
def test_cdpruner_by_clip(clip, pictures):
    """Minus the mean cosine between patches and all pieces of the question."""
    model, prompt, slow = given("llava", pictures)
    pruned = pruners.build("cdpruner", model, count=7, clip=clip)(prompt)
    block = model.backbone.feature_block
    states = model.backbone.hf.model.vision_tower(prompt.pixel_values, output_hidden_states=True).hidden_states
    patches = clip.hf.visual_projection(clip.hf.vision_model.post_layernorm(states[block + 1][:, 1:].flatten(0, 1)))
    ids = clip.tokenizer("Which of them is red? ASSISTANT:")["input_ids"]
    pieces = [ids[start : start + 16] for start in range(0, len(ids), 16)]
    pieces[-1] += [0] * (16 - len(pieces[-1]))
    assert len(pieces) == 2
    texts = clip.hf.get_text_features(torch.tensor(pieces)).pooler_output
    cosines = torch.stack([torch.cosine_similarity(patches, text[None], dim=-1) for text in texts])
    kept = rules.cdpruner(slow.embeds[slow.visual], -cosines.mean(0), 7)
    assert kept_of(pruned) == kept
    check_answer(model, pruned, check_sequence(slow, pruned, kept, renumbered=True))


@torch.no_grad()
def test_a_clip_model_that_does_not_fit(clip):
    model, prompt, _ = given("llava", "one")
    other = ClipText(CLIPModel(CLIPConfig(vision_config=dict(hidden_size=16, num_attention_heads=2))), clip.tokenizer)
    with pytest.raises(GlimpseError, match="vision width is 16. Expected the tower's, 32"):
        pruners.build("cdpruner", model, clip=other)(prompt)
    with pytest.raises(GlimpseError, match="given as the CLIP model, but cannot be loaded"):
        pruners.build("cdpruner", model, clip="/nowhere/at/all")(prompt)


def test_plain_answer_is_the_stock_model():
    """The helper that the oracles rest on."""
    model, prompt, slow = given("qwen", "one")
    with torch.no_grad():
        expected = plain_answer(slow.hf, slow.embeds, slow.positions, STEPS)
        check_answer(model, pruners.build("none", model)(prompt), expected)
