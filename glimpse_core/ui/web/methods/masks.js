// A picture with a method's mask on it, drawn by the stage: dropped tokens without color and dimmed, kept ones outlined.

/** @import { Scene } from "../stage/draw.js" */
/** @import { MethodsGrid } from "../state/methods.js" */
import { make } from "../lib/dom.js";
import { drawScene } from "../stage/draw.js";
import { contextOf, createLayers } from "../stage/layers.js";
import { areaOf } from "../state/geometry.js";

/** @typedef {Scene["inks"]} Inks */

const NO_SCORES = new Float32Array();

/** @param {number} width @param {number} height */
const canvasOf = (width, height) => {
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
};

/** The layers of a picture that all cards share. @type {WeakMap<HTMLImageElement, import("../stage/layers.js").Layers>} */
const known = new WeakMap();

/** @param {HTMLImageElement} image */
const layersOf = (image) => {
  const layers = known.get(image) ?? createLayers();
  known.set(image, layers);
  return layers;
};

/**
 * @param {HTMLCanvasElement} canvas @param {HTMLImageElement} image @param {MethodsGrid} grid
 * @param {Uint8Array} mask of all pictures @param {number} start of this one's tokens @param {Inks} inks
 */
const draw = (canvas, image, grid, mask, start, inks) => {
  const { width, height } = canvas;
  drawScene(
    contextOf(canvas),
    {
      image, picture: grid, start, mask, heat: NO_SCORES, scored: true, outlined: true, view: "kept", opacity: 1, wipe: 0,
      cell: null, lined: false, truth: null, second: null, needed: null, inks, width, height, unit: 1,
    },
    layersOf(image),
  );
};

const SIDE = 560; // pixels, the longer side of a small multiple

/**
 * A canvas for each picture, with its part of the mask.
 * @param {(HTMLImageElement | null)[]} images @param {MethodsGrid[]} grids
 * @param {Uint8Array} mask of all pictures @param {Inks} inks
 */
export const maskCanvases = (images, grids, mask, inks) => {
  let start = 0;
  return grids.map((grid, i) => {
    const { width: across, height: down } = areaOf(grid);
    const scale = SIDE / Math.max(across, down);
    const canvas = canvasOf(Math.max(1, Math.round(across * scale)), Math.max(1, Math.round(down * scale)));
    const image = images[i];
    if (image) draw(canvas, image, grid, mask, start, inks);
    start += grid.rows * grid.cols;
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
