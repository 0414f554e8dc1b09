// A small chart of the layers: how many visual tokens run in each, how many its cache keeps, and which one is looked at.

/** @import { State } from "../types" */
import { make } from "../lib/dom.js";
import { depthOf, depthSentence, runsOf } from "../state/depth.js";
import { selectionOf } from "../state/selection.js";

const HEIGHT = 24; // pixels of the page
const WIDEST = 120;

/** @param {string} name @param {number} tokens @param {number} total */
const bar = (name, tokens, total) => {
  const box = make("i", name);
  box.style.height = `${Math.max(2, Math.round((HEIGHT * tokens) / total))}px`;
  return box;
};

/** Its parts, with their words; none while the layers are not known. @param {State} state @returns {(Node | string)[]} */
export const depthChart = (state) => {
  const depth = depthOf(state);
  const { kept, mask } = selectionOf(state);
  if (!depth || !mask.length) return [];
  const chart = make("span", "depth");
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", depthSentence(state));
  chart.title = depthSentence(state);
  chart.style.width = `${Math.min(WIDEST, 10 * (depth.last + 1))}px`;
  runsOf(state).forEach((tokens, layer) => {
    const column = make("b", layer === depth.layer ? "here" : "");
    column.append(bar("run", tokens, mask.length), bar("cached", kept, mask.length));
    chart.append(column);
  });
  return [chart, make("i", "run"), make("span", "", "run"), make("i", "cached"), make("span", "", "in the cache")];
};
