// Pictures of the canvas' size that are made once and drawn often: the picture itself, without color, and as dropped tokens
// look. They hold until the image, the size or the colors change.

import { make } from "../lib/dom.js";

/** How much of a dropped token its veil covers: the picture stays recognizable beneath. */
const VEIL = 0.6;

/** @typedef {{ canvas: HTMLCanvasElement, key: readonly unknown[] }} Layer */
/** @typedef {Map<string, Layer>} Layers */

/** @returns {Layers} */
export const createLayers = () => new Map();

/** @param {HTMLCanvasElement} canvas */
export const contextOf = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/**
 * A canvas by name, of that size; painted anew when what it depends on has changed.
 * @param {Layers} layers @param {string} name @param {number} width @param {number} height
 * @param {readonly unknown[]} key @param {(context: CanvasRenderingContext2D) => void} paint
 */
export const layerOf = (layers, name, width, height, key, paint) => {
  const known = layers.get(name);
  const canvas = known ? known.canvas : make("canvas");
  const now = [width, height, ...key];
  if (known && now.every((value, i) => value === known.key[i])) return canvas;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = contextOf(canvas);
  context.clearRect(0, 0, width, height);
  context.save();
  paint(context);
  context.restore();
  layers.set(name, { canvas, key: now });
  return canvas;
};

/**
 * A canvas by name, of that size, to be used for one drawing.
 * @param {Layers} layers @param {string} name @param {number} width @param {number} height
 */
export const scratch = (layers, name, width, height) => {
  const canvas = layers.get(name)?.canvas ?? make("canvas");
  layers.set(name, { canvas, key: [] });
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return canvas;
};

/** @param {Layers} layers @param {import("./draw.js").Scene} scene */
export const baseLayer = (layers, { image, width, height }) =>
  layerOf(layers, "base", width, height, [image], (context) => {
    context.fillStyle = "#fff"; // what can be seen through is white, as for the model
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
  });

/** The picture in gray. @param {Layers} layers @param {import("./draw.js").Scene} scene */
export const grayLayer = (layers, scene) => {
  const { image, width, height } = scene;
  return layerOf(layers, "gray", width, height, [image], (context) => {
    context.drawImage(baseLayer(layers, scene), 0, 0);
    context.globalCompositeOperation = "saturation"; // the saturation of black, everything else of the picture
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
  });
};

/** The picture as dropped tokens look. @param {Layers} layers @param {import("./draw.js").Scene} scene */
const dimLayer = (layers, scene) => {
  const { image, width, height, inks } = scene;
  return layerOf(layers, "dim", width, height, [image, inks.veil], (context) => {
    context.drawImage(grayLayer(layers, scene), 0, 0);
    context.globalAlpha = VEIL;
    context.fillStyle = inks.veil;
    context.fillRect(0, 0, width, height);
  });
};

/**
 * The picture on its way to how dropped tokens look.
 * @param {Layers} layers @param {import("./draw.js").Scene} scene @param {number} opacity 0: as it is, 1: dimmed
 */
export const fadedLayer = (layers, scene, opacity) => {
  const { image, width, height, inks } = scene;
  return layerOf(layers, "faded", width, height, [image, inks.veil, opacity], (context) => {
    context.drawImage(baseLayer(layers, scene), 0, 0);
    context.globalAlpha = opacity;
    context.drawImage(dimLayer(layers, scene), 0, 0);
  });
};
