// What the stage shows and counts: the view of a step of the lesson, attention, padding, and the words for both.
import assert from "node:assert/strict";
import { test } from "node:test";

import { wrap } from "../../glimpse_core/ui/web/stage/snapshot.js";
import { countWords, idleWords, pictureWords, ruleWords, tokenWords } from "../../glimpse_core/ui/web/stage/words.js";
import { rankTokens } from "../../glimpse_core/ui/web/state/select.js";
import {
  attentionOf, isAttention, isScored, LESSON_VIEWS, LESSON_VIEWS_BY_RANK, paddingWords, shownView, talliesOf,
} from "../../glimpse_core/ui/web/state/shown.js";

const SETTINGS = { threshold: 0.5, max_ratio: null, min_tokens: 0, budget: null, anchors: [], painted: [], erased: [], control: "", seed: 0 };
const CODEC = { describe: ({ control }) => (control ? "random tokens, same budget" : "relevance above 0.5") };
const TALL = { alt: "A tower.", rows: 4, cols: 4, width: 33, height: 100, frame: [0.33, 0, 0.66, 1] };
const PLAIN = { alt: "A cat.", rows: 1, cols: 2, width: 20, height: 10 };

/** Scores of which those of the given tokens are high, the first one the highest. */
const scoresOf = (count, ...high) => {
  const probabilities = new Float32Array(count).fill(0.1);
  high.forEach((token, i) => (probabilities[token] = 0.9 - 0.01 * i));
  const order = rankTokens(probabilities);
  const rank = new Uint32Array(count);
  order.forEach((token, place) => (rank[token] = place + 1));
  return { probabilities, logits: probabilities.map((value) => Math.log(value / (1 - value))), order, rank };
};
const stateOf = (change = {}) => ({
  pictures: [TALL, PLAIN], images: [null, null], active: 0, scores: scoresOf(18, 5, 0, 17), settings: SETTINGS, controlMask: null,
  view: "only", tool: "look", lesson: null, inside: null, cell: null, ...change,
});
const bytes = (...values) => Buffer.from(Uint8Array.from(values)).toString("base64");

test("the lesson has its own views and leaves the chosen one alone", () => {
  assert.deepEqual(shownView(stateOf()), { view: "only" });
  assert.deepEqual(LESSON_VIEWS.map((_, lesson) => shownView(stateOf({ lesson })).view), ["picture", "heat", "heat", "kept", "wipe"]);
  assert.equal(shownView(stateOf({ lesson: 0 })).lined, true);
  assert.equal(shownView(stateOf({ lesson: 99 })).view, "only");
  assert.equal(shownView(stateOf({ lesson: null })).view, "only");
});

test("before there are scores, every view is the picture", () => {
  for (const state of [stateOf({ scores: null, lesson: 3 }), stateOf({ pictures: [] }), stateOf({ pictures: [{ ...TALL, rows: 0, cols: 0 }] })]) {
    assert.equal(isScored(state), false);
    assert.equal(shownView(state).view, "picture");
    assert.deepEqual(talliesOf(state), []);
  }
});

test("the second step shows attention, weighed by each head's peak; other steps and other pictures do not", () => {
  const scores = scoresOf(2, 0);
  const heads = { maps: [bytes(255, 0), bytes(0, 255)], peaks: [0.2, 0.6] };
  const state = stateOf({ pictures: [PLAIN], scores, lesson: 1, inside: { heads } });
  const [weak, strong] = attentionOf(state);
  assert.equal(strong, 1);
  assert.ok(Math.abs(weak - 1 / 3) < 1e-6);
  assert.equal(attentionOf(state), attentionOf({ ...state, cell: 1 })); // made once
  assert.equal(attentionOf({ ...state, lesson: 2 }), null);
  assert.equal(attentionOf({ ...state, inside: { heads: null } }), null);
  assert.equal(attentionOf({ ...state, inside: null }), null);
  assert.equal(attentionOf({ ...state, scores: scoresOf(3, 0) }), null);
  const dark = { maps: [bytes(0, 0)], peaks: [0.5] };
  assert.deepEqual([...attentionOf({ ...state, inside: { heads: dark } })], [0, 0]);
});

test("counts are by picture, and tokens in the padding are told apart", () => {
  const tallies = talliesOf(stateOf()); // 5 lies on the picture, 0 beside it, 17 on the second picture
  assert.deepEqual(tallies, [{ kept: 2, padding: 8, keptPadding: 1 }, { kept: 1, padding: 0, keptPadding: 0 }]);
  assert.equal(paddingWords(tallies), ", 1 of them in the padding");
  assert.equal(paddingWords(tallies.slice(1)), "");
  const edited = stateOf({ settings: { ...SETTINGS, erased: [5, 17] } });
  assert.deepEqual(talliesOf(edited), [{ kept: 1, padding: 8, keptPadding: 1 }, { kept: 0, padding: 0, keptPadding: 0 }]);
  assert.equal(talliesOf(edited), talliesOf({ ...edited, cell: 1 })); // counted once
});

test("counts in words", () => {
  assert.deepEqual(countWords(stateOf(), CODEC), ["3", " of 18 tokens kept (16.7%), 1 of them in the padding"]);
  const controlMask = Uint8Array.from({ length: 18 }, (_, i) => Number(i === 16));
  const controlled = stateOf({ controlMask, settings: { ...SETTINGS, control: "random" } });
  assert.deepEqual(countWords(controlled, CODEC), ["1", " of 18 tokens kept (5.6%), 0 of them in the padding: random tokens, same budget"]);
});

test("the picture in words", () => {
  assert.equal(pictureWords(stateOf({ pictures: [] })), "No picture");
  assert.equal(pictureWords(stateOf({ scores: null })), "A tower. Ask a question to see which parts the model keeps.");
  assert.match(pictureWords(stateOf()), /^A tower\. 4 rows by 4 columns of tokens; 3 of 18 are kept.* The most relevant one is in row 2, column 2\. Arrow keys/);
  assert.match(pictureWords(stateOf({ scores: scoresOf(18, 0) })), /The most relevant one is in the padding\./);
  assert.doesNotMatch(pictureWords(stateOf({ active: 1 })), /most relevant/);
  assert.match(pictureWords(stateOf({ active: 1, scores: scoresOf(18, 17) })), /row 1, column 2/);
});

test("where nothing is pointed at, the picture's size and padding are told", () => {
  assert.equal(idleWords(stateOf({ scores: null })), "Ask a question to see which tokens stay, and why.");
  assert.match(idleWords(stateOf()), /8 of its tokens lie in the padding to a square, which is not shown\.$/);
  assert.equal(idleWords(stateOf({ active: 1 })), "Point at a token, or use the arrow keys, to see why it stays or goes.");
  for (const [tool, hint] of [["keep", /^Drag over tokens to keep them/], ["drop", /^Drag over tokens to drop them/]]) {
    assert.match(idleWords(stateOf({ active: 1, tool })), hint);
  }
  const resized = [TALL, { ...PLAIN, original: [200, 100] }];
  assert.match(idleWords(stateOf({ pictures: resized, active: 1 })), /sees this picture at 20 × 10 pixels \(yours has 200 × 100\)\.$/);
  const same = [TALL, { ...PLAIN, original: [20, 10] }];
  assert.doesNotMatch(idleWords(stateOf({ pictures: same, active: 1 })), /pixels/);
});

test("the token under the pointer is that of the active picture", () => {
  const boot = { reasons: ["dropped by the threshold", "kept by the threshold", "", "", "", "painted in", "erased"] };
  assert.equal(tokenWords(stateOf(), boot), null);
  assert.deepEqual(tokenWords(stateOf({ active: 1, cell: 1 }), boot), {
    place: "Row 1, column 2", score: " relevance 0.880 (logit 1.99), rank 3 of 18: ", kept: true, reason: "kept by the threshold",
  });
  const erased = stateOf({ active: 1, cell: 1, settings: { ...SETTINGS, erased: [17] } });
  assert.equal(tokenWords(erased, boot).reason, "erased");
  const inverse = stateOf({ cell: 0, controlMask: new Uint8Array(18), settings: { ...SETTINGS, control: "inverse" } });
  assert.equal(tokenWords(inverse, boot).reason, "dropped here, because the glimpse keeps it");
});

test("scores of a model without glimpse modules are called attention", () => {
  const boot = { reasons: ["a", "b"], reasons_by_rank: ["", "kept within the share", "dropped beyond the share"] };
  const scores = { ...scoresOf(18, 17, 5), logits: new Float32Array(), layer: 5 };
  const state = stateOf({ active: 1, cell: 1, scores, settings: { ...SETTINGS, threshold: 0, max_ratio: 0.111 } });
  assert.ok(isAttention(state) && !isAttention(stateOf()) && !isAttention(stateOf({ scores: null })));
  assert.deepEqual(tokenWords(state, boot), {
    place: "Row 1, column 2", score: " attention at layer 5: 0.900 of the most attended token's, rank 1 of 18: ", kept: true,
    reason: "kept within the share",
  });
  assert.equal(tokenWords({ ...state, cell: 0 }, boot).reason, "dropped beyond the share");
  const inverse = { ...state, controlMask: new Uint8Array(18), settings: { ...state.settings, control: "inverse" } };
  assert.equal(tokenWords(inverse, boot).reason, "dropped here, because its rank keeps it");
  assert.match(pictureWords(state), /The most attended one is in row 1, column 2\./);
  assert.equal(ruleWords(state, { describe: () => "the 8 most relevant" }), "the 8 most attended");
  assert.equal(ruleWords(state, { describe: () => "at most 11.1%, 2 corners" }), "the 11.1% most attended, 2 corners");
  assert.equal(ruleWords(stateOf(), { describe: () => "the 8 most relevant" }), "the 8 most relevant");
  const views = LESSON_VIEWS_BY_RANK.map((_, lesson) => shownView({ ...state, lesson }).view);
  assert.deepEqual(views, ["picture", "heat", "kept", "wipe"]);
});

test("text is broken at blanks, and inside of a word only where it is wider than the line", () => {
  const measure = (text) => text.length;
  assert.deepEqual(wrap("one two three", 7, measure), ["one two", "three"]);
  assert.deepEqual(wrap("a\n\nb", 7, measure), ["a", "", "b"]);
  assert.deepEqual(wrap("extraordinary day", 5, measure), ["extra", "ordin", "ary", "day"]);
  assert.deepEqual(wrap("👁👁👁", 3, measure), ["👁", "👁", "👁"]); // two units each: none is cut in half
  assert.deepEqual(wrap("", 5, measure), [""]);
  for (const line of wrap("word ".repeat(4000), 40, measure)) assert.ok(line.length <= 40);
});
