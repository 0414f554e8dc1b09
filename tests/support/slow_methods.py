"""The published methods' rules, one by one from the formula, in loops; slow, and nothing of the engine in them.

Every function takes and returns indices of visual tokens, 0 to n - 1 in raster order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from tests.support.slow import Slow, Stage, rms, turned


def top(scores, count: int) -> list[int]:
    """Of equals the earlier."""
    return sorted(sorted(range(len(scores)), key=lambda i: (-float(scores[i]), i))[:count])


def stage(slow: Slow, kept: list[int], depth: int, cache="pruned", positions="original") -> Stage:
    places = slow.visual.nonzero()[:, 0]
    mask = ~slow.visual
    mask[places[kept]] = True
    return Stage(depth, mask, cache, positions)


def fastv(slow: Slow, count: int, layer: int) -> list[int]:
    return top(slow.attention([], layer - 1)[slow.visual], count)


def stages_by_attention(
    slow: Slow, layers: list[int], counts: list[int], cache: str, positions: str, rope: bool = True, before=()
) -> tuple[list[int], list[Stage]]:
    """PyramidDrop, and VScan's second cut: what is left, and the stages."""
    stages, kept = list(before), list(range(int(slow.visual.sum())))
    if stages:
        kept = stages[-1].kept[slow.visual].nonzero()[:, 0].tolist()
    for layer, count in zip(layers, counts, strict=True):
        scores = slow.attention(stages, layer, rope)[slow.visual]
        kept = sorted(kept[i] for i in top([scores[i] for i in kept], count))
        stages.append(stage(slow, kept, layer, cache, positions))
    return kept, stages


def v2drop(slow: Slow, layers: list[int], counts: list[int], cache: str) -> tuple[list[int], list[Stage]]:
    """What is left, and the stages: each by the length of the step that the layer before it took."""
    stages, kept = [], list(range(int(slow.visual.sum())))
    for layer, count in zip(layers, counts, strict=True):
        entering = slow.run(stages)[1]
        moved = []
        for place in slow.visual.nonzero()[:, 0].tolist():
            step = (entering[layer][place].double() - entering[layer - 1][place].double()).tolist()
            moved.append(math.sqrt(sum(value * value for value in step)))
        kept = sorted(kept[i] for i in top([moved[i] for i in kept], count))
        stages.append(stage(slow, kept, layer, cache))
    return kept, stages


def dart(slow: Slow, count: int, layer: int, image_pivots: int, text_pivots: int) -> list[int]:
    norms = slow.query_key([], layer - 1)[1].abs().flatten(1).sum(1)
    states = rms(slow.run([])[1][layer], slow.text.norm)
    visual = slow.visual.nonzero()[:, 0].tolist()
    behind = list(range(visual[-1] + 1, len(slow.visual)))
    pivots = sorted(visual, key=lambda i: (-float(norms[i]), i))[: min(image_pivots, count)]
    chosen, guides = list(pivots), pivots + sorted(behind, key=lambda i: (-float(norms[i]), i))[:text_pivots]
    missing, given = count - len(pivots), 0
    for number, pivot in enumerate(guides, 1):
        share, given = missing * number // len(guides) - given, missing * number // len(guides)
        pool = [i for i in visual if i not in chosen]
        pool.sort(key=lambda i: (float(torch.cosine_similarity(states[pivot], states[i], dim=0)), i))
        chosen += pool[:share]
    return sorted(visual.index(i) for i in chosen)


def divprune(embeds: Tensor, count: int) -> list[int]:
    total = len(embeds)
    away = [[1 - float(torch.cosine_similarity(a, b, dim=0)) for b in embeds.double()] for a in embeds.double()]
    if total == 1:
        return [0][:count]
    chosen = [max(range(total), key=lambda j: min(away[j][i] for i in range(total) if i != j))][:count]
    while len(chosen) < min(count, total):
        rest = [j for j in range(total) if j not in chosen]
        chosen.append(max(rest, key=lambda j: min(away[i][j] for i in chosen)))
    return sorted(chosen)


def mmtok(words: Tensor, embeds: Tensor, states: Tensor, count: int, alpha: float, tau: float, own: float) -> list[int]:
    """Greedy on the sum, over words and patches, of the best that any chosen token offers."""
    rows = []
    for sources, targets, temperature, weight in ((words, embeds, tau, 1.0), (states, states, own, alpha)):
        for source in sources.double():
            cosines = [float(torch.cosine_similarity(source, target, dim=0)) for target in targets.double()]
            weights = [math.exp((value - max(cosines)) / temperature) for value in cosines]
            rows.append([weight * value / sum(weights) / len(sources) for value in weights])
    chosen: list[int] = []
    for _ in range(min(count, len(embeds))):
        rest = [j for j in range(len(embeds)) if j not in chosen]
        chosen.append(max(rest, key=lambda j: sum(max(row[i] for i in [*chosen, j]) for row in rows)))
    return sorted(chosen)


def ivcprune(slow: Slow, words: list[int], count: int, layer: int) -> list[int]:
    """In the value vectors of the layer before `layer`: seeds, then coordinates, then scores."""
    values, places = slow.value([], layer - 1).double(), slow.visual.nonzero()[:, 0].tolist()

    def divided(asking: int) -> list[float]:
        total = [0.0] * len(places)
        for head in range(values.shape[1]):
            products = [float(values[asking, head] @ values[i, head]) / values.shape[-1] ** 0.5 for i in places]
            weights = [math.exp(value - max(products)) for value in products]
            total = [own + value / sum(weights) / values.shape[1] for own, value in zip(total, weights, strict=True)]
        return total

    asked = [divided(word) for word in words]
    means = [sum(column) for column in zip(*asked, strict=True)]
    chosen = top(means, min(max(1, round(0.01 * len(places))), count))
    asked += [divided(places[seed]) for seed in chosen]
    scores = [sum(column) for column in zip(*asked, strict=True)]
    axes = slow.positions.reshape(-1, slow.positions.shape[-1]).tolist()
    frequencies = slow.text.rotary_emb.inv_freq.double().tolist()
    marked: set[int] = set()
    for turn in (math.cos, math.sin):
        mean = []
        for place in places:
            parts = sorted(sum(turn(axis[place] * one) for one in frequencies) for axis in axes)
            mean.append(sum(parts))
        marked |= set(top(mean, round(0.2 * count)))
    for tier in (marked, range(len(places))):
        rest = [i for i in tier if i not in chosen]
        chosen += sorted(rest, key=lambda i: (-scores[i], i))[: count - len(chosen)]
    return sorted(chosen)


def visionselector(embeds: Tensor, scorer, count: int) -> list[int]:
    rows = embeds.double()
    queries = [scorer.query.double() @ row + scorer.query_bias.double() for row in rows]
    keys = [scorer.key.double() @ row + scorer.key_bias.double() for row in rows]
    scale = len(scorer.query) ** 0.5 * len(rows)
    return top([sum(float(query @ key) for key in keys) / scale for query in queries], count)


def hawk(slow: Slow, words: list[int], weights: list[float], count: int) -> list[int]:
    """words: places of the words that ask, in the prompt."""
    query, key = (part.double() for part in slow.query_key([], 0, rope=False))
    places, groups = slow.visual.nonzero()[:, 0].tolist(), query.shape[1] // key.shape[1]
    scores = [0.0] * len(places)
    for head, weight in enumerate(weights):
        asked = []
        for place in places:
            products = [float(query[word, head] @ key[place, head // groups]) for word in words]
            asked.append(sum(products) / len(products) / query.shape[-1] ** 0.5)
        length = math.sqrt(sum(value * value for value in asked))
        scores = [score + weight * value / length for score, value in zip(scores, asked, strict=True)]
    return top(scores, count)


def cdpruner(embeds: Tensor, relevance: Tensor, count: int) -> list[int]:
    """Greedy on the determinant of the chosen rows and columns of the kernel."""
    rows = torch.nn.functional.normalize(embeds.double(), dim=-1)
    low, high = relevance.double().min(), relevance.double().max()
    weights = (relevance.double() - low + 1e-6) / (high - low)
    kernel = weights[:, None] * (rows @ rows.T) * weights
    chosen: list[int] = []
    for _ in range(count):
        rest = [j for j in range(len(embeds)) if j not in chosen]

        def volume(j):
            index = [*chosen, j]
            return float(torch.linalg.slogdet(kernel[index][:, index])[1])

        chosen.append(max(rest, key=volume))
    return sorted(chosen)


def visionzip(attention, keys: Tensor, features: Tensor, dominant: int, contextual: int):
    """Dominant indices, target indices, and what the targets become."""
    best = top(attention, dominant)
    rest = [i for i in range(len(features)) if i not in best]
    step = max(1, len(rest) // contextual) if contextual else 1
    targets = [rest[k * step] for k in range(contextual)]
    joined: dict[int, list[int]] = {target: [] for target in targets}
    unit = [key / key.norm() for key in keys]
    for i in rest:
        if i not in targets and targets:
            joined[max(targets, key=lambda t: (float(unit[i] @ unit[t]), -t))].append(i)
    merged = [
        features[t] + (sum(features[i] for i in group) / len(group) if group else 0) for t, group in joined.items()
    ]
    return best, targets, merged


def vscan(local, whole, cells: list[tuple[int, int, int]], embeds: Tensor, count: int, side: int, carried: Tensor):
    """Kept indices and what becomes of `carried`. cells: (image, row, column) of every token."""
    windows = [(image, row // side, col // side) for image, row, col in cells]
    half, part = count // 2, math.ceil((count // 2) / len(set(windows)))
    picked: list[int] = []
    for i in sorted(range(len(local)), key=lambda i: (-float(local[i]), i)):
        if len(picked) < half and sum(windows[j] == windows[i] for j in picked) < part:
            picked.append(i)
    rest = [i for i in range(len(whole)) if i not in picked]
    picked += sorted(rest, key=lambda i: (-float(whole[i]), i))[: count - len(picked)]
    picked.sort()
    groups: dict[int, list[int]] = {i: [i] for i in picked}
    for i in range(len(embeds)):
        if i not in picked:
            similar = [float(torch.cosine_similarity(embeds[i].double(), embeds[j].double(), dim=0)) for j in picked]
            groups[picked[similar.index(max(similar))]].append(i)
    return picked, [sum(carried[j] for j in group) / len(group) for group in groups.values()]


# -------------------------------------------------------------------------------------- inside the vision towers


@torch.no_grad()
def qwen_received(model, prompt, block: int) -> tuple[Tensor, Tensor]:
    """What each visual token of a Qwen tower receives in a block (N,), and its mean key (N, D): whole matrices."""
    hf, seen = model.backbone.hf, {}
    attn = hf.model.visual.blocks[block].attn
    hook = attn.qkv.register_forward_hook(lambda *given: seen.update(out=given[2]))
    hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw)
    hook.remove()
    query, key, _ = seen["out"].view(len(seen["out"]), 3, attn.num_heads, -1).unbind(1)
    size = query.shape[-1]
    vision = hf.config.vision_config
    order = torch.arange(sum(grid.tokens for grid in prompt.grids))
    if hasattr(vision, "window_size"):  # Qwen2.5-VL
        order, _ = get_vision_window_index(  # raster index of each token in the tower's order
            prompt.image_grid_thw,
            spatial_merge_size=2,
            window_size=vision.window_size,
            patch_size=vision.patch_size,
        )
    order = order.tolist()
    places = [(row, col) for grid in prompt.grids for row in range(grid.rows) for col in range(grid.cols)]
    spots = [(2 * row + dy, 2 * col + dx) for row, col in (places[i] for i in order) for dy in (0, 1) for dx in (0, 1)]
    inverse = 10000.0 ** (-torch.arange(0, size // 2, 2).float() / (size // 2))
    angles = torch.stack([torch.cat([y * inverse, x * inverse]) for y, x in spots])
    angles = torch.cat([angles, angles], -1)
    query, key = turned(query, angles.cos(), angles.sin()), turned(key, angles.cos(), angles.sin())
    received, means = torch.zeros(len(order)), torch.zeros(len(order), size)
    before = 0
    for grid in prompt.grids:
        own = slice(before * 4, (before + grid.tokens) * 4)
        weights = torch.einsum("qhd,khd->hqk", query[own], key[own]).div(size**0.5).softmax(-1)
        sums = weights.sum(1).mean(0).view(-1, 4).mean(1)
        for spot, raster in enumerate(order[before : before + grid.tokens]):
            received[raster] = sums[spot]
            means[raster] = key[own].mean(1).view(-1, 4, size).mean(1)[spot]
        before += grid.tokens
    return received, means


@torch.no_grad()
def clip_received(model, prompt, block: int) -> tuple[Tensor, Tensor]:
    """What the class token attends to in a block of CLIP (N,), and the patches' mean keys (N, D): whole matrices."""
    hf, seen = model.backbone.hf, {}
    attn = hf.model.vision_tower.encoder.layers[block].self_attn
    hooks = [
        part.register_forward_hook(lambda *given, name=name: seen.update({name: given[2]}))
        for name, part in (("q", attn.q_proj), ("k", attn.k_proj))
    ]
    hf.model.get_image_features(prompt.pixel_values)
    for hook in hooks:
        hook.remove()
    query, key = (seen[name].unflatten(-1, (attn.num_heads, -1)) for name in "qk")  # (images, 1 + P, H, D)
    weights = torch.einsum("iqhd,ikhd->ihqk", query, key).div(query.shape[-1] ** 0.5).softmax(-1)
    return weights[:, :, 0, 1:].mean(1).flatten(), key[:, 1:].mean(2).flatten(0, 1)


RECEIVED = {"qwen": qwen_received, "qwen3": qwen_received, "llava": clip_received}
