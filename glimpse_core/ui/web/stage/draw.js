// The picture on its own token grid, in one of the views, drawn from a plain description.

/** @import { Picture } from "../types" */
/** @import { Layers } from "./layers.js" */
import { heatTable } from "../lib/colors.js";
import { areaOf, bordersOf, edgesOf, keptRunsOf, placeOf } from "../state/geometry.js";
import { baseLayer, contextOf, fadedLayer, grayLayer, scratch } from "./layers.js";

const TINT = 0.35; // of a needed token's color over the picture

/**
 * What is drawn. mask: 0 or 1 for each token of all pictures, the picture's own from `start` on; heat: likewise, 0 to 1.
 * outlined: whether kept tokens are outlined in the picture's view, too. truth: the evidence, likewise from `start` on, where
 * it is to be seen; second: the tokens of the question before, likewise; needed: those that a word needs, while it is
 * pointed at. unit: pixels of the canvas per pixel of the page.
 * @typedef {{
 *   image: CanvasImageSource, picture: Pick<Picture, "rows" | "cols" | "frame">, start: number,
 *   heat: Float32Array, mask: Uint8Array, scored: boolean, outlined: boolean,
 *   view: string, opacity: number, wipe: number, cell: number | null, lined: boolean, truth: Uint8Array | null, second: Uint8Array | null,
 *   needed: Uint8Array | null,
 *   inks: { kept: string, cell: string, veil: string, halo: string, truth: string, second: string, word: string },
 *   width: number, height: number, unit: number,
 * }} Scene
 */

/**
 * Draws the scene over the whole canvas.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Layers} layers kept from one drawing to the next
 */
export const drawScene = (context, scene, layers) => {
  context.clearRect(0, 0, scene.width, scene.height);
  context.drawImage(baseLayer(layers, scene), 0, 0);
  if (!scene.scored) return;
  const { area, x, y } = gridOf(scene);
  if (scene.view === "heat") drawHeat(context, scene, layers, area);
  if (["kept", "only", "wipe"].includes(scene.view)) {
    const left = drawGround(context, scene, layers);
    drawKept(context, scene, layers, { area, x, y }, left);
  }
  if (scene.view !== "picture" || scene.outlined) drawOutline(context, scene, scene.mask, scene.inks.kept, { area, x, y });
  if (scene.second) drawSecond(context, scene, scene.second, area, x, y);
  if (scene.truth) drawTruth(context, scene, scene.truth, area, x, y);
  if (scene.needed) drawNeeded(context, scene, scene.needed, { area, x, y });
  if (scene.view === "wipe") drawHandle(context, scene);
  if (scene.lined) drawLines(context, scene, area, x, y);
  if (scene.cell !== null) drawMarker(context, scene, scene.cell, x, y);
};

/** Where tokens begin, in pixels of the canvas. @param {Scene} scene */
const gridOf = ({ picture, width, height }) => {
  const area = areaOf(picture);
  return {
    area,
    x: edgesOf(area.left, area.width, picture.cols, width),
    y: edgesOf(area.top, area.height, picture.rows, height),
  };
};

/**
 * One pixel per token, enlarged without smoothing: colors cannot drift from the grid.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Layers} layers
 * @param {import("../state/geometry.js").Area} area @param {(token: number) => number} colorOf packed as in an ImageData
 */
const drawTokens = (context, { picture, start, width, height }, layers, area, colorOf) => {
  const { rows, cols } = picture;
  const small = scratch(layers, "small", cols, rows);
  const data = new ImageData(cols, rows);
  const pixels = new Uint32Array(data.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colorOf(start + i);
  contextOf(small).putImageData(data, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, area.left, area.top, area.width, area.height, 0, 0, width, height);
  context.imageSmoothingEnabled = true;
};

/**
 * The picture loses its color as far as the heat covers it, so that every color on the stage is one of the map.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Layers} layers
 * @param {import("../state/geometry.js").Area} area
 */
const drawHeat = (context, scene, layers, area) => {
  const colors = new Uint32Array(heatTable(scene.opacity).buffer);
  context.globalAlpha = scene.opacity;
  context.drawImage(grayLayer(layers, scene), 0, 0);
  context.globalAlpha = 1;
  drawTokens(context, scene, layers, area, (token) => colors[Math.round(255 * scene.heat[token])]);
};

/**
 * Kept tokens as they are, over a ground that covers the canvas from `left` on. Copying them is faster than masking the whole
 * canvas.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Layers} layers
 * @param {ReturnType<typeof gridOf>} grid @param {number} left
 */
const drawKept = (context, scene, layers, { area, x, y }, left) => {
  const base = baseLayer(layers, scene);
  context.imageSmoothingEnabled = false; // whole pixels are copied
  for (const [row, from, to] of keptRunsOf(scene.mask, scene.start, scene.picture.cols, area)) {
    const at = Math.max(left, x[from]);
    const [width, height] = [x[to] - at, y[row + 1] - y[row]];
    if (width > 0 && height > 0) context.drawImage(base, at, y[row], width, height, at, y[row], width, height);
  }
  context.imageSmoothingEnabled = true;
};

/** @param {Scene} scene */
const wipeAt = ({ wipe, width }) => Math.round(wipe * width);

/**
 * What lies under the kept tokens of a view: dropped tokens dimmed, or covered; in the wipe, right of its line.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Layers} layers
 * @returns {number} where it begins
 */
const drawGround = (context, scene, layers) => {
  const { width, height, inks } = scene;
  const left = scene.view === "wipe" ? wipeAt(scene) : 0;
  if (scene.view === "only") {
    context.fillStyle = inks.veil;
    context.fillRect(0, 0, width, height);
    return left;
  }
  const faded = fadedLayer(layers, scene, scene.view === "wipe" ? 1 : scene.opacity);
  context.drawImage(faded, left, 0, width - left, height, left, 0, width - left, height);
  return left;
};

/**
 * The border of some tokens, with a halo that shows it on any picture. Rectangles on whole pixels are many times faster than
 * strokes.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Uint8Array} mask @param {string} ink
 * @param {ReturnType<typeof gridOf>} grid
 */
const drawOutline = (context, { start, picture, inks, unit }, mask, ink, { area, x, y }) => {
  const { across, down } = bordersOf(mask, start, picture.cols, area);
  for (const [color, reach] of /** @type {const} */ ([[inks.halo, 2], [ink, 1]])) {
    const wide = Math.max(1, Math.round(reach * unit));
    context.fillStyle = color;
    for (const [row, from, to] of across) context.fillRect(x[from] - wide, y[row] - wide, x[to] - x[from] + 2 * wide, 2 * wide);
    for (const [col, from, to] of down) context.fillRect(x[col] - wide, y[from] - wide, 2 * wide, y[to] - y[from] + 2 * wide);
  }
};

/**
 * The evidence's border as dashes, beside which the border of kept tokens is still seen, and stripes over what was missed.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Uint8Array} truth
 * @param {import("../state/geometry.js").Area} area @param {Int32Array} x @param {Int32Array} y
 */
const drawTruth = (context, { mask, start, picture, inks, unit, height }, truth, area, x, y) => {
  context.save();
  context.strokeStyle = inks.truth;
  context.lineWidth = 1.5 * unit;
  const missed = truth.map((meant, token) => Number(meant && !mask[token]));
  for (const [row, from, to] of keptRunsOf(missed, start, picture.cols, area)) {
    const [left, top, wide, high] = [x[from], y[row], x[to] - x[from], y[row + 1] - y[row]];
    context.save();
    context.beginPath();
    context.rect(left, top, wide, high);
    context.clip();
    context.beginPath();
    const step = 7 * unit; // the stripes go on from token to token
    for (let at = Math.floor((left - height) / step) * step; at < left + wide + height; at += step) {
      context.moveTo(at + top, top);
      context.lineTo(at + top + high, top + high);
    }
    context.stroke();
    context.restore();
  }
  const { across, down } = bordersOf(truth, start, picture.cols, area);
  context.lineWidth = 2.5 * unit;
  context.setLineDash([6 * unit, 5 * unit]);
  context.beginPath();
  for (const [row, from, to] of across) {
    context.moveTo(x[from], y[row]);
    context.lineTo(x[to], y[row]);
  }
  for (const [col, from, to] of down) {
    context.moveTo(x[col], y[from]);
    context.lineTo(x[col], y[to]);
  }
  context.stroke();
  context.restore();
};

/**
 * The border of the tokens that the question before kept, inside of their edge: where both questions have an edge, both show.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Uint8Array} second
 * @param {import("../state/geometry.js").Area} area @param {Int32Array} x @param {Int32Array} y
 */
const drawSecond = (context, { start, picture, inks, unit }, second, area, x, y) => {
  const { across, down } = bordersOf(second, start, picture.cols, area);
  context.save();
  for (const [color, width] of /** @type {const} */ ([[inks.halo, 5], [inks.second, 2.5]])) {
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    context.setLineDash(color === inks.halo ? [] : [2.5 * unit, 2.5 * unit]);
    context.beginPath();
    for (const [row, from, to] of across) {
      context.moveTo(x[from], y[row]);
      context.lineTo(x[to], y[row]);
    }
    for (const [col, from, to] of down) {
      context.moveTo(x[col], y[from]);
      context.lineTo(x[col], y[to]);
    }
    context.stroke();
  }
  context.restore();
};

/**
 * The tokens that a word needs, tinted and outlined in their own color.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Uint8Array} needed
 * @param {ReturnType<typeof gridOf>} grid
 */
const drawNeeded = (context, scene, needed, grid) => {
  const { area, x, y } = grid;
  context.globalAlpha = TINT;
  context.fillStyle = scene.inks.word;
  for (const [row, from, to] of keptRunsOf(needed, scene.start, scene.picture.cols, area)) {
    context.fillRect(x[from], y[row], x[to] - x[from], y[row + 1] - y[row]);
  }
  context.globalAlpha = 1;
  drawOutline(context, scene, needed, scene.inks.word, grid);
};

/**
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {() => void} draw
 * @param {number} outer @param {number} inner
 */
const strokeTwice = (context, { inks, unit }, draw, outer, inner) => {
  for (const [color, width] of /** @type {const} */ ([[inks.halo, outer], [inks.cell, inner]])) {
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    draw();
  }
};

/** The line of the wipe. @param {CanvasRenderingContext2D} context @param {Scene} scene */
const drawHandle = (context, scene) => {
  const at = wipeAt(scene);
  const line = () => {
    context.beginPath();
    context.moveTo(at, 0);
    context.lineTo(at, scene.height);
    context.stroke();
  };
  strokeTwice(context, scene, line, 5, 2);
  context.fillStyle = scene.inks.cell;
  context.beginPath();
  context.arc(at, scene.height / 2, 8 * scene.unit, 0, 2 * Math.PI);
  context.fill();
};

/**
 * Lines between the tokens, for the lesson on what a token is; bright beside dark, so that they show on any picture.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene
 * @param {import("../state/geometry.js").Area} area @param {Int32Array} x @param {Int32Array} y
 */
const drawLines = (context, { width, height, unit }, { rows, cols }, x, y) => {
  const wide = Math.max(1, Math.round(unit));
  for (const [color, shift] of /** @type {const} */ ([["rgba(15, 23, 42, 0.5)", 0], ["rgba(255, 255, 255, 0.75)", -wide]])) {
    context.fillStyle = color;
    for (let row = rows[0] + 1; row < rows[1]; row++) context.fillRect(0, y[row] + shift, width, wide);
    for (let col = cols[0] + 1; col < cols[1]; col++) context.fillRect(x[col] + shift, 0, wide, height);
  }
};

/**
 * The token under the pointer, and its neighbors in a thinner line.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} cell
 * @param {Int32Array} x @param {Int32Array} y
 */
const drawMarker = (context, scene, cell, x, y) => {
  const [row, col] = placeOf(cell, scene.picture.cols);
  const at = (/** @type {Int32Array} */ edges, /** @type {number} */ place) => edges[Math.min(edges.length - 1, Math.max(0, place))];
  const box = (/** @type {number} */ reach) => {
    const [left, top] = [at(x, col - reach), at(y, row - reach)];
    context.strokeRect(left, top, at(x, col + 1 + reach) - left, at(y, row + 1 + reach) - top);
  };
  context.setLineDash([4 * scene.unit, 3 * scene.unit]);
  strokeTwice(context, scene, () => box(1), 2.5, 1);
  context.setLineDash([]);
  strokeTwice(context, scene, () => box(0), 4.5, 2);
};
