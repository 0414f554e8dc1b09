// Methods: order of the cards, the summary line, verdicts, masks of bits, and what is saved.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  begun, isRunning, maskOf, NOTHING, ORDERS, savedText, sorted, summaryOf, truthOf, verdictOf, withMessage,
} from "../../glimpse_core/ui/web/state/methods.js";

const result = (name, same, first, more = {}) => ({
  name, label: name.toUpperCase(), where: "before the decoder", text: "x", same, right: null, first, kept: 3, total: 10, kv: 0.5,
  prefill: 0.5, mask: "oAA=", ...more,
});
const ASKED = { question: "What?", percent: 11, names: ["a", "b"], pictures: [] };
const RESULTS = [
  result("none", true, 0.9), result("a", false, 0.1), result("b", true, 0.5), result("c", true, 0.2, { kv: 0.1 }),
  { name: "d", label: "D", where: "somewhere", error: "cannot" }, result("e", true, null),
];
const names = (results) => results.map(({ name }) => name).join("");

test("same answers first, then time; all tokens before and failures behind", () => {
  assert.equal(names(sorted(RESULTS, "same")), "nonecbead");
  assert.equal(names(sorted(RESULTS, "time")), "noneacbed");
  assert.equal(names(sorted(RESULTS, "kv")), "nonecabed");
  assert.equal(names(sorted(RESULTS, "name")), "noneabced");
  assert.equal(names(RESULTS), "noneabcde"); // not sorted in place
  for (const [name] of ORDERS) assert.equal(sorted(RESULTS, name).length, RESULTS.length);
});

test("one line says how many agree, and which", () => {
  const comparison = { ...NOTHING, asked: ASKED, results: RESULTS };
  assert.equal(summaryOf(comparison), "3 of 4 methods give the same answer at 11%: B, C, E; not A.");
  assert.equal(summaryOf({ ...comparison, results: RESULTS.slice(0, 1) }), "");
  assert.equal(summaryOf({ ...comparison, results: RESULTS.slice(0, 2) }), "0 of 1 method give the same answer at 11%.");
  assert.equal(summaryOf({ ...comparison, results: [RESULTS[2]] }), "1 of 1 method gives the same answer at 11%.");
  const many = [...Array(9)].map((_, i) => result(`m${i}`, i < 4, 1));
  assert.equal(summaryOf({ ...comparison, results: many }), "4 of 9 methods give the same answer at 11%."); // no list as long as that
  const known = [result("none", true, 1, { right: false }), result("a", false, 1, { right: true }), result("b", true, 1, { right: false })];
  assert.equal(summaryOf({ ...comparison, results: known }), "1 of 2 methods gives the same answer at 11%: B; not A. 1 of 2 give the true answer.");
});

test("verdicts say what pruning did where the truth is known", () => {
  const [rightly, wrongly] = [{ right: true }, { right: false }].map((more) => result("none", true, 1, more));
  const of = (same, right, full) => verdictOf(result("a", same, 1, { right }), full).text;
  assert.equal(of(true, true, rightly), "Same answer, and true");
  assert.equal(of(false, false, rightly), "Pruning broke it");
  assert.equal(of(false, true, wrongly), "Pruning fixed it");
  assert.equal(of(true, false, wrongly), "Same answer, both wrong");
  assert.equal(of(false, false, wrongly), "Another answer, both wrong");
  assert.equal(of(false, null, undefined), "Another answer than with all tokens");
  assert.deepEqual(verdictOf(rightly, rightly), { text: "True answer", kind: "good" });
  assert.deepEqual(verdictOf(result("none", true, 1), undefined), { text: "", kind: "" });
});

test("a mask is one bit per token, the first one highest", () => {
  assert.deepEqual([...maskOf("oAA=", 10)], [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // bytes 0xa0 0x00
  assert.deepEqual([...maskOf("/4A=", 9)], [1, 1, 1, 1, 1, 1, 1, 1, 1]);
});

test("messages add up", () => {
  let now = begun(ASKED);
  assert.ok(isRunning(now));
  now = withMessage(now, { state: "running", text: "…", truth: "It is red." });
  now = withMessage(now, { state: "running", text: "…", grids: [{ rows: 2, cols: 5, frame: [0, 0, 1, 1] }] });
  now = withMessage(now, { state: "running", text: "1 of 2 done…", result: RESULTS[0] });
  now = withMessage(now, { state: "running", text: "2 of 2 done…", result: RESULTS[1] });
  now = withMessage(now, { state: "done", text: "All done." });
  assert.deepEqual([now.truth, now.grids.length, now.results.length, isRunning(now)], ["It is red.", 1, 2, false]);
  const saved = JSON.parse(savedText(now));
  assert.deepEqual([saved.question, saved.percent, saved.truth], ["What?", 11, "It is red."]);
  assert.deepEqual(saved.methods[0].mask, [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(saved.methods[1].text, "x");
});

test("the truth of the question in the box", () => {
  const boot = { examples: [{ questions: [["A?", "a."], ["B?", "b."]] }] };
  const state = { question: " B? ", answers: { question: "A?", truth: "a." }, example: 0 };
  assert.equal(truthOf(state, boot), "b.");
  assert.equal(truthOf({ ...state, question: "A?" }, boot), "a.");
  assert.equal(truthOf({ ...state, question: "C?" }, boot), null);
  assert.equal(truthOf({ ...state, example: null }, boot), null);
});
