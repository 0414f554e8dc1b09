// What the words of an answer need: shown for the answer that it was found for, and for no other.
import assert from "node:assert/strict";
import { test } from "node:test";

import { reducer } from "../../glimpse_core/ui/web/state/reducer.js";
import {
  attributionOf, canAttribute, carriedBy, carriedSentence, neededOf, partsOf, placeSentence, pointedWord, wordSentence, wordsOf,
} from "../../glimpse_core/ui/web/state/words.js";
import { generator } from "./random.js";

const MASK = Uint8Array.of(1, 1, 0, 1, 0, 0);
const FOUND = {
  text: "It is red",
  mask: MASK,
  words: [
    { text: "It", depends: false, needs: [] }, { text: "is", depends: true, needs: [] }, { text: "red", depends: true, needs: [0, 3] },
  ],
};
const FULL = { text: "It is red", mask: new Uint8Array(6).fill(1), words: FOUND.words.map((word) => ({ ...word, needs: word.needs.slice(0, 1) })) };
const answer = (text, state = "stop") => ({ pieces: [[text, false]], state, tokens: 3 });
const settings = { threshold: 0.5, max_ratio: null, min_tokens: 1, budget: null, anchors: [], painted: [], erased: [], control: "random", seed: 0 };
const state = (more = {}) => ({
  pictures: [{ rows: 2, cols: 3 }], active: 0, cell: null, settings, controlMask: MASK, band: { phase: "none", answers: [] },
  scores: { order: new Uint32Array(6), probabilities: new Float32Array(6) }, answered: { mask: MASK, settings },
  answers: { question: "?", kept: answer("It is red"), full: answer("It is red"), verdict: null },
  asking: { phase: "idle", pictures: "none" }, words: { phase: "done", tries: 9, kept: FOUND, full: FULL }, word: null, ...more,
});
const pointing = (number, side = "kept", more = {}) => state({ word: { side, number }, ...more });

test("words are those of the shown answer from the shown tokens", () => {
  assert.equal(wordsOf(state(), "kept"), FOUND);
  assert.equal(wordsOf(state(), "full"), FULL);
  const answers = (kept, full = answer("It is red")) => ({ answers: { question: "?", kept, full, verdict: null } });
  for (const more of [
    answers(answer("It is blue")), answers(answer("It is red", "running")), answers(null), { scores: null }, { answered: null },
    { answered: { mask: Uint8Array.of(1, 1, 1, 1, 0, 0), settings } }, { controlMask: new Uint8Array(6) }, { words: { phase: "none", kept: null, full: null } },
  ]) assert.equal(wordsOf(state(more), "kept"), null, JSON.stringify(more));
  const copy = { ...FOUND, mask: Uint8Array.from(MASK) };
  assert.equal(wordsOf(state({ words: { phase: "done", kept: copy, full: null } }), "kept"), copy);
  assert.equal(wordsOf(state(answers(answer("It is red"), answer("It is blue"))), "full"), null);
});

test("of an answer along the dial, the words belong to the tokens that are kept now", () => {
  const budget = { ...settings, budget: 2, control: "" };
  const scores = { order: Uint32Array.of(1, 4, 0, 2, 3, 5), probabilities: Float32Array.of(0.3, 0.9, 0.2, 0.1, 0.8, 0) };
  const band = { phase: "done", answers: [{ budget: 2, kept: 2, text: "It is red", finished: "stop", right: null }] };
  const found = { ...FOUND, mask: Uint8Array.of(0, 1, 0, 0, 1, 0) };
  const at = (more) => state({ settings: budget, controlMask: null, scores, band, words: { phase: "done", kept: found, full: null }, ...more });
  assert.equal(wordsOf(at({}), "kept"), found);
  assert.equal(wordsOf(at({ words: { phase: "done", kept: FOUND, full: null } }), "kept"), null);
  assert.equal(wordsOf(at({ settings: { ...budget, budget: 3 } }), "kept"), null);
});

test("it can be asked for once an answer stands, and not twice", () => {
  const none = { phase: "none", tries: 0, kept: null, full: null };
  assert.equal(canAttribute(state({ words: none })), true);
  assert.equal(canAttribute(state({ words: { ...none, phase: "stopped" } })), true);
  assert.equal(canAttribute(state()), false);
  for (const more of [
    { asking: { phase: "answering", pictures: "none" } }, { asking: { phase: "idle", pictures: "loading" } }, { controlMask: new Uint8Array(6) },
    { words: { ...none, phase: "running" } }, { words: { ...none, phase: "waiting" } }, { answers: null },
    { answers: { question: "?", kept: answer("", "stop"), full: null, verdict: null } },
    { answers: { question: "?", kept: answer("It", "cancelled"), full: null, verdict: null } },
  ]) assert.equal(canAttribute(state({ words: none, ...more })), false, JSON.stringify(more));
});

test("a pointed word lights its tokens, always the same mask", () => {
  assert.equal(neededOf(state()), null);
  assert.deepEqual([...neededOf(pointing(2))], [1, 0, 0, 1, 0, 0]);
  assert.equal(neededOf(pointing(2)), neededOf(pointing(2)));
  assert.deepEqual([...neededOf(pointing(2, "full"))], [1, 0, 0, 0, 0, 0]);
  assert.deepEqual([...neededOf(pointing(0))], [0, 0, 0, 0, 0, 0]);
  assert.equal(pointedWord(pointing(7)), null);
  assert.equal(neededOf(pointing(2, "kept", { controlMask: new Uint8Array(6) })), null);
});

test("a token names the words that need it", () => {
  assert.deepEqual([carriedBy(state({ cell: 0 }), "kept"), carriedBy(state({ cell: 3 }), "full")], [[2], []]);
  const said = (more, side = "kept") => carriedSentence(state(more), side);
  assert.equal(said({}), "");
  assert.equal(said({ cell: 0 }), "This token is needed for “red”.");
  assert.equal(said({ cell: 1 }), "No word needs this token.");
  assert.equal(said({ cell: 3 }, "full"), "No word needs this token.");
  assert.equal(said({ cell: 1, words: { phase: "none", kept: null, full: null } }), "");
  const second = { pictures: [{ rows: 1, cols: 3 }, { rows: 1, cols: 3 }], active: 1, cell: 0 };
  assert.equal(said(second), "This token is needed for “red”.");
});

test("a sentence says what a word needs, and where for those who cannot see it", () => {
  const said = [0, 1, 2].map((number) => wordSentence(pointing(number), "kept"));
  assert.deepEqual(said, ["“It” needs no token.", "“is” needs the picture as a whole.", "“red” needs 2 tokens."]);
  assert.equal(wordSentence(pointing(2, "full"), "full"), "“red” needs 1 token.");
  assert.equal(wordSentence(pointing(2, "full"), "kept"), "");
  assert.equal(placeSentence(pointing(2)), " Rows 1 to 2, column 1.");
  assert.equal(placeSentence(pointing(2, "full")), " Row 1, column 1.");
  assert.equal(placeSentence(pointing(1)), "");
  assert.equal(placeSentence(pointing(2, "kept", { pictures: [{ rows: 1, cols: 3 }, { rows: 1, cols: 3 }], active: 1 })), " Row 1, column 1.");
});

test("the parts of any text put together are the text, and each word is whole", () => {
  const { float } = generator(9);
  const any = (list) => list[Math.floor(float() * list.length)];
  for (let round = 0; round < 200; round++) {
    const words = Array.from({ length: 1 + Math.floor(6 * float()) }, () => any(["a", "aa", "ab", "b.", "日本", "é"]));
    const text = words.reduce((sum, word) => sum + word + any([" ", "  ", "\n"]), any(["", " "]));
    const pieces = [];
    for (let at = 0; at < text.length; at = at + pieces.at(-1)[0].length) pieces.push([text.slice(at, at + 1 + Math.floor(3 * float())), float() < 0.5]);
    const parts = partsOf(pieces, words.map((word) => ({ text: word })));
    const joined = (list) => list.map(([part]) => part).join("");
    assert.equal(parts.map(({ parts: own }) => joined(own)).join(""), text);
    assert.deepEqual(parts.filter(({ word }) => word !== null).map(({ word, parts: own }) => [word, joined(own)]), words.map((word, number) => [number, word]));
    assert.deepEqual(parts.flatMap(({ parts: own }) => own.flatMap(([part, differs]) => [...part].map(() => differs))),
      pieces.flatMap(([piece, differs]) => [...piece].map(() => differs)));
  }
});

test("a message becomes masks, and new answers end what was known", () => {
  const message = { text: "It", kept: btoa("\x01\x00\x01"), words: FOUND.words.slice(0, 1) };
  assert.deepEqual(attributionOf(message), { text: "It", mask: Uint8Array.of(1, 0, 1), words: message.words });
  const before = { ...state(), asking: { phase: "idle", pictures: "none", request: 1 }, word: { side: "kept", number: 1 } };
  const after = reducer(before, { type: "message", request: 1, message: { canvas: { clear: true } } });
  assert.deepEqual([after.words, after.word], [{ phase: "none", tries: 0, kept: null, full: null }, null]);
  assert.equal(reducer(before, { type: "word", word: { side: "kept", number: 1 } }), before);
  assert.deepEqual(reducer(before, { type: "words", words: { tries: 20 } }).words, { ...before.words, tries: 20 });
});
