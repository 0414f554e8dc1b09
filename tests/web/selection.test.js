// What is kept, worked out from the state: remembered as long as nothing changes that it depends on, and never longer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { maskOf, ownChoice, selectionOf, strokesOf } from "../../glimpse_core/ui/web/state/selection.js";
import { rankTokens } from "../../glimpse_core/ui/web/state/select.js";

const SETTINGS = { threshold: 0.5, max_ratio: null, min_tokens: 0, budget: null, anchors: [], painted: [], erased: [], control: "", seed: 0 };
const scoresOf = (...values) => {
  const probabilities = Float32Array.from(values);
  return { probabilities, logits: probabilities, order: rankTokens(probabilities), rank: new Uint32Array(values.length) };
};
const stateOf = (change = {}) => ({
  scores: scoresOf(0.9, 0.1, 0.6, 0.2), settings: SETTINGS, controlMask: null, pictures: [{ rows: 2, cols: 2 }], ...change,
});
const kept = (state) => [...selectionOf(state).mask];

test("the same object as long as nothing changes", () => {
  const state = stateOf();
  const first = selectionOf(state);
  assert.deepEqual([...first.mask], [1, 0, 1, 0]);
  assert.equal(selectionOf(state), first);
  assert.equal(selectionOf({ ...state, view: "heat", cell: 3 }), first);
});

test("another selection when settings, scores or the mask of a control change", () => {
  const state = stateOf();
  assert.deepEqual(kept(state), [1, 0, 1, 0]);
  assert.deepEqual(kept({ ...state, scores: scoresOf(0.9, 0, 0, 0) }), [1, 0, 0, 0]);
  assert.deepEqual(kept(state), [1, 0, 1, 0]);
  assert.deepEqual(kept({ ...state, settings: { ...SETTINGS, threshold: 0.7 } }), [1, 0, 0, 0]);
  const controlled = { ...state, controlMask: Uint8Array.of(0, 1, 0, 1) };
  assert.deepEqual(kept(controlled), [0, 1, 0, 1]);
  assert.equal(selectionOf(controlled).kept, 2);
  assert.deepEqual(kept(state), [1, 0, 1, 0]);
});

test("a control keeps its own tokens, whatever rule and edits say", () => {
  const settings = { ...SETTINGS, threshold: 0, painted: [0], control: "random" };
  assert.deepEqual(kept(stateOf({ settings, controlMask: Uint8Array.of(0, 0, 0, 1) })), [0, 0, 0, 1]);
});

test("edits override the rule", () => {
  const settings = { ...SETTINGS, painted: [3], erased: [0] };
  assert.deepEqual([...strokesOf(settings)], [[3, true], [0, false]]);
  assert.deepEqual(kept(stateOf({ settings })), [0, 0, 1, 1]);
});

test("corners are those of a single picture; of several there are none", () => {
  const settings = { ...SETTINGS, anchors: ["br"] };
  assert.deepEqual(kept(stateOf({ settings })), [1, 0, 1, 1]);
  const pictures = [{ rows: 1, cols: 2 }, { rows: 1, cols: 2 }];
  assert.deepEqual(kept(stateOf({ settings: { ...settings }, pictures })), [1, 0, 1, 0]);
});

test("other pictures have a selection of their own, even with the same scores", () => {
  const state = stateOf({ settings: { ...SETTINGS, anchors: ["tr"] }, pictures: [{ rows: 2, cols: 2 }] });
  assert.deepEqual(kept(state), [1, 1, 1, 0]);
  assert.deepEqual(kept({ ...state, pictures: [{ rows: 1, cols: 4 }] }), [1, 0, 1, 1]);
});

test("without scores nothing is kept, and the selection is the same object each time", () => {
  const nothing = stateOf({ scores: null });
  assert.equal(selectionOf(nothing).kept, 0);
  assert.equal(selectionOf(nothing), selectionOf({ ...nothing, settings: { ...SETTINGS } }));
});

test("the glimpse's own choice does not depend on the budget", () => {
  assert.equal(ownChoice(stateOf()), 2);
  assert.equal(ownChoice(stateOf({ settings: { ...SETTINGS, budget: 4 } })), 2);
  assert.equal(ownChoice(stateOf({ settings: { ...SETTINGS, threshold: 0.7, budget: 4 } })), 1);
  assert.equal(ownChoice(stateOf({ scores: null })), 0);
});

test("the mask of given settings, unless only the server knows it", () => {
  const { scores, pictures } = stateOf();
  assert.deepEqual([...maskOf(scores, { ...SETTINGS, budget: 1, painted: [1] }, pictures)], [1, 1, 0, 0]);
  assert.equal(maskOf(scores, { ...SETTINGS, control: "random" }, pictures), null);
  assert.equal(maskOf(null, SETTINGS, pictures), null);
});
