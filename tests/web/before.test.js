// The question before: what stays of it, when it goes, and the words for what both kept.
import assert from "node:assert/strict";
import { test } from "node:test";

import { beforeOf, bothWords, secondOf } from "../../glimpse_core/ui/web/state/before.js";

const SETTINGS = { threshold: 0.5, max_ratio: null, min_tokens: 0, budget: null, anchors: [], painted: [], erased: [], control: "random", seed: 0 };
const answered = { mask: Uint8Array.of(0, 1, 1, 0, 0, 1), settings: SETTINGS };
const answers = (question, text = "red") => ({ question, truth: null, full: null, kept: { pieces: [[text, false]] }, verdict: null });
const stateOf = (more = {}) => ({
  answers: answers("First?"), answered, before: null, both: true, settings: SETTINGS, controlMask: Uint8Array.of(1, 1, 0, 0, 0, 0),
  pictures: [{ rows: 2, cols: 3 }], active: 0,
  scores: { probabilities: new Float32Array(6), logits: new Float32Array(6), order: new Uint32Array(6), rank: new Uint32Array(6) }, ...more,
});

test("an answered question is the one before the next, and not the one before itself", () => {
  const before = beforeOf(stateOf(), answers("Second?"));
  assert.deepEqual(before, { question: "First?", mask: answered.mask, text: "red" });
  assert.equal(beforeOf(stateOf({ before }), answers("First?")), before);
  assert.equal(beforeOf(stateOf({ before, answered: null }), answers("Third?")), before); // of one that was stopped nothing is known
  assert.equal(beforeOf(stateOf({ answers: null }), answers("First?")), null);
});

test("it is seen where it is wanted, and fits the pictures", () => {
  const before = beforeOf(stateOf(), answers("Second?"));
  assert.equal(secondOf(stateOf({ before })), answered.mask);
  assert.equal(secondOf(stateOf({ before, both: false })), null);
  assert.equal(secondOf(stateOf({ before, scores: null })), null);
  assert.equal(secondOf(stateOf({ before: { ...before, mask: new Uint8Array(5) } })), null);
});

test("what both kept, in words", () => {
  const before = beforeOf(stateOf(), answers("Second?"));
  assert.equal(bothWords(stateOf({ before })), "Before: “First?” kept 3 tokens, 1 of them among the 2 kept now. It was answered: red");
  assert.equal(bothWords(stateOf({ before: { ...before, text: " " } })), "Before: “First?” kept 3 tokens, 1 of them among the 2 kept now.");
  assert.equal(bothWords(stateOf()), "");
});
