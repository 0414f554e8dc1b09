// How well what is kept covers what the true answer follows from, where that is known.

/** @import { State } from "../types" */
import { areaOf, isShown, offsetOf } from "./geometry.js";
import { selectionOf } from "./selection.js";
import { isScored, percent } from "./shown.js";

/**
 * The evidence's tokens, if they are known and of the shown scores.
 * @param {State} state
 */
export const evidenceOf = (state) =>
  isScored(state) && state.evidence && state.scores && state.evidence.length === state.scores.order.length ? state.evidence : null;

/**
 * Tokens of the evidence that are kept and that are not, and kept tokens beside it.
 * @param {Uint8Array} evidence @param {Uint8Array} mask
 */
export const coverOf = (evidence, mask) => {
  const cover = { found: 0, missed: 0, superfluous: 0 };
  evidence.forEach((meant, token) => {
    if (meant) cover[mask[token] ? "found" : "missed"]++;
    else cover.superfluous += mask[token];
  });
  return cover;
};

/** The same in words; empty where no evidence is known. @param {State} state */
export const coverWords = (state) => {
  const evidence = evidenceOf(state);
  if (!evidence) return "";
  const { found, missed, superfluous } = coverOf(evidence, selectionOf(state).mask);
  const all = found + missed;
  return `Evidence: ${found} of ${all} tokens found (recall ${percent(found, all)}), ${missed} missed, ${superfluous} more kept.`;
};

/**
 * What the token under the pointer is to the true answer.
 * @param {State} state
 */
export const evidenceWords = (state) => {
  const evidence = evidenceOf(state);
  if (!evidence || !state.truth || state.cell === null) return "";
  const { rows, cols } = state.pictures[state.active];
  if (!rows || !isShown(areaOf(state.pictures[state.active]), cols, state.cell)) return "";
  const token = offsetOf(state.pictures, state.active) + state.cell;
  const kept = selectionOf(state).mask[token] === 1;
  if (evidence[token]) return kept ? "; evidence, found" : "; evidence, missed";
  return kept ? "; not evidence" : "";
};
