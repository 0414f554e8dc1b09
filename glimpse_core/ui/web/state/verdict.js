// Which pruned answer is on the page, and the sentence about both answers.

/** @import { Answer, BandAnswer, State } from "../types" */
import { isStale } from "./reducer.js";
import { selectionOf } from "./selection.js";

const ENDED = ["stop", "length"];

/** @param {Answer | null} answer */
export const textOf = (answer) => (answer ? answer.pieces.map(([piece]) => piece).join("") : "");

/** Whether the budget alone decides which tokens are kept. @param {State} state */
const budgetAlone = ({ settings }) =>
  settings.budget !== null && !settings.anchors.length && !settings.painted.length && !settings.erased.length && !settings.control;

/**
 * The band's answer at the dial's very budget, if there is one.
 * @param {State} state
 * @returns {BandAnswer | null}
 */
export const bandAnswer = (state) => {
  if (!budgetAlone(state)) return null;
  return state.band.answers.find(({ budget, finished }) => budget === state.settings.budget && (finished === "stop" || finished === "length")) ?? null;
};

/**
 * The pruned answer for what is kept now. stale: it was made from other tokens.
 * @param {State} state
 * @returns {{ answer: Answer | null, stale: boolean, band: boolean }}
 */
export const keptAnswer = (state) => {
  const answer = state.answers?.kept ?? null;
  const running = answer?.state === "running";
  if (running || !isStale(state)) return { answer, stale: false, band: false };
  const found = bandAnswer(state);
  if (!found || !answer) return { answer, stale: Boolean(answer), band: false };
  const { full } = state.answers ?? { full: null };
  const made = {
    pieces: /** @type {[string, boolean][]} */ ([[found.text, false]]), state: found.finished ?? "", measured: {}, first: null, speed: null,
    tokens: found.kept, length: full ? full.length - full.tokens + found.kept : found.kept, right: found.right,
  };
  return { answer: made, stale: false, band: true };
};

/**
 * The band's answers, and the given one where it is made from the most relevant tokens, as the band's are.
 * @param {State} state
 * @returns {BandAnswer[]} ascending
 */
export const pointsOf = (state) => {
  const { band, scores, answered, answers } = state;
  const kept = answers?.kept;
  if (!scores || !answered || !kept || !ENDED.includes(kept.state) || answered.mask.length !== scores.order.length) return band.answers;
  const count = answered.mask.reduce((sum, on) => sum + on, 0);
  const ranked = scores.order.subarray(0, count).every((index) => answered.mask[index] === 1);
  const others = band.answers.filter(({ budget, finished }) => budget !== count || ENDED.includes(finished ?? "")); // without its own that still runs
  if (!ranked || !count || others.some(({ budget }) => budget === count)) return band.answers;
  const point = { budget: count, kept: count, text: textOf(kept), finished: kept.state, right: kept.right ?? null };
  return [...others, point].sort((a, b) => a.budget - b.budget);
};

/** Whether two answers say the same, word for word. @param {string} a @param {string} b */
export const sameWords = (a, b) => a.split(/\s+/).filter(Boolean).join(" ") === b.split(/\s+/).filter(Boolean).join(" ");

/** @type {Record<string, (kept: string, total: string) => string>} */
const SENTENCES = {
  same: (kept, total) => `Same answer from ${kept} of ${total} visual tokens.`,
  right: (kept, total) => `Same answer, and right, from ${kept} of ${total} visual tokens.`,
  broke: (kept, total) => `Pruning broke it: right with all ${total} tokens, wrong with ${kept}.`,
  fixed: (kept, total) => `Pruning fixed it: wrong with all ${total} tokens, right with ${kept}.`,
  wrong: (kept, total) => `Both wrong, with ${total} visual tokens and with ${kept}.`,
  different: (kept, total) => `A different answer from ${kept} of ${total} visual tokens.`,
};

/**
 * What both answers come to: same, right, broke, fixed, wrong or different; "" while that is not known.
 * @param {State} state
 * @returns {{ tone: string, same: boolean | null, text: string }}
 */
export const verdictOf = (state) => {
  const full = state.answers?.full ?? null;
  const { answer: kept, stale } = keptAnswer(state);
  if (state.answers?.verdict?.same === null) return { tone: "", same: null, text: state.answers.verdict.text };
  if (!full || !kept || !ENDED.includes(full.state) || !ENDED.includes(kept.state)) return { tone: "", same: null, text: "" };
  if (stale) {
    const now = selectionOf(state).kept.toLocaleString("en");
    return { tone: "stale", same: null, text: `Made from ${kept.tokens.toLocaleString("en")} tokens; ${now} are chosen now.` };
  }
  const same = sameWords(textOf(full), textOf(kept));
  const known = typeof full.right === "boolean" && typeof kept.right === "boolean";
  const tone = !known ? (same ? "same" : "different") : full.right ? (kept.right ? "right" : "broke") : kept.right ? "fixed" : "wrong";
  return { tone, same, text: SENTENCES[tone](kept.tokens.toLocaleString("en"), full.tokens.toLocaleString("en")) };
};
