// The sentences about costs: never praise where it is slower, never "0% more", and no comparison of times of two runs.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cacheSentence, computeSentence, costsOf, differenceText, gainOf, medianOf, sideName, timeSentence, timesOf, tokensOf,
} from "../../glimpse_core/ui/web/state/costs.js";
import { bytesText, countText, flopsText, shareText, timeText } from "../../glimpse_core/ui/web/state/units.js";

const MASK = new Uint8Array();
const ABOUT = { layers: 8, keepLayer: 5, all: 560, kept: 24, control: "" };
const side = (tokens, first, more = {}) => ({ pieces: [], state: "stop", measured: {}, first, tokens, length: tokens + 30, ...more });
const stages = (branch, glimpse) => ({ vision: 100, trunk: 500, glimpse_vip: glimpse, branch, first: 20, decode: 7 });
const state = ({ full = side(560, 40), kept = side(24, 52), times = { full: [], kept: [] }, inside = {} } = {}) => ({
  answers: { question: "What?", truth: null, full, kept, verdict: null },
  inside: {
    question: "What?", layers: 8, keep_layer: 5, alive: { full: [], kept: [], cached: [] },
    kv_bytes: { full: 10_000, kept: 900, per_token: 17 }, calculated: { full: stages(200, 0), kept: stages(20, 100) }, ...inside,
  },
  answered: { mask: MASK, settings: { control: "" } },
  scores: null,
  band: { phase: "none", answers: [] },
  times,
});

test("a hundredth more or less is no gain", () => {
  assert.equal(gainOf({ full: 100, kept: 99 }), "same");
  assert.equal(gainOf({ full: 100, kept: 101 }), "same");
  assert.equal(gainOf({ full: 100, kept: 98.9 }), "saved");
  assert.equal(gainOf({ full: 100, kept: 101.1 }), "more");
  assert.equal(gainOf({ full: null, kept: 1 }), null);
  assert.equal(gainOf({ full: 1, kept: null }), null);
});

test("without glimpse modules no glimpse is blamed", () => {
  const about = { ...ABOUT, attention: true };
  const times = { full: 40, kept: 52, old: false, runs: 1 };
  assert.equal(timeSentence(times, about), "12 ms later here: with 8 layers and 560 visual tokens, these dropped tokens save too little to show.");
  assert.equal(timeSentence(times, { ...about, kept: 560 }), "12 ms later: no token was dropped.");
  assert.equal(computeSentence({ full: 100, kept: 100.5 }, about), "No gain: only the last 2 of 8 layers read fewer tokens.");
  assert.equal(costsOf(state({ inside: { attention: true } })).about.attention, true);
});

test("slower is called later, with the reason, and never praised", () => {
  const sentence = timeSentence({ full: 40, kept: 52, old: false, runs: 1 }, ABOUT);
  assert.equal(sentence, "12 ms later here: with 8 layers and 560 visual tokens, the glimpse costs more than these dropped tokens save.");
  assert.equal(timeSentence({ full: 52, kept: 40, old: false, runs: 2 }, ABOUT), "Saved 12 ms (23%) before the first word.");
  assert.equal(timeSentence({ full: 100, kept: 100.9, old: false, runs: 1 }, ABOUT), "No gain: both need about 100 ms to the first word.");
  assert.match(timeSentence({ full: 52, kept: 40, old: false, runs: 3 }, ABOUT), /^Saved 12 ms .*\(medians of 3 runs\)\.$/);
});

test("times of two runs are not compared", () => {
  assert.equal(timeSentence({ full: 40, kept: 12, old: true, runs: 1 }, ABOUT), "Not compared: the gray time is from an earlier run.");
  const { time } = costsOf(state({ full: side(560, 40, { old: true }), kept: side(24, 12), times: { full: [1, 2, 3], kept: [1, 2, 3] } }));
  assert.deepEqual([time.full, time.kept, time.old, time.gain], [40, 12, true, null]);
  assert.equal(differenceText(time), "earlier run");
});

test("after another question about the same picture the reason for a later word is that question", () => {
  const shown = state();
  shown.answers.reused = 584;
  const { time } = costsOf(shown);
  assert.equal(time.sentence, "12 ms later here: the question before left the last layers' cache of all tokens, but the kept ones run through them anew.");
  assert.match(timeSentence({ full: 52, kept: 40, old: false, runs: 1, reused: true }, ABOUT), /^Saved 12 ms/);
  assert.match(timeSentence({ full: 40, kept: 40, old: false, runs: 1, reused: true }, ABOUT), /^No gain: the question before/);
});

test("medians are shown once there are three runs", () => {
  assert.deepEqual(timesOf(state({ times: { full: [90, 40], kept: [1, 52] } })), { full: 40, kept: 52, old: false, runs: 1, reused: false });
  assert.deepEqual(timesOf(state({ times: { full: [90, 40, 41], kept: [1, 52, 53] } })), { full: 41, kept: 52, old: false, runs: 3, reused: false });
  assert.equal(medianOf([10, 9, 100]), 10);
  assert.equal(medianOf([10, 9, 100, 11]), 10.5);
});

test("every cost has one sentence that fits its numbers", () => {
  let drawn = 7;
  const random = () => (drawn = (drawn * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 3000; round++) {
    const full = 1 + 1000 * random();
    const pair = { full, kept: random() < 0.3 ? full * (0.98 + 0.04 * random()) : 3 * full * random() };
    const about = { ...ABOUT, keepLayer: Math.floor(8 * random()), kept: random() < 0.2 ? 560 : 24 };
    for (const sentence of [cacheSentence(pair, about), computeSentence(pair, about), timeSentence({ ...pair, old: false, runs: 1 }, about)]) {
      assert.doesNotMatch(sentence, /(?<![\d.])0%/, sentence);
      const gain = /^Saved/.test(sentence) ? "saved" : /^No gain/.test(sentence) ? "same" : / (more|later)/.test(sentence) ? "more" : "";
      assert.equal(gain, gainOf(pair), sentence);
    }
  }
});

test("compute says where tokens leave", () => {
  assert.equal(
    computeSentence({ full: 100, kept: 97 }, ABOUT),
    "Saved 3%: the vision tower and the first layers read every token, only the last 2 of 8 layers read fewer tokens.",
  );
  assert.match(computeSentence({ full: 100, kept: 100 }, { ...ABOUT, keepLayer: 7 }), /^No gain: tokens leave only after the last of 8 layers/);
  assert.match(computeSentence({ full: 100, kept: 104 }, { ...ABOUT, kept: 560 }), /^4% more: no token was dropped/);
  assert.match(computeSentence({ full: 100, kept: 104 }, ABOUT), /^4% more here: with 8 layers and 560 visual tokens/);
});

test("the costs of a state", () => {
  const { cache, compute, time, about } = costsOf(state());
  assert.deepEqual([cache.full, cache.kept, cache.gain], [10_000, 900, "saved"]);
  assert.match(cache.sentence, /^Saved 91% of the memory: dropped tokens leave the cache of all 8 layers\.$/);
  assert.deepEqual([compute.full, compute.kept], [820, 740]); // decode is not part of the prefill
  assert.deepEqual([time.full, time.kept, time.gain], [40, 52, "more"]);
  assert.deepEqual(about, ABOUT);
  assert.deepEqual([cache, time, tokensOf(state())].map(differenceText), ["−91%", "+12 ms", "−96%"]);
});

test("an answer along the dial has its tokens and its cache, but no run of its own", () => {
  const order = Uint32Array.from({ length: 560 }, (_, i) => i);
  const scores = { probabilities: new Float32Array(560), logits: new Float32Array(560), order, rank: order };
  const settings = { threshold: 0.5, max_ratio: null, min_tokens: 0, budget: 11, anchors: [], painted: [], erased: [], control: "", seed: 0 };
  const along = {
    ...state({ times: { full: [1, 2, 3], kept: [4, 5, 6] } }), scores, settings, pictures: [{ rows: 20, cols: 28 }], controlMask: null,
    answered: { mask: new Uint8Array(560).fill(1, 0, 24), settings: { ...settings, control: "random" } },
    band: { phase: "done", answers: [{ budget: 11, kept: 11, text: "x", finished: "stop", right: null }] },
  };
  const { cache, compute, time, about } = costsOf(along);
  assert.deepEqual([tokensOf(along).kept, about.kept, about.control], [11, 11, ""]);
  assert.deepEqual([cache.full, cache.kept], [10_000, 10_000 - 17 * (560 - 11)]);
  assert.deepEqual([compute.full, compute.kept, compute.gain], [820, null, null]);
  assert.deepEqual([time.full, time.kept, time.gain, time.old], [40, null, null, false]);
  assert.match(compute.sentence, /^Not calculated: press Answer again/);
  assert.match(time.sentence, /^Not measured: press Answer again/);
  const stale = { ...along, band: { phase: "none", answers: [] } }; // the shown answer is still the one that was given
  assert.deepEqual([tokensOf(stale).kept, costsOf(stale).cache.kept, costsOf(stale).about.control], [24, 900, "random"]);
});

test("figures of another question are not shown with these answers", () => {
  const { cache, compute, time } = costsOf(state({ inside: { question: "Another?" } }));
  assert.deepEqual([cache.full, compute.kept, time.gain], [null, null, null]);
  assert.equal(time.sentence, "Not measured yet.");
  assert.deepEqual(costsOf({ answers: null, inside: null, answered: null, scores: null, band: { phase: "none", answers: [] }, times: { full: [], kept: [] } }).cache.sentence, "Not known yet.");
});

test("what differs by less than a hundredth in tokens is told in tokens", () => {
  assert.equal(differenceText(tokensOf(state({ kept: side(556, 40) }))), "−4");
  assert.equal(differenceText(tokensOf(state({ kept: side(560, 40) }))), "none dropped");
  assert.equal(differenceText(costsOf(state({ kept: side(24, 40.2) })).time), "no gain");
  assert.equal(differenceText(tokensOf(state({ full: side(5000, 40), kept: side(1, 30) }))), "−99.9%");
});

test("controls keep other tokens", () => {
  assert.deepEqual(["", "random", "inverse"].map(sideName), ["Kept", "Random", "Dropped"]);
});

test("units are those of the Python side", () => {
  assert.deepEqual([0, 1023, 1536, 150 * 2 ** 20, 3 * 2 ** 50].map(bytesText), ["0 B", "1023 B", "1.5 KiB", "150 MiB", "3072 TiB"]);
  assert.deepEqual([999, 12_400_000_000, null].map(flopsText), ["999 FLOPs", "12.4 GFLOPs", "–"]);
  assert.deepEqual([0, 0.42, 9.94, 340.4, 1250, undefined].map(timeText), ["0 ms", "0.4 ms", "9.9 ms", "340 ms", "1.25 s", "–"]);
  assert.deepEqual([countText(4900), shareText(0.0429)], ["4,900", "4.3%"]);
});
