// What is kept of the evidence: counted as evaluate does, and shown only for the scores that it belongs to.
import assert from "node:assert/strict";
import { test } from "node:test";

import { coverOf, coverWords, evidenceOf, evidenceWords } from "../../glimpse_core/ui/web/state/evidence.js";
import { generator } from "./random.js";

const EVIDENCE = Uint8Array.of(1, 1, 0, 0, 0, 0);
const settings = { threshold: 0.5, max_ratio: null, min_tokens: 1, budget: null, anchors: [], painted: [], erased: [], control: "random", seed: 0 };
const state = (mask, more = {}) => ({
  pictures: [{ rows: 2, cols: 3 }], active: 0, evidence: EVIDENCE, truth: true, cell: null, settings, controlMask: mask,
  scores: { order: new Uint32Array(6), probabilities: new Float32Array(6) }, ...more,
});

test("found, missed and superfluous tokens of random masks add up", () => {
  const { float } = generator(5);
  for (let round = 0; round < 200; round++) {
    const [evidence, mask] = [0, 0].map(() => Uint8Array.from({ length: 40 }, () => Number(float() < 0.4)));
    const { found, missed, superfluous } = coverOf(evidence, mask);
    const count = (test) => [...evidence.keys()].filter(test).length;
    assert.equal(found, count((i) => evidence[i] && mask[i]));
    assert.equal(missed, count((i) => evidence[i] && !mask[i]));
    assert.equal(superfluous, count((i) => !evidence[i] && mask[i]));
  }
});

test("the sentence says what was found, missed, and kept beside it", () => {
  const words = coverWords(state(Uint8Array.of(1, 0, 1, 1, 0, 0)));
  assert.equal(words, "Evidence: 1 of 2 tokens found (recall 50.0%), 1 missed, 2 more kept.");
});

test("evidence of other scores, or of none, is not shown", () => {
  const mask = new Uint8Array(6);
  assert.equal(evidenceOf(state(mask)), EVIDENCE);
  for (const more of [{ evidence: null }, { evidence: new Uint8Array(5) }, { scores: null }, { pictures: [{ rows: 0, cols: 0 }] }]) {
    assert.equal(evidenceOf(state(mask, more)), null);
    assert.equal(coverWords(state(mask, more)), "");
  }
});

test("a token is found, missed or no evidence, and nothing while the evidence is hidden", () => {
  const mask = Uint8Array.of(1, 0, 1, 0, 0, 0);
  const words = [0, 1, 2, 3].map((cell) => evidenceWords(state(mask, { cell })));
  assert.deepEqual(words, ["; evidence, found", "; evidence, missed", "; not evidence", ""]);
  assert.equal(evidenceWords(state(mask, { cell: 0, truth: false })), "");
});
