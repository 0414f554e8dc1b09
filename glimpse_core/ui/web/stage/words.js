// What the stage says in words: counts, the picture for those who cannot see it, and the token under the pointer.

/** @import { App, State } from "../types" */
import { depthWords } from "../state/depth.js";
import { evidenceWords } from "../state/evidence.js";
import { areaOf, isShown, offsetOf, placeOf } from "../state/geometry.js";
import { selectionOf } from "../state/selection.js";
import { isAttention, isScored, paddingWords, percent, shownView, talliesOf } from "../state/shown.js";

/** Reasons of a selection that the rule has not made, dropped and kept. @type {Record<string, [string, string]>} */
const CONTROLS = {
  random: ["dropped: not picked at random", "kept: picked at random"],
  inverse: ["dropped here, because the glimpse keeps it", "kept here, because the glimpse drops it"],
};
/** @type {Record<string, [string, string]>} */
const CONTROLS_BY_RANK = { ...CONTROLS, inverse: ["dropped here, because its rank keeps it", "kept here, because its rank drops it"] };

/** The rule in words. @param {State} state @param {App["codec"]} codec @returns {string} */
export const ruleWords = (state, codec) => {
  const words = codec.describe(state.settings);
  return isAttention(state) ? words.replace("most relevant", "most attended").replace(/^at most ([\d.]+%)/, "the $1 most attended") : words;
};

/**
 * How many tokens are kept, or run in the layer that is shown: the number, and the words after it.
 * @param {State} state @param {App["codec"]} codec
 * @returns {[string, string]}
 */
export const countWords = (state, codec) => {
  const layers = shownView(state).view === "layers" ? depthWords(state) : null;
  if (layers) return layers;
  const total = selectionOf(state).mask.length;
  const { kept } = selectionOf(state);
  const how = state.controlMask ? `: ${ruleWords(state, codec)}` : "";
  return [String(kept), ` of ${total} tokens kept (${percent(kept, total)})${paddingWords(talliesOf(state))}${how}`];
};

/** The stage for those who cannot see it. @param {State} state */
export const pictureWords = (state) => {
  const picture = state.pictures[state.active];
  if (!picture) return "No picture";
  const alt = picture.alt ?? "Picture.";
  const { scores } = state;
  if (!scores || !isScored(state)) return `${alt} Ask a question to see which parts the model keeps.`;
  const { rows, cols } = picture;
  const { kept, mask } = selectionOf(state);
  const best = scores.order[0] - offsetOf(state.pictures, state.active);
  const [row, col] = placeOf(best, cols);
  const place = isShown(areaOf(picture), cols, best) ? `row ${row + 1}, column ${col + 1}` : "the padding";
  const first = isAttention(state) ? "most attended" : "most relevant";
  const most = best >= 0 && best < rows * cols ? ` The ${first} one is in ${place}.` : "";
  const counts = `${kept} of ${mask.length} are kept${paddingWords(talliesOf(state))}`;
  return `${alt} ${rows} rows by ${cols} columns of tokens; ${counts}.${most} Arrow keys move over the tokens, Space keeps or drops one.`;
};

/** What a pointer on the picture does. @type {Record<string, string>} */
const HINTS = {
  look: "Point at a token, or use the arrow keys, to see why it stays or goes.",
  keep: "Drag over tokens to keep them, whatever the rule says.",
  drop: "Drag over tokens to drop them, whatever the rule says.",
};

/** What can be done on the stage, and how the picture differs from the one that was given. @param {State} state */
export const idleWords = (state) => {
  if (!isScored(state)) return "Ask a question to see which tokens stay, and why.";
  const { original, width, height } = state.pictures[state.active];
  const resized = original && (original[0] !== width || original[1] !== height);
  const { padding } = talliesOf(state)[state.active];
  return [
    HINTS[state.tool],
    resized && `The model sees this picture at ${width} × ${height} pixels (yours has ${original[0]} × ${original[1]}).`,
    padding && `${padding} of its tokens lie in the padding to a square, which is not shown.`,
  ].filter(Boolean).join(" ");
};

/**
 * The token under the pointer; null where there is none.
 * @param {State} state @param {App["boot"]} boot
 * @returns {{ place: string, score: string, kept: boolean, reason: string } | null}
 */
export const tokenWords = (state, boot) => {
  const { cell, scores, settings, controlMask } = state;
  if (cell === null || !scores || !isScored(state)) return null;
  const [row, col] = placeOf(cell, state.pictures[state.active].cols);
  const index = offsetOf(state.pictures, state.active) + cell;
  const { mask, reason } = selectionOf(state);
  const score = scores.probabilities[index].toFixed(3);
  const relevance = isAttention(state)
    ? `attention at layer ${scores.layer}: ${score} of the most attended token's`
    : `relevance ${score} (logit ${scores.logits[index].toFixed(2)})`;
  const [reasons, controls] = isAttention(state) ? [boot.reasons_by_rank, CONTROLS_BY_RANK] : [boot.reasons, CONTROLS];
  return {
    place: `Row ${row + 1}, column ${col + 1}`,
    score: ` ${relevance}, rank ${scores.rank[index]} of ${scores.order.length}: `,
    kept: mask[index] === 1,
    reason: `${controlMask ? controls[settings.control][mask[index]] : reasons[reason[index]]}${evidenceWords(state)}`,
  };
};
