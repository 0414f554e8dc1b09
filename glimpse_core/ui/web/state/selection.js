// What is kept, worked out from the state: the one place that every view, count and message reads it from.

/** @import { Selection, State } from "../types" */
import { paintTokens, selectTokens } from "./select.js";

/** @type {{ values: readonly unknown[], selection: Selection } | null} */
let last = null;
/** @type {Selection} */
const NOTHING = { mask: new Uint8Array(), reason: new Uint8Array(), kept: 0 };

/** @param {{ painted: number[], erased: number[] }} settings */
export const strokesOf = ({ painted, erased }) =>
  new Map([...painted.map((token) => /** @type {const} */ ([token, true])), ...erased.map((token) => /** @type {const} */ ([token, false]))]);

/**
 * The tokens that the settings keep now. The same object as long as nothing that it depends on changes.
 * @param {State} state
 * @returns {Selection}
 */
export const selectionOf = ({ scores, settings, controlMask, pictures }) => {
  if (!scores) return NOTHING;
  const values = [scores, settings, controlMask, pictures];
  if (!last || last.values.some((value, i) => value !== values[i])) {
    last = { values, selection: work(scores, settings, controlMask, pictures) };
  }
  return last.selection;
};

/**
 * How many tokens the rule alone keeps: the glimpse's own choice where there is no budget.
 * @param {State} state
 */
export const ownChoice = ({ scores, settings, pictures }) =>
  scores ? selectTokens(scores.probabilities, { ...settings, budget: null }, scores.order, only(pictures)).kept : 0;

/**
 * The mask of given settings, edits included. null where it cannot be worked out here (random, inverse).
 * @param {State["scores"]} scores @param {State["settings"]} settings @param {State["pictures"]} pictures
 */
export const maskOf = (scores, settings, pictures) =>
  !scores || settings.control ? null : work(scores, settings, null, pictures).mask;

/** @param {State["pictures"]} pictures */
const only = (pictures) => (pictures.length === 1 ? pictures[0] : null);

/**
 * @param {NonNullable<State["scores"]>} scores @param {State["settings"]} settings
 * @param {Uint8Array | null} controlMask @param {State["pictures"]} pictures
 * @returns {Selection}
 */
const work = (scores, settings, controlMask, pictures) => {
  if (controlMask) return { mask: controlMask, reason: controlMask, kept: controlMask.reduce((sum, on) => sum + on, 0) };
  return paintTokens(selectTokens(scores.probabilities, settings, scores.order, only(pictures)), strokesOf(settings));
};
