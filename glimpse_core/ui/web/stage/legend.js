// What the colors on the stage mean, drawn by the same code as the stage, on a small copy of the picture.

/** @import { App, State } from "../types" */
import { fill, make } from "../lib/dom.js";
import { secondOf } from "../state/before.js";
import { depthOf } from "../state/depth.js";
import { evidenceOf } from "../state/evidence.js";
import { selectionOf } from "../state/selection.js";
import { attentionOf, isAttention, isScored, shownView } from "../state/shown.js";
import { depthChart } from "./depth_chart.js";
import { wordsOf } from "../state/words.js";
import { drawScene } from "./draw.js";
import { contextOf, createLayers } from "./layers.js";
import { sceneOf, stageOf } from "./scene.js";

const SWATCH = /** @type {const} */ ([22, 16]);
const RAMP = /** @type {const} */ ([110, 12]);
const STEPS = 64;
/** The heat map's colors from end to end: tokens of which none is kept. */
const FROM_0_TO_1 = { heat: Float32Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1)), mask: new Uint8Array(STEPS) };

/**
 * A part of the image in the shape of a swatch, from its middle: a whole picture would be squeezed.
 * @param {HTMLImageElement} image @param {number} width @param {number} height
 */
const middleOf = (image, width, height) => {
  const sample = make("canvas");
  [sample.width, sample.height] = [width, height];
  const scale = Math.max(width / image.naturalWidth, height / image.naturalHeight);
  const [across, down] = [image.naturalWidth * scale, image.naturalHeight * scale];
  contextOf(sample).drawImage(image, (width - across) / 2, (height - down) / 2, across, down);
  return sample;
};

/** The image's mean color: a heat map's colors are read on even ground. @param {HTMLImageElement} image */
const meanOf = (image) => {
  const sample = make("canvas");
  [sample.width, sample.height] = [1, 1];
  contextOf(sample).drawImage(image, 0, 0, 1, 1);
  return sample;
};

/**
 * A small stage whose tokens lie in one row.
 * @param {App} app @param {State} state @param {readonly [number, number]} size
 * @param {{ heat: Float32Array, mask: Uint8Array }} tokens
 */
const swatch = (app, state, [across, down], tokens) => {
  const { inks, unit } = stageOf(app);
  const canvas = make("canvas", "swatch");
  canvas.setAttribute("aria-hidden", "true"); // the words beside it say what it shows
  const [width, height] = [Math.round(across * unit), Math.round(down * unit)];
  Object.assign(canvas, { width, height });
  Object.assign(canvas.style, { width: `${across}px`, height: `${down}px` });
  const scene = sceneOf(state, { width, height, unit, inks });
  if (!scene) return canvas;
  const whole = /** @type {HTMLImageElement} */ (scene.image);
  const image = tokens.mask.length > 1 ? meanOf(whole) : middleOf(whole, width, height);
  const small = { ...scene, ...tokens, image, picture: { rows: 1, cols: tokens.mask.length }, start: 0, outlined: true };
  const plain = { ...small, cell: null, lined: false, truth: null, second: null, needed: null };
  const right = scene.view === "wipe" ? { ...plain, view: "kept", opacity: 1 } : plain; // without the line of the wipe
  drawScene(contextOf(canvas), right, createLayers());
  return canvas;
};

/** @param {App} app @param {State} state @param {boolean} kept @param {string} text */
const masked = (app, state, kept, text) => {
  const tokens = { heat: Float32Array.of(0.5), mask: Uint8Array.of(Number(kept)) }; // any heat: only the outline means kept
  return [swatch(app, state, SWATCH, tokens), make("span", "", text)];
};

/** The colors of the heat map as a picture. @param {App} app @param {State} state @param {readonly [number, number]} size */
export const heatRamp = (app, state, size) => swatch(app, { ...state, view: "heat", lesson: null }, size, FROM_0_TO_1);

/** @param {App} app @param {State} state */
const ramp = (app, state) => {
  const attention = Boolean(attentionOf(state));
  const box = make("span", "ramp");
  box.append(heatRamp(app, state, RAMP));
  if (!attention && !isAttention(state) && state.settings.budget === null) {
    const tick = make("i", "tick");
    tick.title = "threshold";
    box.append(tick);
  }
  const ends = isAttention(state) ? ["attention 0", "1 most"] : ["irrelevant 0", "1 relevant"];
  const [low, high] = attention ? ["not looked at", "most"] : ends;
  return [make("span", "", low), box, make("span", "", high)];
};

/** @param {State} state */
const truthKeys = (state) =>
  state.truth && evidenceOf(state) ? [make("i", "evidence"), make("span", "", "evidence"), make("i", "missed"), make("span", "", "missed")] : [];

/** @param {State} state */
const secondKeys = (state) => (secondOf(state) ? [make("i", "second"), make("span", "", "question before")] : []);

/** @param {State} state */
const isWorded = (state) => Boolean(wordsOf(state, "kept") || wordsOf(state, "full"));

/** @param {State} state */
const wordKeys = (state) => (isWorded(state) ? [make("i", "needed"), make("span", "needed", "needed by a word")] : []);

/** @param {App} app @param {State} state @returns {(Node | string)[]} */
const keysOf = (app, state) => [...maskKeys(app, state), ...truthKeys(state), ...secondKeys(state), ...wordKeys(state)];

/** @param {App} app @param {State} state @returns {(Node | string)[]} */
const maskKeys = (app, state) => {
  const { view } = shownView(state);
  const edited = state.settings.painted.length + state.settings.erased.length > 0;
  if (view === "heat") return [...ramp(app, state), ...masked(app, state, true, "kept")];
  if (view === "layers" && depthOf(state)) return depthChart(state);
  if (view === "picture") return edited ? masked(app, state, true, "kept") : [];
  const keys = [...masked(app, state, true, "kept"), ...masked(app, state, false, "dropped")];
  return view === "wipe" ? [make("span", "", "left of the line: all · right:"), ...keys] : keys;
};

/**
 * @param {App} app
 * @returns {{ box: HTMLElement, redraw: () => void }} redraw: for colors that are not in the state
 */
export const legendView = (app) => {
  const box = make("div", "legend");
  const draw = (/** @type {State} */ state) => {
    fill(box, ...(isScored(state) ? keysOf(app, state) : []));
    box.dataset.view = shownView(state).view;
  };
  app.store.watch(
    (state) => [
      state.pictures, state.images, state.active, state.view, state.lesson, state.opacity, state.inside, isScored(state),
      state.truth, state.evidence, state.before, state.both, isWorded(state),
      ...(state.view === "layers" ? [state.layer, selectionOf(state)] : []),
      state.settings.budget === null, state.settings.painted.length + state.settings.erased.length > 0,
    ],
    draw,
  );
  app.store.watch(
    ({ settings }) => [settings.threshold],
    ({ settings }) => box.style.setProperty("--threshold", String(settings.threshold)), // moved without drawing swatches
  );
  return { box, redraw: () => draw(app.store.get()) };
};
