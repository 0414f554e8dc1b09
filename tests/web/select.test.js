// The selection rule against a slow oracle that is written from the rule's words (glimpse/selection.py), token by token.
import assert from "node:assert/strict";
import { test } from "node:test";

import { paintTokens, rankTokens, selectTokens } from "../../glimpse_core/ui/web/state/select.js";
import { strokesOf } from "../../glimpse_core/ui/web/state/selection.js";
import { generator } from "./random.js";

const [BELOW, ABOVE, CAPPED, FLOOR, ANCHOR, PAINTED, ERASED, WITHIN, BEYOND] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const CORNERS = ["tl", "tr", "bl", "br"];
const RULE = { threshold: 0.5, max_ratio: null, min_tokens: 0, budget: null, anchors: [], painted: [], erased: [], control: "", seed: 0 };

/** How many tokens come before this one: more probable ones, and earlier ones that are as probable. */
const before = (scores, token) => scores.filter((score, other) => score > scores[token] || (score === scores[token] && other < token)).length;

/** A place's corner names on a grid; on one of a single row or column a token has several. */
const isAnchor = (token, { rows, cols }, anchors) => {
  const [row, col] = [Math.floor(token / cols), token % cols];
  return anchors.some((name) => row === (name[0] === "t" ? 0 : rows - 1) && col === (name[1] === "l" ? 0 : cols - 1));
};

/** [kept, reason] of every token. */
const oracle = (probabilities, settings, grid) => {
  const scores = [...probabilities];
  const { threshold, max_ratio: share, min_tokens: floor, budget, anchors, painted, erased } = settings;
  const places = scores.map((_, token) => before(scores, token));
  const passes = (score) => score > new Float32Array([threshold])[0]; // as float32: scores are
  const passed = scores.filter(passes).length;
  const capped = share !== null && scores.length > 0 && passed / scores.length > share;
  const left = capped ? Math.max(1, Math.floor(share * scores.length)) : passed;
  return scores.map((score, token) => {
    if (painted.includes(token)) return [1, PAINTED];
    if (erased.includes(token)) return [0, ERASED];
    let verdict = budget === null ? byScore(score, token) : places[token] < budget ? [1, WITHIN] : [0, BEYOND];
    if (!verdict[0] && grid && isAnchor(token, grid, anchors)) verdict = [1, ANCHOR];
    return verdict;
  });
  function byScore(score, token) {
    const cut = capped && places[token] >= left;
    const verdict = !passes(score) ? [0, BELOW] : cut ? [0, CAPPED] : [1, ABOVE];
    return !verdict[0] && left < floor && places[token] < floor ? [1, FLOOR] : verdict;
  }
};

const select = (probabilities, settings, grid) =>
  paintTokens(selectTokens(probabilities, settings, undefined, grid), strokesOf(settings));

const check = (probabilities, settings, grid) => {
  const { mask, reason, kept } = select(probabilities, settings, grid);
  const expected = oracle(probabilities, settings, grid);
  const given = JSON.stringify({ probabilities: [...probabilities], settings, grid });
  assert.deepEqual([...mask].map((on, token) => [on, reason[token]]), expected, given);
  assert.equal(kept, expected.filter(([on]) => on).length, given);
};

const sample = (random, case_) => {
  const grid = { rows: random.pick([1, 1, 2, 3, 7]), cols: random.pick([1, 2, 5, 9]) };
  const count = grid.rows * grid.cols;
  const grain = random.pick([0, 2, 4, 10]); // few different values: many equals
  const value = () => (grain ? Math.round(random.float() * grain) / grain : random.float() ** random.pick([1, 8]));
  const probabilities = Float32Array.from({ length: count }, value);
  const edits = Array.from({ length: random.pick([0, 0, 1, 6]) }, () => random.below(count));
  const middle = random.below(edits.length + 1);
  const painted = [...new Set(edits.slice(0, middle))];
  const settings = {
    ...RULE,
    threshold: case_ % 4 ? random.pick([0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1]) : probabilities[random.below(count)],
    max_ratio: random.pick([null, null, 0, 0.01, 0.1, 0.3, 1 / 3, 0.5, 0.57, 1]),
    min_tokens: random.pick([0, 0, 1, 2, 5, 64]),
    budget: random.pick([null, null, null, 1, 2, 5, 24, 700]),
    anchors: CORNERS.filter(() => random.float() < 0.3),
    painted,
    erased: [...new Set(edits.slice(middle))].filter((token) => !painted.includes(token)),
  };
  return [probabilities, settings, random.pick([grid, grid, null])];
};

test("5,000 random cases are selected as the oracle selects them, reasons included", () => {
  const random = generator(14);
  const seen = new Set();
  for (let i = 0; i < 5000; i++) {
    const [probabilities, settings, grid] = sample(random, i);
    check(probabilities, settings, grid);
    oracle(probabilities, settings, grid).forEach(([, reason]) => seen.add(reason));
  }
  assert.deepEqual([...seen].sort(), [BELOW, ABOVE, CAPPED, FLOOR, ANCHOR, PAINTED, ERASED, WITHIN, BEYOND]);
});

test("a threshold is rounded to float32 before it is compared, as torch does", () => {
  const score = Math.fround(0.3); // 0.30000001192...: as numbers it is above 0.3, as float32 it is the same
  assert.ok(score > 0.3);
  assert.equal(select(Float32Array.of(score), { ...RULE, threshold: 0.3 }, null).kept, 0);
  assert.equal(select(Float32Array.of(0.3000001), { ...RULE, threshold: 0.3 }, null).kept, 1);
});

test("of equals the earlier one is kept", () => {
  const same = new Float32Array(6).fill(0.75);
  assert.deepEqual([...rankTokens(same)], [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([...select(same, { ...RULE, budget: 2 }, null).mask], [1, 1, 0, 0, 0, 0]);
  assert.deepEqual([...select(same, { ...RULE, max_ratio: 0.5 }, null).mask], [1, 1, 1, 0, 0, 0]);
});

test("a cap that is met is not exceeded, and a share is truncated", () => {
  const scores = Float32Array.from({ length: 10 }, (_, i) => (i < 3 ? 0.9 : 0.1));
  assert.equal(select(scores, { ...RULE, max_ratio: 0.3 }, null).kept, 3);
  assert.equal(select(scores, { ...RULE, max_ratio: 0.29 }, null).kept, 2);
  const hundred = Float32Array.from({ length: 100 }, (_, i) => (i < 57 ? 0.9 : 0.1));
  assert.equal(Math.trunc(0.57 * 100), 56); // so a cap that acted here would drop one
  assert.equal(select(hundred, { ...RULE, max_ratio: 0.57 }, null).kept, 57);
});

test("a cap that would leave nothing leaves the most probable token", () => {
  assert.deepEqual([...select(Float32Array.of(0.6, 0.9, 0.1), { ...RULE, max_ratio: 0 }, null).mask], [0, 1, 0]);
  assert.deepEqual([...select(Float32Array.of(0.4, 0.3), { ...RULE, max_ratio: 0 }, null).mask], [0, 0]);
});

test("a budget leaves threshold, cap and floor without effect; anchors and edits come on top", () => {
  const scores = Float32Array.of(0.1, 0.9, 0.2, 0.3);
  const settings = { ...RULE, threshold: 0.99, max_ratio: 0, min_tokens: 4, budget: 1, anchors: ["br"], painted: [0], erased: [1] };
  const { mask, reason, kept } = select(scores, settings, { rows: 2, cols: 2 });
  assert.deepEqual([...mask], [1, 0, 0, 1]);
  assert.deepEqual([...reason], [PAINTED, ERASED, BEYOND, ANCHOR]);
  assert.equal(kept, 2);
});

test("a prompt without visual tokens has an empty selection", () => {
  check(new Float32Array(), { ...RULE, max_ratio: 0.1, min_tokens: 5 }, null);
  check(new Float32Array(), { ...RULE, budget: 3 }, null);
});
