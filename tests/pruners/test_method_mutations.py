"""Mistakes in the methods that must be noticed: each is put into the running code, and an oracle check must fail."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from glimpse_core.backbones import qwen, qwen_base
from glimpse_core.engine import attention
from glimpse_core.engine.decoder import filled_layers
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners import (
    cdpruner,
    dart,
    divprune,
    fastv,
    hawk,
    ivcprune,
    mmtok,
    pyramiddrop,
    smaller,
    staged,
    state,
    v2drop,
    visionselector,
    visionzip,
    vscan,
)
from tests.pruners import test_cascades as cascades
from tests.pruners import test_methods as methods

ONE = ("qwen", "one", 6)
LLAVA = ("llava", "one", 6)


def checking(test, *given):
    def check():
        test(*given)

    check.__name__ = f"{test.__name__}-{'-'.join(map(str, given))}"
    return check


def positions_left_out_of_the_ranking(patch):
    patch.setattr(state, "peek", lambda text, prefix, rope: attention.peek(text, prefix, False))


def positions_put_into_the_ranking(patch):
    patch.setattr(state, "peek", lambda text, prefix, rope: attention.peek(text, prefix, True))


def heads_averaged_before_the_softmax(patch):
    patch.setattr(state, "peek", lambda text, prefix, rope: attention.peek(text, prefix, rope).mean(1, keepdim=True))


def first_token_asks(patch):
    right = attention.peek

    def peek(text, prefix, rope):
        hidden = prefix.hidden.roll(1, 1)
        return right(text, replace(prefix, hidden=hidden), rope)

    patch.setattr(state, "peek", peek)


def least_attended_kept(patch):
    patch.setattr(fastv, "top_mask", lambda scores, count: top_mask(-scores, count))


def cache_pruned_all_the_same(patch):
    right = state.keep
    patch.setattr(state, "keep", lambda prefix, mask, **given: right(prefix, mask, **given | {"cache": "pruned"}))


def early_layers_follow_the_renumbering(patch):
    right = state.keep
    patch.setattr(state, "keep", lambda prefix, mask, **given: replace(right(prefix, mask, **given), shifts=()))


def never_renumbered(patch):
    right = state.keep
    patch.setattr(state, "keep", lambda prefix, mask, **given: right(prefix, mask, **given | {"positions": "original"}))


def stages_of_what_is_left(patch):
    right = pyramiddrop.PyramidDropPruner.counts
    patch.setattr(pyramiddrop.PyramidDropPruner, "counts", lambda self, total: [total, *right(self, total)[1:]])


def least_moved_kept(patch):
    patch.setattr(staged, "top_mask", lambda scores, count: top_mask(-scores, count))


def moved_since_the_first_layer(patch):
    right = v2drop.advance
    patch.setattr(v2drop, "advance", lambda state, depth: right(state, depth) if depth != 1 else state)


def length_instead_of_the_step(patch):
    patch.setattr(v2drop.V2DropPruner, "scored", lambda self, state, layer: _lengths(v2drop.advance(state, layer)))


def _lengths(state):
    return state, [embeds.norm(dim=-1) for embeds in v2drop.embeds_per_row(state)]


def earlier_stages_as_small_as_the_last(patch):
    patch.setattr(v2drop.V2DropPruner, "counts", lambda self, total: [self.budget(total)] * 3)


def most_alike_taken(patch):
    patch.setattr(dart, "top_mask", lambda scores, count: top_mask((-scores).nan_to_num(neginf=-9, posinf=-9), count))


def text_pivots_forgotten(patch):
    right = dart.least_alike
    patch.setattr(dart, "least_alike", lambda *given: right(*given[:5], (given[5][0], 0)))


def pivots_of_the_hidden_states(patch):
    right = dart.least_alike
    patch.setattr(dart, "least_alike", lambda s, n, t, m, *rest: right(s, s.abs().sum(-1), t, m, *rest))


def farthest_from_all_instead_of_the_chosen(patch):
    def farthest(embeds, count):
        rows = functional.normalize(embeds, dim=-1)
        return top_mask(1 - (rows @ rows.T - 2 * torch.eye(len(rows))).amax(1), count)

    patch.setattr(divprune, "farthest", farthest)


def starts_at_the_first_token(patch):
    patch.setattr(divprune, "_without_itself", lambda similarity, start: torch.zeros_like(similarity))


def distances_without_norms(patch):
    patch.setattr(divprune, "functional", SimpleNamespace(normalize=lambda rows, dim: rows))


def merged_as_a_plain_average(patch):
    right = visionzip.zipped

    def zipped(*given):
        found = right(*given)
        return replace(found, merged=found.merged / 2)

    patch.setattr(visionzip, "zipped", zipped)


def assigned_by_features_instead_of_keys(patch):
    right = visionzip.zipped
    patch.setattr(visionzip, "zipped", lambda features, scores, keys, *rest: right(features, scores, features, *rest))


def first_of_the_rest_take_in(patch):
    right = visionzip.zipped

    def zipped(features, scores, keys, dominant, contextual):
        best = top_mask(scores, dominant)
        few = torch.cat([best.nonzero()[:, 0], (~best).nonzero()[: 2 * contextual, 0]]).sort().values
        found = right(features[few], scores[few], keys[few], dominant, contextual)
        return replace(found, dominant=few[found.dominant], targets=few[found.targets])

    patch.setattr(visionzip, "zipped", zipped)


def attention_in_window_order(patch):
    right = qwen.Qwen25VL.windows

    def windows(self, prompt):
        order, sizes = right(self, prompt)
        return torch.arange(len(order)), sizes

    patch.setattr(qwen.Qwen25VL, "windows", windows)


def attention_across_images(patch):
    right = qwen_base.get_vision_cu_seqlens
    patch.setattr(qwen_base, "get_vision_cu_seqlens", lambda grid: right(grid)[[0, -1]])


def given_instead_of_received(patch):
    right = qwen_base.column_sums
    patch.setattr(qwen_base, "column_sums", lambda query, key: right(key, query))


def windows_may_give_all(patch):
    patch.setattr(vscan, "local_mask", lambda scores, windows, count: top_mask(scores, count))


def all_chosen_globally(patch):
    right = vscan.local_mask
    patch.setattr(vscan, "local_mask", lambda scores, windows, count: right(scores, windows, 0))


def dropped_ones_not_merged(patch):
    patch.setattr(vscan, "merged", lambda embeds, mask, carried: carried[mask])


def words_alone(patch):
    right = mmtok.covering
    patch.setattr(mmtok, "covering", lambda gains, count: right(gains[: -gains.shape[1]], count))


def picture_alone(patch):
    right = mmtok.covering
    patch.setattr(mmtok, "covering", lambda gains, count: right(gains[-gains.shape[1] :], count))


def best_by_themselves(patch):
    patch.setattr(mmtok, "covering", lambda gains, count: top_mask(gains.sum(0), count))


def all_words_after_the_image_ask(patch):
    patch.setattr(ivcprune, "UNREAD", 0)


def seeds_never_ask(patch):
    right, calls = ivcprune.similarity, []

    def similarity(asking, visual):
        calls.append(1)
        return right(asking, visual)[: len(calls) % 2 * asking.shape[1]]  # every second call is that of the seeds

    patch.setattr(ivcprune, "similarity", similarity)


def heads_averaged_before_they_divide(patch):
    right = ivcprune.similarity
    mean = lambda values: values.mean(0, keepdim=True)  # noqa: E731
    patch.setattr(ivcprune, "similarity", lambda asking, visual: right(mean(asking), mean(visual)))


def coordinates_forgotten(patch):
    patch.setattr(ivcprune, "COORDINATES", 0.0)


def first_axis_alone(patch):
    right = ivcprune.coordinates

    def coordinates(state):
        positions = state.prefix.positions[:1].expand_as(state.prefix.positions)
        return right(replace(state, prefix=replace(state.prefix, positions=positions)))

    patch.setattr(ivcprune, "coordinates", coordinates)


def values_of_the_first_layer(patch):
    patch.setattr(ivcprune, "filled_layers", lambda prefix: [filled_layers(prefix)[0]] * prefix.depth)


def with_positions(patch):
    patch.setattr(hawk, "peek", lambda text, prefix, rope, weights: attention.peek(text, prefix, True, weights))


def last_token_asks(patch):
    patch.setattr(hawk, "peek", lambda text, prefix, rope, weights: attention.peek(text, prefix, rope))


def all_text_asks(patch):
    patch.setattr(hawk, "asking", lambda state: (~state.visual).float())


def heads_of_any_length(patch):
    patch.setattr(hawk, "weighed", lambda logits, weights: logits @ weights)


def heads_weigh_the_same(patch):
    right = hawk.weighed
    patch.setattr(hawk, "weighed", lambda logits, weights: right(logits, torch.ones_like(weights)))


def key_and_query_exchanged(patch):
    right = visionselector.Scorer.score
    turned = lambda own: visionselector.Scorer(own.key, own.key_bias, own.query, own.query_bias)  # noqa: E731
    patch.setattr(visionselector.Scorer, "score", lambda self, rows: right(turned(self), rows))


def bias_forgotten(patch):
    right = visionselector.Scorer.score
    without = lambda own: replace(own, key_bias=own.key_bias * 0)  # noqa: E731
    patch.setattr(visionselector.Scorer, "score", lambda self, rows: right(without(self), rows))


def tokens_score_themselves(patch):
    def score(own, rows):
        return ((rows @ own.query.T + own.query_bias) * (rows @ own.key.T + own.key_bias)).sum(1)

    patch.setattr(visionselector.Scorer, "score", score)


def relevance_turned_around(patch):
    right = cdpruner.scaled
    patch.setattr(cdpruner, "scaled", lambda relevance: right(-relevance))


def relevance_forgotten(patch):
    patch.setattr(cdpruner, "scaled", torch.ones_like)


def relevance_alone(patch):
    patch.setattr(cdpruner, "diverse", lambda features, relevance, count: top_mask(relevance, count))


def class_token_forgotten(patch):
    right = visionzip.VisionZipPruner._summaries
    patch.setattr(visionzip.VisionZipPruner, "_summaries", lambda self, *given: [s * 0 for s in right(self, *given)])


def resized_without_smoothing(patch):
    def interpolate(image, size, mode, antialias):
        return functional.interpolate(image, size, mode=mode, antialias=False)

    patch.setattr(qwen_base, "functional", SimpleNamespace(interpolate=interpolate))


def averages_one_place_off(patch):
    right = smaller.centers
    patch.setattr(smaller, "centers", lambda old, new: right(old, new) - (right(old, new) > 0).long())


MUTATIONS = [
    (heads_averaged_before_the_softmax, checking(methods.test_fastv, *ONE, "untouched")),
    (first_token_asks, checking(methods.test_fastv, *ONE, "untouched")),
    (least_attended_kept, checking(methods.test_fastv, *ONE, "untouched")),
    (positions_left_out_of_the_ranking, checking(methods.test_fastv, *ONE, "untouched")),
    (cache_pruned_all_the_same, checking(methods.test_fastv, *ONE, "untouched")),
    (stages_of_what_is_left, checking(methods.test_pyramiddrop, *ONE, "published")),
    (early_layers_follow_the_renumbering, checking(methods.test_pyramiddrop, *LLAVA, "published")),
    (never_renumbered, checking(methods.test_pyramiddrop, *LLAVA, "published")),
    (never_renumbered, checking(methods.test_divprune, *LLAVA, "published")),
    (cache_pruned_all_the_same, checking(methods.test_controls_at_any_layer, "qwen", "untouched")),
    (least_moved_kept, checking(methods.test_v2drop, *ONE, "untouched")),
    (moved_since_the_first_layer, checking(methods.test_v2drop, *ONE, "untouched")),
    (length_instead_of_the_step, checking(methods.test_v2drop, *ONE, "untouched")),
    (earlier_stages_as_small_as_the_last, checking(methods.test_v2drop, *ONE, "untouched")),
    (cache_pruned_all_the_same, checking(methods.test_v2drop, *ONE, "untouched")),
    (most_alike_taken, checking(methods.test_dart, *ONE, "untouched")),
    (text_pivots_forgotten, checking(methods.test_dart, *ONE, "untouched")),
    (pivots_of_the_hidden_states, checking(methods.test_dart, *ONE, "untouched")),
    (farthest_from_all_instead_of_the_chosen, checking(methods.test_divprune, *ONE, "published")),
    (starts_at_the_first_token, checking(methods.test_divprune, *ONE, "published")),
    (distances_without_norms, checking(methods.test_divprune, *ONE, "published")),
    (merged_as_a_plain_average, checking(methods.test_visionzip, *ONE, "published")),
    (assigned_by_features_instead_of_keys, checking(methods.test_visionzip, *ONE, "published")),
    (first_of_the_rest_take_in, checking(methods.test_visionzip, *ONE, "published")),
    (class_token_forgotten, checking(methods.test_visionzip, *LLAVA, "published")),
    (attention_in_window_order, checking(methods.test_attention_inside_the_tower, "qwen", "one")),
    (attention_across_images, checking(methods.test_attention_inside_the_tower, "qwen", "two")),
    (given_instead_of_received, checking(methods.test_attention_inside_the_tower, "qwen", "one")),
    (positions_put_into_the_ranking, checking(methods.test_vscan, *ONE, "published")),
    (windows_may_give_all, checking(methods.test_vscan, "qwen", "two", 4, "published")),
    (all_chosen_globally, checking(methods.test_vscan, *ONE, "published")),
    (dropped_ones_not_merged, checking(methods.test_vscan, *ONE, "published")),
    (words_alone, checking(methods.test_mmtok, *ONE)),
    (picture_alone, checking(methods.test_mmtok, *ONE)),
    (best_by_themselves, checking(methods.test_mmtok, *ONE)),
    (all_words_after_the_image_ask, checking(methods.test_ivcprune_where_nothing_is_asked)),
    (seeds_never_ask, checking(methods.test_ivcprune_where_nothing_is_asked)),
    (heads_averaged_before_they_divide, checking(methods.test_ivcprune, *ONE, "pruned")),
    (coordinates_forgotten, checking(methods.test_ivcprune, "qwen", "two", 9, "pruned")),
    (first_axis_alone, checking(methods.test_ivcprune, "qwen", "two", 9, "pruned")),
    (values_of_the_first_layer, checking(methods.test_ivcprune, *ONE, "pruned")),
    (with_positions, checking(methods.test_hawk, *ONE, None)),
    (last_token_asks, checking(methods.test_hawk, *ONE, None)),
    (all_text_asks, checking(methods.test_hawk, *ONE, None)),
    (heads_of_any_length, checking(methods.test_hawk, *ONE, None)),
    (heads_weigh_the_same, checking(methods.test_hawk, *ONE, (0.1, 0.0, 2.0, 0.4))),
    (key_and_query_exchanged, checking(methods.test_visionselector, *ONE)),
    (bias_forgotten, checking(methods.test_visionselector, *ONE)),
    (tokens_score_themselves, checking(methods.test_visionselector, *ONE)),
    (relevance_turned_around, checking(methods.test_cdpruner_with_embeddings, *ONE)),
    (relevance_forgotten, checking(methods.test_cdpruner_with_embeddings, *ONE)),
    (relevance_alone, checking(methods.test_cdpruner_with_embeddings, *ONE)),
    (resized_without_smoothing, checking(cascades.test_a_smaller_picture_is_what_the_processor_would_have_made)),
    (averages_one_place_off, checking(cascades.test_pooling_averages_cells, "qwen")),
]


@pytest.mark.parametrize(("mistake", "check"), MUTATIONS, ids=lambda value: value.__name__)
def test_the_mistake_is_noticed(mistake, check, monkeypatch):
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check()
