// The token under the pointer: a close-up, and why it stays or goes. Below it the tools to change that by hand.

/** @import { App, State } from "../types" */
import { fill, make } from "../lib/dom.js";
import { areaOf, placeOf } from "../state/geometry.js";
import { selectionOf } from "../state/selection.js";
import { editTools } from "./edits.js";
import { contextOf } from "./layers.js";
import { imageOf } from "./scene.js";
import { idleWords, tokenWords } from "./words.js";

const CLOSE = 112; // pixels of the close-up, each way

/**
 * What stands below the dial.
 * @param {App} app
 */
export const readoutView = (app) => {
  const box = make("div", "glimpse-readout");
  const line = make("div", "readout");
  const crop = make("canvas", "crop");
  const words = make("p", "words");
  words.setAttribute("aria-live", "polite");
  [crop.width, crop.height] = [CLOSE, CLOSE];
  line.append(crop, words);
  box.append(line, editTools(app));
  app.store.watch(
    (state) => [state.cell, state.tool, state.pictures, state.images, state.active, state.truth, selectionOf(state)],
    (state) => {
      const token = tokenWords(state, app.boot);
      if (token) fill(words, make("strong", "", token.place), token.score, make("span", token.kept ? "yes" : "no", token.reason));
      else fill(words, idleWords(state));
      crop.hidden = !token || !closeUp(crop, state);
    },
  );
  return box;
};

/** @param {HTMLCanvasElement} crop @param {State} state @returns {boolean} whether there is one */
const closeUp = (crop, state) => {
  const image = imageOf(state);
  if (!image || state.cell === null) return false;
  const picture = state.pictures[state.active];
  const area = areaOf(picture);
  const [row, col] = placeOf(state.cell, picture.cols);
  const [across, down] = [image.naturalWidth / area.width, image.naturalHeight / area.height];
  const context = contextOf(crop);
  context.clearRect(0, 0, CLOSE, CLOSE);
  context.drawImage(image, (col - area.left) * across, (row - area.top) * down, across, down, 0, 0, CLOSE, CLOSE);
  return true;
};
