// Rows and sentences of the inside: sums add up, layers are named by their numbers, places count from 1.
import assert from "node:assert/strict";
import { test } from "node:test";

import { aliveSentence, candidateRows, divergenceSentence, stageRows, strongest } from "../../glimpse_core/ui/web/state/inside.js";

const run = (...[vision, trunk, glimpse_vip, branch, first, decode]) => ({ vision, trunk, glimpse_vip, branch, first, decode });
const inside = (more = {}) => ({
  question: "What?", layers: 8, keep_layer: 5,
  alive: { full: Array(8).fill(600), kept: [601, 601, 601, 601, 601, 601, 64, 64], cached: Array(8).fill(64) },
  calculated: { full: run(1, 2, 0, 4, 8, 99), kept: run(1, 2, 16, 3, 8, 50) },
  measured: { full: run(10, 20, 0, 40, 80, 7), kept: run(10, 20, 5, 4, 80, 6) },
  kv_bytes: { full: 2, kept: 1, per_token: 1 }, heads: null, ...more,
});

test("stages and their sums, compute and time in one row", () => {
  const rows = stageRows(inside());
  assert.deepEqual(rows.map(({ name }) => name), [
    "Vision tower", "Layers 0 to 5, all tokens", "Glimpse and its predictor (VIP)", "Layers 6 to 7, kept tokens only",
    "Output matrix, first token", "Up to the first token", "Each further token",
  ]);
  assert.deepEqual(rows[5], { name: "Up to the first token", compute: [15, 30], time: [150, 119], sum: true });
  assert.deepEqual(rows[6], { name: "Each further token", compute: [99, 50], time: [7, 6], sum: true });
});

test("without times of both answers there are none", () => {
  const rows = stageRows(inside({ measured: { kept: run(1, 1, 1, 1, 1, 1) } }));
  assert.ok(rows.every(({ time }) => time === null));
});

test("layers at the end of the decoder", () => {
  assert.equal(stageRows(inside({ keep_layer: 6 }))[3].name, "Layer 7, kept tokens only");
  assert.equal(stageRows(inside({ keep_layer: 7 }))[3].name, "No layer is left");
  assert.match(aliveSentence(inside({ keep_layer: 7 })), /^All 8 layers read all 600 tokens/);
  assert.match(aliveSentence(inside()), /Up to layer 5 all 600 tokens run.*after it 64\. .*64 prompt tokens instead of 600\.$/);
});

test("attention that is read is no predictor", () => {
  assert.equal(stageRows(inside({ attention: true }))[2].name, "The attention that is read");
  assert.match(aliveSentence(inside({ attention: true })), /^Up to layer 5 all 600 tokens run; after it 64\./);
});

test("the strongest token of a picture among several", () => {
  const shares = [9, 9, 0, 0, 0, 5, 1, 1];
  assert.equal(strongest(shares, { rows: 2, cols: 3 }, 2), "row 2, column 1");
  assert.equal(strongest([1, 1], { rows: 1, cols: 2 }, 0), "row 1, column 1");
});

const token = (token_id, probability, text, stop = false) => ({ token_id, probability, text, stop });
const parted = (more = {}) => ({
  position: 2, shared: "It is", full: [token(7, 0.61, " red"), token(8, 0.3, " blue"), token(1, 0.0004, "", true)],
  kept: [token(8, 0.9, " blue"), token(9, 0.05, " "), token(5, 0.01, "\ufffd")], ...more,
});

test("candidates of both sides, and which of them the other side went on with", () => {
  assert.deepEqual(candidateRows(parted(), "full"), [
    { text: "“red”", share: 0.61, percent: "61.0%", other: false },
    { text: "“blue”", share: 0.3, percent: "30.0%", other: true },
    { text: "end of the answer", share: 0.0004, percent: "under 0.1%", other: false },
  ]);
  assert.deepEqual(candidateRows(parted(), "kept").map(({ text, other }) => [text, other]), [["“blue”", false], ["space", false], ["part of a character", false]]);
});

test("where the answers part, in one sentence", () => {
  assert.equal(divergenceSentence(null), "Both answers are the same, token by token.");
  assert.equal(divergenceSentence(parted()), "They differ after 2 tokens, “It is”: “red” with all tokens, “blue” with the kept ones.");
  assert.equal(divergenceSentence(parted({ position: 0, shared: "" })), "They differ from the first token on: “red” with all tokens, “blue” with the kept ones.");
  assert.match(divergenceSentence(parted({ position: 90, shared: "long ".repeat(40) })), /^They differ after 90 tokens, “….{59,60}”:/);
});
