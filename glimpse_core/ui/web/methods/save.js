// All methods as files, made here: everything as JSON, the small multiples as one picture.

/** @import { Comparison } from "../state/methods.js" */
import { fill, make } from "../lib/dom.js";
import { BASELINE, maskOf, savedText } from "../state/methods.js";
import { maskCanvases, sheetOf } from "./masks.js";

/** @param {Blob} blob @param {string} name */
const link = (blob, name) => {
  const node = make("a", "", name);
  node.href = URL.createObjectURL(blob);
  node.download = name;
  return node;
};

/**
 * Puts links to both files into a line, and takes back what the line held before.
 * @param {HTMLElement} line @param {Comparison} comparison @param {(HTMLImageElement | null)[]} images
 * @param {import("./masks.js").Inks} inks
 */
export const offerFiles = (line, comparison, images, inks) => {
  for (const old of line.querySelectorAll("a")) URL.revokeObjectURL(old.href);
  const panels = comparison.results.filter(({ name, mask }) => mask !== undefined && name !== BASELINE).map(({ label, kept, mask, total }) => ({
    label: `${label}: ${kept}`,
    canvases: maskCanvases(images, comparison.grids, maskOf(mask ?? "", total ?? 0), inks),
  }));
  fill(line, ...(comparison.results.length ? ["Save ", link(new Blob([savedText(comparison)], { type: "application/json" }), "glimpse-methods.json")] : []));
  if (!panels.length) return;
  sheetOf(panels).toBlob((blob) => blob && line.append(" ", link(blob, "glimpse-methods.jpg")), "image/jpeg", 0.9);
};
