// Which tokens the words of the shown answers need, and which words a token carries. Worked out by leaving tokens out, on the
// server (glimpse_core/inference/attribution.py), for one answer from one set of tokens: it is shown beside no other.

/** @import { Attribution, AttributionMessage, Side, State } from "../types" */
import { bytesOf } from "../lib/dom.js";
import { areaOf, isShown, offsetOf, placeOf } from "./geometry.js";
import { selectionOf } from "./selection.js";
import { isScored } from "./shown.js";
import { keptAnswer, textOf } from "./verdict.js";

const ENDED = ["stop", "length"];

/** @param {NonNullable<AttributionMessage["words"]>} message @returns {Attribution} */
export const attributionOf = ({ text, kept, words }) => ({ text, mask: bytesOf(kept), words });

/** The answer that is shown on one side, and the tokens that it was made from. @param {State} state @param {Side} side */
const shownAnswer = (state, side) => {
  if (side === "full") return { answer: state.answers?.full ?? null, mask: null };
  const { answer, stale, band } = keptAnswer(state);
  const mask = band ? selectionOf(state).mask : state.answered?.mask ?? null;
  return { answer: stale || !mask ? null : answer, mask };
};

/** @type {WeakMap<Uint8Array, WeakMap<Uint8Array, boolean>>} */
const compared = new WeakMap();

/** Whether two masks are the same; asked again and again of the same ones. @param {Uint8Array} one @param {Uint8Array} other */
const sameMask = (one, other) => {
  const known = compared.get(one) ?? new WeakMap();
  compared.set(one, known);
  const same = known.get(other) ?? (one.length === other.length && one.every((on, i) => on === other[i]));
  known.set(other, same);
  return same;
};

/**
 * What the words of the answer that is shown on one side need; null where that is not known, or of another answer.
 * @param {State} state @param {Side} side
 */
export const wordsOf = (state, side) => {
  const found = state.words[side];
  if (!found || !isScored(state)) return null;
  const { answer, mask } = shownAnswer(state, side);
  if (!answer || !ENDED.includes(answer.state) || textOf(answer) !== found.text) return null;
  return mask && !sameMask(found.mask, mask) ? null : found;
};

/** Whether it can be found out, and is not known yet. @param {State} state */
export const canAttribute = (state) => {
  const { answer } = shownAnswer(state, "kept");
  const idle = state.asking.phase === "idle" && state.asking.pictures === "none";
  const able = idle && isScored(state) && answer !== null && ENDED.includes(answer.state) && textOf(answer).trim() !== "";
  return able && !["waiting", "running"].includes(state.words.phase) && !wordsOf(state, "kept");
};

/** The word that is pointed at, if it is on the page. @param {State} state */
export const pointedWord = (state) => (state.word ? wordsOf(state, state.word.side)?.words[state.word.number] ?? null : null);

/** @type {WeakMap<object, Uint8Array>} */
const masks = new WeakMap();

/** The tokens that the pointed word needs, as 0 or 1 for each token; null while no word is pointed at. @param {State} state */
export const neededOf = (state) => {
  const word = pointedWord(state);
  if (!word || !state.scores) return null;
  const known = masks.get(word) ?? new Uint8Array(state.scores.order.length);
  if (!masks.has(word)) for (const token of word.needs) known[token] = 1;
  masks.set(word, known);
  return known;
};

/** Numbers of the words that need the token under the pointer. @param {State} state @param {Side} side @returns {number[]} */
export const carriedBy = (state, side) => {
  const found = wordsOf(state, side);
  if (!found || state.cell === null) return [];
  const token = offsetOf(state.pictures, state.active) + state.cell;
  return found.words.flatMap(({ needs }, number) => (needs.includes(token) ? [number] : []));
};

/** @param {number} count */
const tokens = (count) => (count === 1 ? "1 token" : `${count} tokens`);
const quoted = (/** @type {string} */ text) => `“${text}”`;

/** What the pointed word needs, in a sentence; "" where it is not of this side. @param {State} state @param {Side} side */
export const wordSentence = (state, side) => {
  const word = pointedWord(state);
  if (!word || state.word?.side !== side) return "";
  if (!word.depends) return `${quoted(word.text)} needs no token.`;
  return word.needs.length ? `${quoted(word.text)} needs ${tokens(word.needs.length)}.` : `${quoted(word.text)} needs the picture as a whole.`;
};

/** Where its tokens lie, for those who cannot see them; "" where none are shown. @param {State} state */
export const placeSentence = (state) => {
  const picture = state.pictures[state.active];
  const word = pointedWord(state);
  if (!word || !picture) return "";
  const start = offsetOf(state.pictures, state.active);
  const cells = word.needs.map((token) => token - start).filter((cell) => cell >= 0 && cell < picture.rows * picture.cols);
  const places = cells.filter((cell) => isShown(areaOf(picture), picture.cols, cell)).map((cell) => placeOf(cell, picture.cols));
  if (!places.length) return "";
  const [rows, cols] = [0, 1].map((axis) => places.map((place) => place[axis] + 1));
  const range = (/** @type {string} */ name, /** @type {number[]} */ values) =>
    Math.min(...values) === Math.max(...values) ? `${name} ${values[0]}` : `${name}s ${Math.min(...values)} to ${Math.max(...values)}`;
  return ` ${range("Row", rows)}, ${range("column", cols)}.`;
};

/** Which words of one side need the token under the pointer; "" where none is, or nothing is known. @param {State} state @param {Side} side */
export const carriedSentence = (state, side) => {
  const found = wordsOf(state, side);
  if (!found || state.cell === null) return "";
  const texts = carriedBy(state, side).map((number) => quoted(found.words[number].text));
  return texts.length ? `This token is needed for ${texts.join(", ")}.` : "No word needs this token.";
};

/**
 * An answer's text in parts: each word with its number, and what lies between words without one. A word may have several
 * parts, of which some differ from the other answer.
 * @param {[string, boolean][]} pieces @param {{ text: string }[]} words
 * @returns {{ word: number | null, parts: [string, boolean][] }[]}
 */
export const partsOf = (pieces, words) => {
  const text = pieces.map(([piece]) => piece).join("");
  /** @type {[number, number, number | null][]} */
  const spans = []; // first, end, and number of the word
  let at = 0;
  words.forEach((word, number) => {
    const first = text.indexOf(word.text, at);
    if (first < 0) return;
    if (first > at) spans.push([at, first, null]);
    at = first + word.text.length;
    spans.push([first, at, number]);
  });
  if (at < text.length) spans.push([at, text.length, null]);
  return spans.map(([first, end, word]) => ({ word, parts: cut(pieces, first, end) }));
};

/** The pieces between two places of the text. @param {[string, boolean][]} pieces @param {number} first @param {number} end */
const cut = (pieces, first, end) => {
  /** @type {[string, boolean][]} */
  const parts = [];
  let at = 0;
  for (const [piece, differs] of pieces) {
    const part = piece.slice(Math.max(0, first - at), Math.max(0, end - at));
    if (part) parts.push([part, differs]);
    at += piece.length;
  }
  return parts;
};
