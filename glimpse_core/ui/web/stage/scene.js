// The state as a scene to draw, and what is known of each stage on the page: its canvas, layers and colors.

/** @import { App, State } from "../types" */
import { secondOf } from "../state/before.js";
import { runningOf } from "../state/depth.js";
import { evidenceOf } from "../state/evidence.js";
import { offsetOf } from "../state/geometry.js";
import { selectionOf } from "../state/selection.js";
import { attentionOf, isScored, shownView } from "../state/shown.js";
import { neededOf } from "../state/words.js";
import { createLayers } from "./layers.js";

const NOTHING = new Float32Array();

/**
 * Caches of a stage. drawn: how often it was drawn; unit: pixels of the canvas per pixel of the page.
 * @typedef {{
 *   canvas: HTMLCanvasElement | null, layers: import("./layers.js").Layers,
 *   inks: import("./draw.js").Scene["inks"], unit: number, drawn: number,
 * }} Stage
 */

/** @type {WeakMap<App, Stage>} */
const stages = new WeakMap();

/** @param {App} app @returns {Stage} */
export const stageOf = (app) => {
  const known = stages.get(app);
  if (known) return known;
  const stage = { canvas: null, layers: createLayers(), inks: { kept: "", cell: "", veil: "", halo: "", truth: "", second: "", word: "" }, unit: 1, drawn: 0 };
  stages.set(app, stage);
  return stage;
};

/** Asked of the page once, not in every drawing: it makes the browser settle its styles. @param {Element} element */
export const inksOf = (element) => {
  const style = getComputedStyle(element);
  const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    kept: color("--glimpse-kept"), cell: color("--glimpse-accent"), veil: color("--glimpse-veil"), halo: color("--glimpse-halo"),
    truth: color("--glimpse-truth"), second: color("--glimpse-second"), word: color("--glimpse-word"),
  };
};

/** The image on the stage, once it has loaded. @param {State} state */
export const imageOf = ({ images, active }) => {
  const image = images[active];
  return image && image.complete && image.naturalWidth ? image : null;
};

/**
 * null while there is nothing to draw.
 * @param {State} state
 * @param {{ width: number, height: number, unit: number, inks: import("./draw.js").Scene["inks"], view?: string }} canvas
 *   view: another one than the shown one
 * @returns {import("./draw.js").Scene | null}
 */
export const sceneOf = (state, { view, ...canvas }) => {
  const image = imageOf(state);
  if (!image || !canvas.width || !canvas.height) return null;
  const { settings, scores, opacity, wipe, cell } = state;
  const shown = view ? { view } : shownView(state);
  return {
    ...canvas, image, picture: state.pictures[state.active], start: offsetOf(state.pictures, state.active),
    heat: (view ? null : attentionOf(state)) ?? scores?.probabilities ?? NOTHING,
    mask: shown.view === "layers" ? runningOf(state) : selectionOf(state).mask,
    scored: isScored(state), outlined: settings.painted.length + settings.erased.length > 0,
    view: shown.view === "layers" ? "kept" : shown.view, opacity, wipe, cell, lined: Boolean(shown.lined), truth: shown.truth ?? state.truth ? evidenceOf(state) : null,
    second: secondOf(state),
    needed: neededOf(state),
  };
};

/** What a scene depends on, other than canvas and colors. @param {State} state */
export const sceneValues = (state) => [
  state.pictures, state.images, state.active, state.scores, selectionOf(state), state.view, state.layer, state.opacity, state.wipe,
  state.cell, state.lesson, state.inside, state.truth, state.evidence, state.before, state.both, neededOf(state),
];
