// The view of one layer: which tokens run in it, how many stay in its cache, and the words for it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { depthOf, depthSentence, depthWords, runningOf, runsOf } from "../../glimpse_core/ui/web/state/depth.js";

const SETTINGS = { threshold: 0.5, max_ratio: null, min_tokens: 0, budget: null, anchors: [], painted: [], erased: [], control: "", seed: 0 };
const MASK = Uint8Array.of(0, 1, 0, 1, 0, 0);
const stateOf = (layer, more = {}) => ({
  layer, controlMask: MASK, settings: { ...SETTINGS, control: "random" }, pictures: [{ rows: 2, cols: 3 }], active: 0,
  scores: { probabilities: new Float32Array(6), logits: new Float32Array(6), order: Uint32Array.of(0, 1, 2, 3, 4, 5), rank: Uint32Array.of(1, 2, 3, 4, 5, 6) },
  inside: { layers: 4, keep_layer: 1, alive: { full: [], kept: [], cached: [] } }, ...more,
});

test("up to layer K every token runs, after it the kept ones", () => {
  for (const [layer, running] of [[0, "111111"], [1, "111111"], [2, "010100"], [3, "010100"]]) {
    assert.equal(runningOf(stateOf(layer)).join(""), running);
  }
  assert.deepEqual(runsOf(stateOf(0)), [6, 6, 2, 2]);
});

test("a layer behind the last is the last", () => {
  assert.deepEqual(depthOf(stateOf(99)), { layer: 3, last: 3, keep: 1 });
  assert.deepEqual(depthWords(stateOf(99)), ["2", " of 6 tokens run in layer 3 (0 to 3)"]);
  assert.deepEqual(depthWords(stateOf(1)), ["6", " of 6 tokens run in layer 1 (0 to 3)"]);
});

test("while the layers are not known, the kept tokens are shown", () => {
  const state = stateOf(0, { inside: null });
  assert.deepEqual([depthOf(state), depthWords(state), depthSentence(state), runsOf(state)], [null, null, "", []]);
  assert.equal(runningOf(state), MASK);
});

test("all layers in one sentence", () => {
  assert.equal(depthSentence(stateOf(0)), "All 6 visual tokens run in layers 0 to 1, 2 in the layers after it. The cache of every layer keeps 2.");
  const last = stateOf(0, { inside: { layers: 2, keep_layer: 1, alive: {} } });
  assert.equal(depthSentence(last), "All 6 visual tokens run in every layer. The cache of every layer keeps 2.");
});
