// A picture with a method's mask on it, in the stage's colors: dropped tokens without color and dimmed, kept ones outlined.

import { make } from "../lib/dom.js";

/** @typedef {{ kept: string, veil: string }} Inks */

const VEIL = 0.65; // as on the stage
const HALO = "rgba(255, 255, 255, 0.9)";

/** @param {HTMLCanvasElement} canvas */
const contextOf = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/** @param {number} width @param {number} height */
const canvasOf = (width, height) => {
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
};

/** The picture in gray, under its veil. @param {CanvasImageSource} image @param {Inks} inks @param {number} width @param {number} height */
const dimmed = (image, { veil }, width, height) => {
  const canvas = canvasOf(width, height);
  const context = contextOf(canvas);
  context.drawImage(image, 0, 0, width, height);
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = VEIL;
  context.fillStyle = veil;
  context.fillRect(0, 0, width, height);
  return canvas;
};

/**
 * Where columns (or rows) begin, in whole pixels. low, high: the part of the grid that the picture covers, from 0 to 1.
 * @param {number} count @param {number} low @param {number} high @param {number} pixels
 */
const edges = (count, low, high, pixels) =>
  Array.from({ length: count + 1 }, (_, at) => Math.round((Math.min(1, Math.max(0, (at / count - low) / (high - low)))) * pixels));

/**
 * Draws one picture over the whole canvas.
 * @param {CanvasRenderingContext2D} context
 * @param {{ image: CanvasImageSource, picture: { rows: number, cols: number, frame?: number[] }, mask: Uint8Array,
 *   inks: Inks, width: number, height: number }} what mask: of this picture's tokens
 */
export const drawKept = (context, { image, picture: { rows, cols, frame = [0, 0, 1, 1] }, mask, inks, width, height }) => {
  const [x, y] = [edges(cols, frame[0], frame[2], width), edges(rows, frame[1], frame[3], height)];
  context.drawImage(image, 0, 0, width, height);
  const gray = dimmed(image, inks, width, height);
  const on = (/** @type {number} */ row, /** @type {number} */ col) =>
    row >= 0 && col >= 0 && row < rows && col < cols && mask[row * cols + col] === 1;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const [across, down] = [x[col + 1] - x[col], y[row + 1] - y[row]];
      if (!on(row, col) && across && down) context.drawImage(gray, x[col], y[row], across, down, x[col], y[row], across, down);
    }
  }
  for (const [color, wide] of /** @type {const} */ ([[HALO, 2], [inks.kept, 1]])) {
    context.fillStyle = color;
    for (let row = 0; row <= rows; row++) {
      for (let col = 0; col <= cols; col++) {
        if (col < cols && on(row, col) !== on(row - 1, col)) context.fillRect(x[col] - wide, y[row] - wide, x[col + 1] - x[col] + 2 * wide, 2 * wide);
        if (row < rows && on(row, col) !== on(row, col - 1)) context.fillRect(x[col] - wide, y[row] - wide, 2 * wide, y[row + 1] - y[row] + 2 * wide);
      }
    }
  }
};

/** The page's colors as they are now. @param {Element} element @returns {Inks} */
export const inksOf = (element) => {
  const style = getComputedStyle(element);
  return { kept: style.getPropertyValue("--glimpse-kept").trim() || "#0e7490", veil: style.getPropertyValue("--glimpse-veil").trim() || "#ffffff" };
};

const SIDE = 560; // pixels, the longer side of a small multiple

/**
 * A canvas for each picture, with its part of the mask.
 * @param {(HTMLImageElement | null)[]} images @param {import("../state/methods.js").MethodsGrid[]} grids
 * @param {Uint8Array} mask of all pictures @param {Inks} inks
 */
export const maskCanvases = (images, grids, mask, inks) => {
  let start = 0;
  return grids.map((grid, i) => {
    const own = mask.subarray(start, (start += grid.rows * grid.cols));
    const [left, top, right, bottom] = grid.frame;
    const [across, down] = [grid.cols * (right - left), grid.rows * (bottom - top)];
    const scale = SIDE / Math.max(across, down);
    const [width, height] = [across, down].map((tokens) => Math.max(1, Math.round(tokens * scale)));
    const canvas = canvasOf(width, height);
    const image = images[i];
    if (image) drawKept(contextOf(canvas), { image, picture: grid, mask: own, inks, width, height });
    return canvas;
  });
};

const [GAP, LABEL, HIGH] = [12, 24, 280]; // pixels of the sheet

/**
 * All small multiples on one canvas, each with its label.
 * @param {{ label: string, canvases: HTMLCanvasElement[] }[]} panels
 */
export const sheetOf = (panels) => {
  const scaled = panels.map(({ label, canvases }) => {
    const parts = canvases.map((canvas) => ({ canvas, width: Math.max(1, Math.round((canvas.width * HIGH) / canvas.height)) }));
    return { label, parts, width: Math.max(160, parts.reduce((sum, { width }) => sum + width + 4, -4)) };
  });
  const columns = Math.min(4, scaled.length);
  const widest = Math.max(...scaled.map(({ width }) => width));
  const sheet = canvasOf(GAP + columns * (widest + GAP), GAP + Math.ceil(scaled.length / columns) * (HIGH + LABEL + GAP));
  const context = contextOf(sheet);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.font = "15px system-ui, sans-serif";
  scaled.forEach(({ label, parts }, i) => {
    let x = GAP + (i % columns) * (widest + GAP);
    const y = GAP + Math.floor(i / columns) * (HIGH + LABEL + GAP);
    context.fillStyle = "#0f172a";
    context.fillText(label, x, y + 16, widest);
    for (const { canvas, width } of parts) {
      context.drawImage(canvas, x, y + LABEL, width, HIGH);
      x += width + 4;
    }
  });
  return sheet;
};
