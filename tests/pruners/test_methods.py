"""Every published method against its slow oracle: which tokens, what they become, and what is answered."""

from __future__ import annotations

import pytest
import torch

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.decoding import finish
from glimpse_core.parity.inference import greedy
from glimpse_core.pruners import hawk
from glimpse_core.pruners.random import random_mask
from tests.glimpse.test_oracle import MODELS
from tests.support import scorers, tiny
from tests.support import slow_methods as rules
from tests.support.slow import Slow, plain_answer

STEPS = 4
PICTURES = {"one": [(140, 112)], "two": [(112, 84), (84, 140)], "row": [(280, 28)], "token": [(28, 28)]}
cases = pytest.mark.parametrize(
    ("family", "pictures", "count"),
    [
        ("qwen", "one", 6),
        ("qwen", "one", 1),
        ("qwen", "one", 20),
        ("qwen", "two", 9),
        ("qwen", "row", 4),
        ("qwen", "token", 1),
        ("qwen3", "one", 6),
        ("qwen3", "two", 9),
        ("llava", "one", 6),
        ("llava", "one", 1),
        ("llava", "two", 13),
    ],
)


def given(family, pictures):
    model = MODELS[family]()
    prompt = tiny.prompt(model, *PICTURES[pictures], question="Which of them is red?")
    return model, prompt, Slow(model, prompt)


def kept_of(pruned):
    return pruned.kept[0].nonzero()[:, 0].tolist()


def check_answer(model, pruned, expected):
    ids, logits, _, _ = greedy(model.backbone, finish(model.backbone, pruned.branch), STEPS)
    assert ids[0].tolist() == expected[0]
    assert (logits[0] - expected[1]).abs().max() < 1e-4 * expected[1].abs().max()


def check_stages(model, slow, pruned, kept, stages):
    assert kept_of(pruned) == kept
    check_answer(model, pruned, slow.answer(stages, STEPS))


def check_sequence(slow, pruned, kept, embeds=None, renumbered=False):
    """Tokens `kept`, with other embeddings if given, in their places or counted from 0."""
    visual = slow.visual.nonzero()[:, 0]
    mask = ~slow.visual
    mask[visual[kept]] = True
    whole = slow.carried.clone()
    if embeds is not None and len(kept):
        whole[visual[kept]] = torch.stack(list(embeds))
    positions = slow.positions[..., mask]
    if renumbered:
        positions = torch.arange(int(mask.sum())).expand_as(positions)
    own, *features = whole[mask].split(slow.embeds.shape[-1], dim=-1)
    return plain_answer(slow.hf, own, positions, STEPS, features)


@torch.no_grad()
@cases
@pytest.mark.parametrize("cache", ["untouched", "pruned"])
def test_fastv(family, pictures, count, cache):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("fastv", model, count=count, cache=cache)(prompt)
    kept = rules.fastv(slow, count, 2)
    check_stages(model, slow, pruned, kept, [rules.stage(slow, kept, 2, cache)])


@torch.no_grad()
@cases
def test_attention_at_k(family, pictures, count):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("attention", model, count=count)(prompt)
    kept = rules.fastv(slow, count, model.keep_depth)
    check_stages(model, slow, pruned, kept, [rules.stage(slow, kept, model.keep_depth)])


@torch.no_grad()
@cases
@pytest.mark.parametrize("policy", ["published", "common"])
def test_pyramiddrop(family, pictures, count, policy):
    """On LLaVA the authors renumber at every stage, and decode each layer at its own stage's position."""
    model, prompt, slow = given(family, pictures)
    pruner = pruners.build("pyramiddrop", model, count=count, policy=policy)
    pruned = pruner(prompt)
    total = int(slow.visual.sum())
    counts = [max(round(total * (count / total) ** (stage / 3)), count) for stage in (1, 2)] + [count]
    renumbered = policy == "published" and family == "llava"
    cache = "untouched" if policy == "published" else "pruned"
    positions = "renumbered" if renumbered else "original"
    kept, stages = rules.stages_by_attention(slow, [1, 2, 3], counts, cache, positions)
    assert any(pruned.branch.shifts) == (renumbered and count < total)
    check_stages(model, slow, pruned, kept, stages)


def test_the_published_pyramid():
    """Half, a quarter, an eighth, at 8, 16 and 24 of 32 layers: 46.9% on average."""
    model = MODELS["llava"]()
    pruner = pruners.build("pyramiddrop", model)
    assert [drop.left for drop in pruner.plan(576)] == [288, 144, 72]
    shares = pruners.build("pyramiddrop", model, count=10, shares=(0.7, 0.3, 0.1))
    assert [drop.left for drop in shares.plan(100)] == [70, 30, 10]


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("cache", ["untouched", "pruned"])
def test_controls_at_any_layer(family, cache):
    """Nothing and random tokens from every layer on; with DeepStack before, between and after its features."""
    model, prompt, slow = given(family, "one")
    total = int(slow.visual.sum())
    for depth in range(tiny.LAYERS + 1):
        pruned = pruners.build("drop_all", model, depth=depth, cache=cache)(prompt)
        check_stages(model, slow, pruned, [], [rules.stage(slow, [], depth, cache)])
        some = random_mask(total, 5, seed=7 + depth).nonzero()[:, 0].tolist()
        pruned = pruners.build("random", model, depth=depth, cache=cache, count=5, seed=7 + depth)(prompt)
        check_stages(model, slow, pruned, some, [rules.stage(slow, some, depth, cache)])


@torch.no_grad()
@cases
@pytest.mark.parametrize("cache", ["untouched", "pruned"])
def test_v2drop(family, pictures, count, cache):
    model, prompt, slow = given(family, pictures)
    pruner = pruners.build("v2drop", model, count=count, cache=cache)
    total = int(slow.visual.sum())
    counts = [max(round(share * total), count) for share in (0.5, 0.25)] + [count]
    kept, stages = rules.v2drop(slow, [1, 2, 3], counts, cache)
    check_stages(model, slow, pruner(prompt), kept, stages)


@pytest.mark.parametrize(
    ("layers", "stages", "left"),
    [(32, (3, 17, 22), [288, 144, 1]), (28, (3, 16, 22), [144, 7, 1]), (36, (3, 19, 24), [288, 144, 1])],
)
def test_the_published_stages_of_v2drop(layers, stages, left, monkeypatch):
    """Of the authors' code for LLaVA-1.5-7B and Qwen2-VL-7B; other depths drop at the same parts."""
    monkeypatch.setattr(type(MODELS["llava"]().backbone), "layers", layers)
    pruner = pruners.build("v2drop", MODELS["llava"]())
    assert [drop.depth for drop in pruner.plan(576)] == list(stages)
    assert [drop.left for drop in pruner.plan(576)] == left
    assert [drop.left for drop in pruners.build("v2drop", MODELS["llava"](), ratio=0.4).plan(100)][-1] == 40
    own = pruners.build("v2drop", MODELS["llava"](), count=10, layers=(2, 4), shares=(0.7, 0.1))
    assert [(drop.depth, drop.left) for drop in own.plan(100)] == [(2, 70), (4, 10)]


@torch.no_grad()
@cases
@pytest.mark.parametrize("cache", ["untouched", "pruned"])
def test_dart(family, pictures, count, cache):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("dart", model, count=count, cache=cache, image_pivots=2, text_pivots=3)(prompt)
    kept = rules.dart(slow, count, 2, 2, 3)
    check_stages(model, slow, pruned, kept, [rules.stage(slow, kept, 2, cache)])


@torch.no_grad()
@cases
@pytest.mark.parametrize("policy", ["published", "common"])
def test_divprune(family, pictures, count, policy):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("divprune", model, count=count, policy=policy)(prompt)
    kept = rules.divprune(slow.embeds[slow.visual], count)
    assert kept_of(pruned) == kept
    renumbered = policy == "published" and family == "llava"
    check_answer(model, pruned, check_sequence(slow, pruned, kept, renumbered=renumbered))


def words_of(model, prompt):
    text = model.backbone.question(prompt)[0]
    assert "Which of them is red?" in model.processor.decode(prompt.input_ids[0][text].tolist())
    return model.backbone.hf.get_input_embeddings()(prompt.input_ids[0][text])


@torch.no_grad()
def test_the_question_is_the_words_behind_the_picture():
    for family, said in (("qwen", "Which of them is red?"), ("llava", "\nWhich of them is red? ASSISTANT:")):
        model, prompt, _ = given(family, "two")
        text = model.backbone.question(prompt)[0]
        assert model.processor.decode(prompt.input_ids[0][text].tolist()) == said


def test_the_question_in_llamas_words():
    """Ids of "USER: <image>\\nWhat is shown in this image? ASSISTANT:" as Vicuna's tokenizer makes them."""
    model = MODELS["llava"]()
    picture = tiny.prompt(model)
    places = [model.backbone.image_token] * picture.grids[0].tokens
    said = [5618, 338, 4318, 297, 445, 1967, 29973]
    ids = [1, 3148, 1001, 29901, 29871, *places, 29871, 13, *said, 319, 1799, 9047, 13566, 29901]
    prompt = model.backbone.prompt(torch.tensor([ids]), picture.pixel_values)
    assert prompt.input_ids[model.backbone.question(prompt)].tolist() == said


@torch.no_grad()
@cases
def test_mmtok(family, pictures, count):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("mmtok", model, count=count, temperature=0.05)(prompt)
    layer = model.backbone.feature_block + (family == "llava")  # LLaVA counts states, Qwen blocks
    states = model.backbone.encode_images(prompt, (layer,)).conditions[0]
    kept = rules.mmtok(words_of(model, prompt), slow.embeds[slow.visual], states, count, 0.5, 0.05, 0.2)
    assert kept_of(pruned) == kept
    check_answer(model, pruned, check_sequence(slow, pruned, kept, renumbered=family == "llava"))


@torch.no_grad()
@cases
@pytest.mark.parametrize("cache", ["untouched", "pruned"])
def test_ivcprune(family, pictures, count, cache):
    model, prompt, slow = given(family, pictures)
    pruner = pruners.build("ivcprune", model, count=count, cache=cache)
    after = list(range(int(slow.visual.nonzero()[-1]) + 1, len(slow.visual)))
    assert pruner.depth == 3 and len(after) > 2
    kept = rules.ivcprune(slow, after[2:], count, 3)
    check_stages(model, slow, pruner(prompt), kept, [rules.stage(slow, kept, 3, cache)])


@pytest.mark.parametrize(("layers", "expected"), [(28, 16), (32, 16), (36, 22), (24, 14), (1, 1)])
def test_the_published_layer_of_ivcprune(layers, expected, monkeypatch):
    """Qwen2.5-VL-7B, LLaVA-7B, Qwen2.5-VL-3B; and 4/7 of other decoders."""
    monkeypatch.setattr(type(MODELS["llava"]().backbone), "layers", layers)
    pruner = pruners.build("ivcprune", MODELS["llava"]())
    assert [(drop.depth, drop.left, drop.cache) for drop in pruner.plan(576)] == [(expected, 288, "pruned")]


@torch.no_grad()
def test_ivcprune_where_nothing_is_asked():
    """With two tokens after the image or fewer, the last one asks."""
    model, prompt, _ = given("llava", "one")
    last = int(model.backbone.visual(prompt)[0].nonzero()[-1])
    silent = model.backbone.prompt(prompt.input_ids[:, : last + 3], prompt.pixel_values)
    slow = Slow(model, silent)
    for count in (4, 6, 10):
        kept = rules.ivcprune(slow, [last + 2], count, 3)
        assert kept_of(pruners.build("ivcprune", model, count=count)(silent)) == kept


@torch.no_grad()
@cases
def test_visionselector(family, pictures, count):
    model, prompt, slow = given(family, pictures)
    own = scorers.scorer()
    pruned = pruners.build("visionselector", model, count=count, weights=own)(prompt)
    kept = rules.visionselector(slow.embeds[slow.visual], own, count)
    assert kept_of(pruned) == kept
    check_answer(model, pruned, check_sequence(slow, pruned, kept))


@torch.no_grad()
@pytest.mark.parametrize(("first", "split"), [("visual.", True), ("model.visual.", False)])
def test_a_scorer_in_the_published_layout(first, split, tmp_path):
    model, own = MODELS["qwen"](), scorers.scorer()
    folder = scorers.write(tmp_path / "published", own, first, split)
    prompt = tiny.prompt(model)
    expected = pruners.build("visionselector", model, count=6, weights=own)(prompt).kept[0]
    assert torch.equal(pruners.build("visionselector", model, count=6, weights=str(folder))(prompt).kept[0], expected)


@torch.no_grad()
def test_a_scorer_that_is_missing_or_does_not_fit(tmp_path):
    model = MODELS["qwen"]()
    prompt = tiny.prompt(model)
    with pytest.raises(GlimpseError, match="given no weights, and it is trained. Expected weights=FOLDER"):
        pruners.build("visionselector", model)(prompt)
    with pytest.raises(GlimpseError, match="reads tokens of width 24. Expected the model's, 32"):
        pruners.build("visionselector", model, weights=scorers.scorer(24))(prompt)
    (tmp_path / "empty").mkdir()
    with pytest.raises(GlimpseError, match="empty was given as VisionSelector's weights, but cannot be used"):
        pruners.build("visionselector", model, weights=str(tmp_path / "empty"))(prompt)
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(GlimpseError, match="Expected a downloaded folder with safetensors"):
        pruners.build("visionselector", model, weights=str(tmp_path / "empty"))(prompt)


@torch.no_grad()
@cases
@pytest.mark.parametrize("weights", [None, (0.1, 0.0, 2.0, 0.4)], ids=["equal", "own"])
def test_hawk(family, pictures, count, weights):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("hawk", model, count=count, head_weights=weights)(prompt)
    words = model.backbone.question(prompt)[0].nonzero()[:, 0].tolist()
    kept = rules.hawk(slow, words, list(weights or [1.0] * model.backbone.heads), count)
    assert kept_of(pruned) == kept
    check_answer(model, pruned, check_sequence(slow, pruned, kept))


@torch.no_grad()
def test_hawk_without_a_word_or_after_another_method():
    """The last token asks; and the words are found again where tokens before them are gone."""
    model, prompt, _ = given("qwen", "one")
    text = model.backbone.question(prompt)[0]
    ids = prompt.input_ids[:, ~text]
    silent = model.backbone.prompt(ids, prompt.pixel_values, prompt.image_grid_thw)
    slow = Slow(model, silent)
    kept = rules.hawk(slow, [ids.shape[1] - 1], [1.0] * model.backbone.heads, 6)
    assert kept_of(pruners.build("hawk", model, count=6)(silent)) == kept
    options = {"grid": {"ratio": 0.5}}
    first = kept_of(pruners.build("grid", model, ratio=0.5)(prompt))
    words = text.nonzero()[:, 0].tolist()
    slow = Slow(model, prompt)
    places = slow.visual.nonzero()[:, 0]
    slow.visual[places[[i not in first for i in range(len(places))]]] = False
    kept = [first[i] for i in rules.hawk(slow, words, [1.0] * model.backbone.heads, 4)]
    assert kept_of(pruners.build("grid+hawk", model, count=4, options=options)(prompt)) == kept


def test_the_weights_of_heads():
    model = MODELS["qwen"]()
    assert pruners.build("hawk", model).weights.tolist() == [0.25] * 4
    (known,) = hawk.PUBLISHED.values()
    assert len(known) == 28 and sum(known) == pytest.approx(1.2616, abs=1e-4) and max(known) == known[1] == 0.3
    for wrong in ((1.0,), (1.0, 1.0, 1.0, -0.1), (0.0,) * 4):
        with pytest.raises(GlimpseError, match="head_weights is .* at least 0 for each of the 4 heads"):
            pruners.build("hawk", model, head_weights=wrong)


def test_qwen_7b_has_the_published_weights(monkeypatch):
    model = MODELS["qwen"]()
    monkeypatch.setattr(type(model.backbone), "layers", 28)
    monkeypatch.setattr(type(model.backbone), "heads", 28)
    weights = pruners.build("hawk", model).weights
    assert weights.sum() == pytest.approx(1) and int(weights.argmax()) == 1 and weights[26] == 0


@torch.no_grad()
@cases
def test_cdpruner_with_embeddings(family, pictures, count):
    model, prompt, slow = given(family, pictures)
    pruned = pruners.build("cdpruner", model, count=count, relevance="embeddings")(prompt)
    embeds, words = slow.embeds[slow.visual], words_of(model, prompt)
    relevance = torch.tensor(
        [sum(float(torch.cosine_similarity(e, w, dim=0)) for w in words) / len(words) for e in embeds]
    )
    kept = [0] if len(embeds) == 1 else rules.cdpruner(embeds, relevance, count)
    assert kept_of(pruned) == kept
    check_answer(model, pruned, check_sequence(slow, pruned, kept, renumbered=family == "llava"))


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("pictures", ["one", "two"])
def test_attention_inside_the_tower(family, pictures):
    """Column sums in blocks, or the class token's row, against whole matrices of what the tower itself projected."""
    model, prompt, _ = given(family, pictures)
    backbone = model.backbone
    blocks = tuple(sorted({backbone.local_block, backbone.feature_block}))
    inside = backbone.encode_images(prompt, (), pruners.build("vscan", model).vision_reads()).readings
    for block in blocks:
        received, keys = rules.RECEIVED[family](model, prompt, block)
        torch.testing.assert_close(inside.attention[block], received, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(inside.keys[block], keys, atol=1e-5, rtol=1e-4)
    if family != "llava":  # every patch gives away 1 in all
        counts = [grid.tokens for grid in prompt.grids]
        sums = torch.stack([part.sum() for part in inside.attention[blocks[0]].split(counts)])
        torch.testing.assert_close(sums, torch.tensor(counts).float())


@torch.no_grad()
@cases
@pytest.mark.parametrize("policy", ["published", "common"])
def test_visionzip(family, pictures, count, policy):
    model, prompt, slow = given(family, pictures)
    backbone, block = model.backbone, model.backbone.feature_block
    pruned = pruners.build("visionzip", model, count=count, policy=policy)(prompt)
    attention, keys = rules.RECEIVED[family](model, prompt, block)
    authors = family == "llava" and policy == "published"
    images = min(len(PICTURES[pictures]), count) if authors else 0
    merging = round(count * (10 / 64 if family == "llava" else 0.05 / 0.111))
    merging = min(merging, max(count - images - 1, 0))
    features, project = slow.carried[slow.visual], lambda rows: rows
    if family == "llava":
        states = backbone.hf.model.vision_tower(prompt.pixel_values, output_hidden_states=True).hidden_states[block + 1]
        features, project = states[:, 1:].flatten(0, 1), backbone.hf.model.multi_modal_projector
    dominant, targets, merged = rules.visionzip(attention, keys, features, count - images - merging, merging)
    assert kept_of(pruned) == sorted([*dominant, *targets])
    assert pruned.schedules[0].final == count
    values = {**{i: features[i] for i in dominant}, **dict(zip(targets, merged, strict=True))}
    order = [*dominant, *targets] if authors else sorted(values)
    tokens = [*(states[:images, 0] if authors else []), *(values[i] for i in order)]
    first = int(slow.visual.nonzero()[0])
    if authors:
        text = slow.embeds[~slow.visual]
        gaps = (~slow.visual).nonzero()[:, 0]
        middle = int((gaps < first).sum())
        if pictures == "two":
            return  # where the pictures part, the order among them is our own choice
        whole = torch.cat([text[:middle], project(torch.stack(tokens)), text[middle:]])
        check_answer(model, pruned, plain_answer(slow.hf, whole, torch.arange(len(whole))[None], STEPS))
    else:
        expected = check_sequence(slow, pruned, order, list(project(torch.stack(tokens))))
        check_answer(model, pruned, expected)


@torch.no_grad()
@cases
@pytest.mark.parametrize("policy", ["published", "common"])
def test_vscan(family, pictures, count, policy):
    model, prompt, slow = given(family, pictures)
    backbone = model.backbone
    pruned = pruners.build("vscan", model, count=count, policy=policy)(prompt)
    local = rules.RECEIVED[family](model, prompt, backbone.local_block)[0]
    whole = rules.RECEIVED[family](model, prompt, backbone.feature_block)[0]
    cells = [
        (image, row, col)
        for image, grid in enumerate(prompt.grids)
        for row in range(grid.rows)
        for col in range(grid.cols)
    ]
    embeds = slow.embeds[slow.visual]
    first = min(3 * count, len(embeds))
    side = {"qwen": 2, "qwen3": 4, "llava": 1}[family]
    kept, merged = rules.vscan(local, whole, cells, embeds, first, side, slow.carried[slow.visual])
    changed = slow.carried.clone()
    changed[slow.visual.nonzero()[:, 0][kept]] = torch.stack(merged)
    shorter = Slow(model, prompt, changed)
    positions = "renumbered" if policy == "published" and family == "llava" else "original"
    cache = "untouched" if policy == "published" else "pruned"
    before = [rules.stage(shorter, kept, 0, "pruned", positions)]
    rope = family == "llava"
    kept, stages = rules.stages_by_attention(shorter, [2], [count], cache, positions, rope, before)
    check_stages(model, shorter, pruned, kept, stages)
