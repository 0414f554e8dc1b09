// The step chart of tokens alive in each decoder layer.

/** @import { Inside } from "../types" */

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
const svg = (tag, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
};

const SIZE = { width: 560, height: 190, left: 60, right: 8, top: 20, bottom: 30 };

/** From layers and tokens to places on the chart. @param {number} layers @param {number} highest */
const scaleOf = (layers, highest) => ({
  x: (/** @type {number} */ layer) => SIZE.left + ((SIZE.width - SIZE.left - SIZE.right) * layer) / layers,
  y: (/** @type {number} */ tokens) => SIZE.height - SIZE.bottom - ((SIZE.height - SIZE.top - SIZE.bottom) * tokens) / highest,
});

/** @param {Inside} inside @param {string} label */
export const aliveChart = ({ alive, layers, keep_layer: keep }, label) => {
  const highest = Math.max(...alive.full, ...alive.kept);
  const { x, y } = scaleOf(layers, highest);
  const steps = (/** @type {number[]} */ values) =>
    values.map((value, layer) => `${layer ? "L" : "M"}${x(layer)},${y(value)}L${x(layer + 1)},${y(value)}`).join("");
  const chart = svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": label });
  for (const tokens of [0, highest]) {
    chart.append(svg("line", { x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: y(tokens), y2: y(tokens), class: "rule" }));
    chart.append(svg("text", { x: SIZE.left - 6, y: y(tokens) + 4, "text-anchor": "end" }, tokens.toLocaleString("en")));
  }
  chart.append(svg("path", { d: `${steps(alive.kept)}L${x(layers)},${y(0)}L${x(0)},${y(0)}Z`, class: "area" }));
  chart.append(svg("path", { d: steps(alive.full), class: "line full" }), svg("path", { d: steps(alive.kept), class: "line kept" }));
  if (keep + 1 < layers) chart.append(...cutOf(keep, x(keep + 1), y(0)));
  const every = Math.ceil(layers / 14);
  for (let layer = 0; layer < layers; layer += every) {
    chart.append(svg("text", { x: (x(layer) + x(layer + 1)) / 2, y: SIZE.height - 12, "text-anchor": "middle" }, String(layer)));
  }
  return chart;
};

/** The line after the layer at which tokens leave. @param {number} keep @param {number} at @param {number} bottom */
const cutOf = (keep, at, bottom) => {
  const late = at > SIZE.width * 0.7;
  const place = { x: at + (late ? -6 : 6), y: SIZE.top + 18, "text-anchor": late ? "end" : "start" };
  const line = svg("line", { x1: at, x2: at, y1: SIZE.top - 6, y2: bottom, class: "cut" });
  return [line, svg("text", place, `tokens leave after layer ${keep}`)];
};
