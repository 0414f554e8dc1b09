// How pointer, finger and keyboard work on the canvas: they point at tokens, paint them, and move the wipe.

/** @import { App } from "../types" */
import { areaOf, cellAt, cellBeside, isShown, lineBetween, offsetOf } from "../state/geometry.js";
import { selectionOf } from "../state/selection.js";
import { isScored, shownView } from "../state/shown.js";

/** Reasons of the engine for tokens that were painted in and erased. */
const [PAINTED, ERASED] = [5, 6];

/** @param {HTMLCanvasElement} canvas @param {PointerEvent} event @returns {[number, number]} x and y, 0 to 1 on the canvas */
const shareOf = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};

/**
 * Keeps or drops tokens of the active picture by hand; those that already are so by hand are left out.
 * @param {App} app @param {number[]} cells @param {boolean} on
 */
const stroke = ({ store }, cells, on) => {
  const { pictures, active } = store.get();
  const start = offsetOf(pictures, active);
  const { reason } = selectionOf(store.get());
  const tokens = cells.map((cell) => start + cell).filter((token) => reason[token] !== (on ? PAINTED : ERASED));
  if (tokens.length) store.dispatch({ type: "stroke", tokens, on });
};

/** @param {App} app @param {HTMLCanvasElement} canvas @param {PointerEvent} event */
const onPointer = (app, canvas, event) => {
  const { store } = app;
  const state = store.get();
  if (!isScored(state)) return;
  const picture = state.pictures[state.active];
  const [x, y] = shareOf(canvas, event);
  const cell = cellAt(areaOf(picture), picture.cols, x, y);
  const down = event.type === "pointerdown";
  const pressed = down || (event.buttons & 1) === 1;
  if (down && event.button === 0 && state.tool !== "look") canvas.setPointerCapture(event.pointerId);
  if (pressed && state.tool !== "look") {
    const from = down ? cell : state.cell;
    if (cell !== null) stroke(app, lineBetween(from ?? cell, cell, picture.cols), state.tool === "keep");
  } else if (pressed && shownView(state).view === "wipe") {
    store.dispatch({ type: "wipe", value: Math.min(1, Math.max(0, x)) });
  }
  store.dispatch({ type: "cell", cell });
};

/** @type {Record<string, [number, number]>} rows down and columns right */
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** The most relevant token of the active picture that is shown. @param {import("../types").State} state */
const bestCell = ({ pictures, active, scores }) => {
  const { rows, cols, frame } = pictures[active];
  const start = offsetOf(pictures, active);
  const area = areaOf({ rows, cols, frame });
  const here = (/** @type {number} */ token) => token >= start && token < start + rows * cols && isShown(area, cols, token - start);
  const best = scores?.order.find(here);
  return best === undefined ? null : best - start;
};

/** @param {App} app @param {KeyboardEvent} event */
const onKey = (app, event) => {
  const { store } = app;
  const state = store.get();
  const { cell, active, pictures } = state;
  if (event.key === "Escape") return store.dispatch({ type: "cell", cell: null });
  if (!isScored(state)) return;
  const picture = pictures[active];
  if (event.key === " " && cell !== null) {
    event.preventDefault();
    return stroke(app, [cell], !selectionOf(state).mask[offsetOf(pictures, active) + cell]);
  }
  const move = MOVES[event.key];
  if (!move) return;
  event.preventDefault();
  const next = cell === null ? bestCell(state) : cellBeside(areaOf(picture), picture.cols, cell, ...move);
  store.dispatch({ type: "cell", cell: next });
};

/** @param {App} app @param {HTMLCanvasElement} canvas */
export const listenTo = (app, canvas) => {
  canvas.addEventListener("pointerdown", (event) => onPointer(app, canvas, event));
  canvas.addEventListener("pointermove", (event) => onPointer(app, canvas, event));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && app.store.dispatch({ type: "cell", cell: null }));
  canvas.addEventListener("keydown", (event) => onKey(app, event));
  app.store.watch(
    (state) => [state.tool],
    ({ tool }) => {
      canvas.style.touchAction = tool === "look" ? "pan-y" : "none"; // painting must not scroll the page
      canvas.dataset.tool = tool;
    },
  );
};
