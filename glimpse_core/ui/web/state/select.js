// The engine's selection rule (glimpse/selection.py), bit for bit: float32 probabilities in, mask and reasons out.
// torch compares a float32 tensor with a Python number after rounding that number to float32, hence Math.fround.
// A reason is a place in the engine's REASONS.

/** @import { Picture, Selection, Settings } from "../types" */

/**
 * Token indices from the most to the least probable; of equals the earlier one first.
 * @param {Float32Array} probabilities
 */
export const rankTokens = (probabilities) =>
  Uint32Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);

/** @param {string[]} anchors @param {{ rows: number, cols: number }} grid */
const cornerTokens = (anchors, { rows, cols }) => {
  /** @type {Record<string, number>} */
  const corners = { tl: 0, tr: cols - 1, bl: (rows - 1) * cols, br: rows * cols - 1 };
  return anchors.map((name) => corners[name]);
};

/** @param {Selection} selection @param {number} index @param {number} why */
const addToken = (selection, index, why) => {
  if (selection.mask[index]) return;
  selection.mask[index] = 1;
  selection.reason[index] = why;
  selection.kept++;
};

/**
 * Threshold, cap and floor.
 * @param {Selection} selection @param {Float32Array} probabilities @param {Settings} settings @param {Uint32Array} order
 */
const selectByScore = (selection, probabilities, settings, order) => {
  const { mask, reason } = selection;
  const count = probabilities.length;
  const threshold = Math.fround(settings.threshold);
  for (let i = 0; i < count; i++) if (probabilities[i] > threshold) addToken(selection, i, 1);
  const { max_ratio: share, min_tokens: floor } = settings;
  if (share !== null && count && selection.kept / count > share) {
    const limit = Math.max(1, Math.trunc(share * count));
    for (const index of order.subarray(limit)) {
      if (mask[index]) {
        mask[index] = 0;
        reason[index] = 2;
      }
    }
    selection.kept = limit;
  }
  if (selection.kept < floor) order.subarray(0, floor).forEach((index) => addToken(selection, index, 3));
};

/**
 * @param {Float32Array} probabilities
 * @param {Settings} settings
 * @param {Uint32Array} [order] as rankTokens gives it
 * @param {{ rows: number, cols: number } | null} [grid] of a single picture, which anchors need
 * @returns {Selection}
 */
export const selectTokens = (probabilities, settings, order = rankTokens(probabilities), grid = null) => {
  const count = probabilities.length;
  const { budget, anchors } = settings;
  const selection = { mask: new Uint8Array(count), reason: new Uint8Array(count).fill(budget === null ? 0 : 8), kept: 0 };
  if (budget === null) selectByScore(selection, probabilities, settings, order);
  else order.subarray(0, budget).forEach((index) => addToken(selection, index, 7));
  if (grid && grid.rows) cornerTokens(anchors, grid).forEach((index) => addToken(selection, index, 4));
  return selection;
};

/**
 * Manual edits override the rule: strokes is a Map of token -> keep.
 * @param {Selection} selection @param {Map<number, boolean>} strokes
 * @returns {Selection}
 */
export const paintTokens = ({ mask, reason, kept }, strokes) => {
  for (const [index, on] of strokes) {
    kept += Number(on) - mask[index];
    mask[index] = Number(on);
    reason[index] = on ? 5 : 6;
  }
  return { mask, reason, kept };
};
