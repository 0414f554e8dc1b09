// One layer of the decoder: which visual tokens run in it, and how many its cache keeps. Up to the layer K all of them run;
// the cache of every layer, of these too, is left with the kept ones.

/** @import { State } from "../types" */
import { selectionOf } from "./selection.js";

/**
 * The layer that is looked at, the last one, and the one after which tokens leave; null while the layers are not known.
 * @param {State} state
 * @returns {{ layer: number, last: number, keep: number } | null}
 */
export const depthOf = ({ inside, layer }) => {
  if (!inside?.alive) return null;
  const last = inside.layers - 1;
  return { layer: Math.min(layer, last), last, keep: inside.keep_layer };
};

/** @type {WeakMap<Uint8Array, Uint8Array>} */
const wholes = new WeakMap();

/** 1 for each visual token that runs in the layer, as the tokens are kept now. @param {State} state @returns {Uint8Array} */
export const runningOf = (state) => {
  const { mask } = selectionOf(state);
  const depth = depthOf(state);
  if (!depth || depth.layer > depth.keep) return mask;
  const known = wholes.get(mask);
  if (known) return known;
  const whole = new Uint8Array(mask.length).fill(1);
  wholes.set(mask, whole);
  return whole;
};

/** How many visual tokens run in each layer, as the tokens are kept now. @param {State} state @returns {number[]} */
export const runsOf = (state) => {
  const depth = depthOf(state);
  const { mask, kept } = selectionOf(state);
  return depth ? Array.from({ length: depth.last + 1 }, (_, layer) => (layer <= depth.keep ? mask.length : kept)) : [];
};

/**
 * How many tokens run in the layer: the number, and the words after it.
 * @param {State} state
 * @returns {[string, string] | null}
 */
export const depthWords = (state) => {
  const depth = depthOf(state);
  if (!depth) return null;
  const total = selectionOf(state).mask.length;
  return [String(runsOf(state)[depth.layer]), ` of ${total} tokens run in layer ${depth.layer} (0 to ${depth.last})`];
};

/** All layers in one sentence. @param {State} state */
export const depthSentence = (state) => {
  const depth = depthOf(state);
  if (!depth) return "";
  const { kept, mask } = selectionOf(state);
  const cache = `The cache of every layer keeps ${kept}.`;
  if (depth.keep >= depth.last) return `All ${mask.length} visual tokens run in every layer. ${cache}`;
  return `All ${mask.length} visual tokens run in layers 0 to ${depth.keep}, ${kept} in the layers after it. ${cache}`;
};
