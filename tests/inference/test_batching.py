"""Ragged batches: every row gives what it gives alone, and mistakes in mixing rows are noticed.

The rows have no, one, two and three pictures of different sizes, prompts of different length, and lose different
numbers of tokens.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
import torch

from glimpse_core import backbones as backbone
from glimpse_core.engine import prefix
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import look as look_module
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.inference import decoding as decode
from glimpse_core.inference.batching import join
from glimpse_core.inference.decoding import answers
from glimpse_core.inference.generation import with_pruning
from glimpse_core.pruners import GlimpsePruner, InversePruner, MaskPruner, NoPruner, build, card, state
from glimpse_core.pruners import glimpse as glimpse_pruner
from glimpse_core.types import Prompt, Selection
from tests.media.test_video import clip
from tests.support import oracle, tiny, tiny_llava
from tests.support.tiny import as_inputs

STEPS = 6
GREEDY = dict(max_new_tokens=STEPS, do_sample=False, eos_token_id=None)
ROWS = (  # pictures, question
    (((140, 112), (84, 84)), "Why?"),
    ((), "How many legs has a spider?"),
    (((56, 168),), "What is this long thing over here, and who put it there?"),
    (((84, 56), (112, 112), (56, 56)), "Which?"),
)


@dataclass(frozen=True)
class Batch:
    """A model, its rows one by one, and all of them together."""

    model: GlimpseModel
    rows: tuple[Prompt, ...]
    together: Prompt


@functools.cache
def batch(attn: str = "sdpa", family: ModuleType = tiny, **changes: object) -> Batch:
    model = family.model(attn, **changes)
    rows = tuple(row(model, sizes, question, seed) for seed, (sizes, question) in enumerate(ROWS))
    return Batch(model, rows, join(model.backbone, rows))


def row(model, sizes, question, seed):
    if not sizes:
        ids = model.processor.special_ids(question)
        return model.backbone.prompt(torch.tensor([ids]), None)
    pictures = [tiny.picture(*size, seed=10 * seed + place) for place, size in enumerate(sizes)]
    return model.processor.prompt(model.backbone, pictures, question)


def alone(pruner, prompt):
    """(ids, kept, scores) of one row by itself; a row without pictures is the stock model's."""
    model = pruner.model
    if not prompt.grids:
        ids = model.backbone.hf.generate(prompt.input_ids, **GREEDY)[0, prompt.input_ids.shape[1] :]
        return ids.tolist(), torch.zeros(0, dtype=torch.bool), torch.zeros(1, 0)
    pruned = pruner(prompt)
    return ids_of(model, pruned.branch)[0], pruned.kept[0], pruned.scores and pruned.scores.logits[0]


def ids_of(model, branch):
    """Without a stop token."""
    decoding = decode.begin([decode.finish(model.backbone, branch)])
    for _ in range(STEPS):
        decoding = decode.step(model.backbone, decoding)
    return decoding.generated_ids.tolist()


def masks(given, share=0.4):
    """Random ones; the last row keeps nothing."""
    found = tiny.random_masks(given.model, given.together, share)
    return (*found[:-1], torch.zeros_like(found[-1]))


PRUNERS = {
    "glimpse": GlimpsePruner,
    "capped": lambda model: GlimpsePruner(model, Selection(threshold=0.2, max_ratio=0.3, min_tokens=2)),
    "random": lambda model: build("random_at_k", model, ratio=0.3),
    "grid": lambda model: build("grid", model, ratio=0.3),
    "fastv": lambda model: build("fastv", model, ratio=0.3, policy="common"),
    "divprune": lambda model: build("divprune", model, ratio=0.3, policy="common"),
    "inverse": InversePruner,
    "none": NoPruner,
}


@torch.no_grad()
def check(given, make, single_drop=True):
    """Every row of the batch is what it is alone: scores, masks, tokens; and the oracle's, which drops tokens once."""
    model = given.model
    pruned = make(model)(given.together)
    found = ids_of(model, pruned.branch)
    lost = {int((~mask).sum()) for mask in pruned.kept}
    assert len(lost) > 2 or lost == {0}, "rows that lose alike test little"
    for place, prompt in enumerate(given.rows):
        wanted, kept, scores = alone(one_row(make, given, place), prompt)
        if scores is not None and pruned.scores is not None:
            torch.testing.assert_close(pruned.scores.logits[place], scores, atol=1e-4, rtol=1e-4)
        assert torch.equal(pruned.kept[place], kept), place
        assert found[place] == wanted, place
        if prompt.grids and single_drop:
            seen = model.backbone.keep_mask(prompt, (kept,))
            depth = pruned.branch.depth
            assert [wanted] == oracle.answer(model.backbone.hf, prompt, seen, depth, STEPS)[0].tolist()


def one_row(make, given, place):
    """The pruner for one row; given masks are for all rows, and random ones are seeded by the row."""
    pruner = make(given.model)
    if hasattr(pruner, "masks"):
        return replace(pruner, masks=pruner.masks[place : place + 1])
    return replace(pruner, seed=pruner.seed + place) if hasattr(pruner, "seed") else pruner


both = pytest.mark.parametrize("family", [tiny, tiny_llava], ids=["qwen", "llava"])


@both
@pytest.mark.parametrize("kind", PRUNERS)
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_every_row_is_as_if_alone(attn, kind, family):
    check(batch(attn, family), PRUNERS[kind])


MERGING = ["pyramiddrop", "visionzip", "vscan", "pool"]  # or dropping several times: their oracles are elsewhere


@both
@pytest.mark.parametrize("name", ["dart", "cdpruner", "mmtok", "attention", "text_only", *MERGING])
def test_every_row_with_the_other_methods(name, family):
    given = batch(family=family)
    options = {"ratio": 0.3} if card(name).budgeted else {}
    options |= {"relevance": "embeddings"} if name == "cdpruner" else {}
    check(given, lambda model: build(name, model, policy="common", **options), name not in MERGING)


@both
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_unequal_masks_down_to_nothing(attn, family):
    given = batch(attn, family)
    check(given, lambda model: MaskPruner(model, masks(given)))


@pytest.mark.parametrize(
    "changes",
    [
        dict(keep_layer=0, read_layers=(0,)),
        dict(keep_layer=tiny.LAYERS - 1),
        dict(read_logits=False),
        dict(glimpse_length=2, vip_global=False),
    ],
    ids=str,
)
def test_other_glimpse_modules(changes):
    check(batch(**changes), GlimpsePruner)


@both
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("options", [{}, dict(num_beams=3), dict(num_beams=2, num_return_sequences=2)], ids=str)
def test_rows_through_generate(attn, options, family):
    given = batch(attn, family)
    generate = with_pruning(given.model).generate
    copies = options.get("num_return_sequences", 1)
    together = generate(**as_inputs(given.together), **GREEDY, **options).unflatten(0, (-1, copies))
    for place, prompt in enumerate(given.rows):
        inputs = as_inputs(prompt) if prompt.grids else {"input_ids": prompt.input_ids}
        wanted = generate(**inputs, **GREEDY, **options)
        assert torch.equal(together[place, :, -STEPS:], wanted[:, -STEPS:]), place


def test_videos_of_different_length_beside_a_question():
    model = tiny.model()
    rows = (clip(model, (1.5,)), row(model, (), "How many legs has a spider?", 0), clip(model, (0.5,), slices=2))
    given = Batch(model, rows, join(model.backbone, rows))
    assert given.together.seconds == (1.5, 0.5)
    check(given, GlimpsePruner, single_drop=False)


def test_rows_end_at_their_own_stop_token():
    """A token that some rows say is made the stop token: those end, the others go on."""
    given = batch()
    free = [alone(GlimpsePruner(given.model), prompt)[0] for prompt in given.rows]
    stop = next(token for token in free[0][1:] if not all(token in other for other in free))
    hf = given.model.backbone.hf
    before, hf.generation_config.eos_token_id = hf.generation_config.eos_token_id, stop
    try:
        with torch.no_grad():
            found = answers(
                given.model.backbone, given.together, GlimpsePruner(given.model)(given.together).branch, STEPS
            )
        ids = with_pruning(given.model).generate(
            **as_inputs(given.together), max_new_tokens=STEPS, do_sample=False, pad_token_id=0
        )
    finally:
        hf.generation_config.eos_token_id = before
    cut = [tokens[: tokens.index(stop)] if stop in tokens else tokens for tokens in free]
    assert found == cut
    length = given.together.input_ids.shape[1]
    assert [row[length : length + len(said)] for row, said in zip(ids.tolist(), cut, strict=True)] == cut
    assert len({len(said) for said in cut}) > 1


def test_a_batch_needs_a_row_and_a_picture():
    given = batch()
    with pytest.raises(GlimpseError, match="No prompt was given. Expected at least one"):
        join(given.model.backbone, [])
    with pytest.raises(GlimpseError, match="no image"):
        GlimpsePruner(given.model)(join(given.model.backbone, [given.rows[1]] * 2))


# ------------------------------------------------------------------------------------------------ mistakes


def masks_of_other_rows(patch):
    right = state.drop

    def drop(given, kept, **how):
        return right(given, torch.cat(kept[::-1]).split([len(mask) for mask in kept]), **how)

    patch.setattr(glimpse_pruner, "drop", drop)


def rows_keep_each_others_places(patch):
    patch.setattr(state, "keep", lambda trunk, kept, **given: prefix.keep(trunk, kept.roll(1, 0), **given))


def padded_on_the_right(patch):
    """The kept tokens moved to the left of the branch."""

    def keep(trunk, kept, **given):
        right = prefix.keep(trunk, kept, **given)
        if right.padding is None:
            return right
        order = (~right.padding).int().argsort(dim=1, stable=True)
        moved = replace(
            right,
            hidden=right.hidden.take_along_dim(order[..., None], 1),
            positions=right.positions.take_along_dim(order.expand_as(right.positions), -1),
            padding=right.padding.gather(1, order),
        )
        for layer in moved.cache.layers[: moved.depth]:
            layer.keys = layer.keys.take_along_dim(order[:, None, :, None], 2)
            layer.values = layer.values.take_along_dim(order[:, None, :, None], 2)
        return moved

    patch.setattr(state, "keep", keep)


def not_padded_after_unequal_keeps(patch):
    patch.setattr(state, "keep", lambda *args, **given: replace(prefix.keep(*args, **given), padding=None))


def padding_not_handed_to_the_predictor(patch):
    right = look_module.visual_attention
    patch.setattr(look_module, "visual_attention", lambda *given: right(*given[:3], None, *given[4:]))


def padding_counted_in_positions(patch):
    """While decoding only: in the prompt as well, a row would be shifted as a whole, which changes nothing."""
    right = decode.feed

    def feed(bone, given, tokens):
        padding = given.segments[0].padding
        pads = 0 if padding is None else (~padding).sum(1)[:, None]
        return right(bone, replace(given, positions=given.positions + pads), tokens)

    patch.setattr(decode, "feed", feed)


def all_rows_decode_with_the_last_ones_positions(patch):
    """What the original does."""
    right = decode.feed

    def feed(bone, given, tokens):
        last = given.positions[..., -1:, :].expand_as(given.positions)
        return right(bone, replace(given, positions=last), tokens)

    patch.setattr(decode, "feed", feed)


def rows_see_each_others_pictures(patch):
    right = backbone.Backbone.layout

    def layout(self, prompt, whole=True):
        found = right(self, prompt, whole)
        return replace(found, lengths=(sum(found.lengths),))

    for family in (backbone.Qwen25VL, backbone.Llava):
        patch.setattr(family, "layout", layout)


def scores_one_place_off_across_rows(patch):
    right = look_module.score

    def score(*args):
        found = right(*args)
        counts = [logits.shape[1] for logits in found.logits]
        return replace(found, logits=torch.cat(found.logits, 1).roll(1, 1).split(counts, 1))

    patch.setattr(look_module, "score", score)


def padding_not_carried_on_while_decoding(patch):
    right = decode.feed

    def feed(bone, given, tokens):
        following = right(bone, given, tokens)
        return replace(following, segments=tuple(replace(own, padding=None) for own in following.segments))

    patch.setattr(decode, "feed", feed)


MISTAKES = [
    (masks_of_other_rows, "glimpse", {}),
    (padded_on_the_right, "glimpse", {}),
    (not_padded_after_unequal_keeps, "glimpse", {}),
    (padding_not_handed_to_the_predictor, "glimpse", dict(read_logits=False)),
    (padding_counted_in_positions, "glimpse", {}),
    (all_rows_decode_with_the_last_ones_positions, "glimpse", {}),
    (rows_see_each_others_pictures, "glimpse", {}),
    (scores_one_place_off_across_rows, "glimpse", {}),
    (rows_keep_each_others_places, "glimpse", {}),
    (padding_not_carried_on_while_decoding, "glimpse", {}),
]


@both
@pytest.mark.parametrize(("mistake", "kind", "changes"), MISTAKES, ids=[mistake.__name__ for mistake, *_ in MISTAKES])
def test_the_mistake_is_noticed(mistake, kind, changes, family, monkeypatch):
    given = batch(family=family, **changes)
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check(given, PRUNERS[kind])
