// What the stage shows: the view that the visitor chose, or the one of the lesson's step while the lesson is open. The
// chosen view stays in the state meanwhile, so that it is back when the lesson ends.

/** @import { Heads, State } from "../types" */
import { bytesOf } from "../lib/dom.js";
import { areaOf, isShown, offsetOf } from "./geometry.js";
import { selectionOf } from "./selection.js";

/** Views, by name, with their words on the page. @type {readonly (readonly [string, string])[]} */
export const VIEWS = [
  ["picture", "Picture"],
  ["heat", "Heat map"],
  ["kept", "Kept"],
  ["only", "Kept only"],
  ["wipe", "Wipe"],
  ["layers", "Layers"],
];

/**
 * The view of each step of the lesson. lined: with lines between the tokens; attention: the glimpse token's attention
 * instead of the scores, where it is known.
 * @type {readonly { view: string, lined?: boolean, attention?: boolean }[]}
 */
export const LESSON_VIEWS = [
  { view: "picture", lined: true },
  { view: "heat", attention: true },
  { view: "heat" },
  { view: "kept" },
  { view: "wipe" },
];

/** The same where the scores are attention: there is no predictor between them. @type {typeof LESSON_VIEWS} */
export const LESSON_VIEWS_BY_RANK = [{ view: "picture", lined: true }, { view: "heat" }, { view: "kept" }, { view: "wipe" }];

/** Whether the scores on the stage are attention, of a model without glimpse modules. @param {State} state */
export const isAttention = ({ scores }) => typeof scores?.layer === "number";

/** Whether the picture on the stage has scores. @param {State} state */
export const isScored = ({ pictures, active, scores }) => Boolean(scores && scores.order.length && pictures[active]?.rows);

/** @param {State} state @returns {{ view: string, lined?: boolean, attention?: boolean, truth?: boolean }} */
export const shownView = (state) => {
  if (!isScored(state)) return { view: "picture" };
  const steps = isAttention(state) ? LESSON_VIEWS_BY_RANK : LESSON_VIEWS;
  const step = state.lesson === null ? undefined : steps[state.lesson];
  return step ?? { view: state.view };
};

/** @type {WeakMap<Heads, Float32Array>} */
const attentions = new WeakMap();

/**
 * The glimpse token's attention to every visual token, averaged over the heads that are known, 1 at the strongest; null
 * where the shown step is not about it, or it is not known.
 * @param {State} state
 */
export const attentionOf = (state) => {
  const heads = state.inside?.heads;
  if (!shownView(state).attention || !heads || !heads.maps.length || !state.scores) return null;
  const attention = attentions.get(heads) ?? meanOf(heads);
  attentions.set(heads, attention);
  return attention.length === state.scores.order.length ? attention : null;
};

/** A map's bytes are shares of its own peak. @param {Heads} heads */
const meanOf = ({ maps, peaks }) => {
  const bytes = maps.map(bytesOf);
  const sums = new Float32Array(bytes[0].length);
  bytes.forEach((map, head) => map.forEach((value, token) => (sums[token] += value * peaks[head])));
  const most = sums.reduce((highest, value) => Math.max(highest, value), 0);
  return most ? sums.map((value) => value / most) : sums;
};

/**
 * Of one picture, how many tokens are kept; and of its padding, how many tokens there are and how many are kept.
 * @typedef {{ kept: number, padding: number, keptPadding: number }} Tally
 */

/** @type {WeakMap<Uint8Array, { pictures: State["pictures"], tallies: Tally[] }>} */
const counted = new WeakMap();

/** Counts of every picture; none before there are scores. @param {State} state @returns {Tally[]} */
export const talliesOf = (state) => {
  if (!isScored(state)) return [];
  const { pictures } = state;
  const { mask } = selectionOf(state);
  const known = counted.get(mask);
  if (known && known.pictures === pictures) return known.tallies;
  const tallies = pictures.map((_, index) => tally(pictures, index, mask));
  counted.set(mask, { pictures, tallies });
  return tallies;
};

/** @param {State["pictures"]} pictures @param {number} index @param {Uint8Array} mask @returns {Tally} */
const tally = (pictures, index, mask) => {
  const picture = pictures[index];
  const start = offsetOf(pictures, index);
  const area = areaOf(picture);
  const whole = area.width === picture.cols && area.height === picture.rows;
  const sums = { kept: 0, padding: 0, keptPadding: 0 };
  for (let cell = 0; cell < picture.rows * picture.cols; cell++) {
    const on = mask[start + cell];
    sums.kept += on;
    if (whole || isShown(area, picture.cols, cell)) continue;
    sums.padding++;
    sums.keptPadding += on;
  }
  return sums;
};

/** How many kept tokens lie in padding, in words; nothing where there is none. @param {Tally[]} tallies */
export const paddingWords = (tallies) => {
  const sum = (/** @type {"padding" | "keptPadding"} */ name) => tallies.reduce((total, item) => total + item[name], 0);
  return sum("padding") ? `, ${sum("keptPadding")} of them in the padding` : "";
};

/** @param {number} part @param {number} whole */
export const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)}%`;
