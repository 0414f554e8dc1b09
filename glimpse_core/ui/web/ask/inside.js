// Folded below the costs: tokens alive in each layer, what the glimpse token attended to, and cost stage by stage.

/** @import { App, Heads, Inside, State } from "../types" */
import { heatColor } from "../lib/colors.js";
import { bytesOf, fill, floatsOf, make } from "../lib/dom.js";
import { aliveSentence, divergenceSentence, stageRows, strongest } from "../state/inside.js";
import { flopsText, MISSING, timeText } from "../state/units.js";
import { aliveChart } from "./alive.js";
import { divergenceTables } from "./divergence.js";

/** @param {string} title @param {string} kind how the figures are known @param {string} caption @param {...Node} body */
const figureOf = (title, kind, caption, ...body) => {
  const figure = make("figure");
  figure.append(make("h3", "", title), make("span", "kind", kind), ...body, make("figcaption", "", caption));
  return figure;
};

/** @param {[string, string][]} names class and text */
const legendOf = (names) => {
  const line = make("p", "names");
  for (const [kind, text] of names) line.append(make("i", kind), make("span", "", text));
  return line;
};

/** @param {Inside} inside */
const aliveFigure = (inside) => {
  const sentence = aliveSentence(inside);
  const legend = legendOf([["full", "all tokens"], ["kept", "with pruning"]]);
  return figureOf("Tokens alive in each layer", "counted", sentence, aliveChart(inside, sentence), legend);
};

/** @param {string} tag @param {string} text @param {string} [className] @param {string} [scope] */
const cell = (tag, text, className, scope) => {
  const node = make(/** @type {"th" | "td"} */ (tag), className, text);
  if (scope) node.setAttribute("scope", scope);
  return node;
};

const stageHead = () => {
  const [top, below] = [make("tr"), make("tr")];
  for (const [text, span] of /** @type {const} */ ([["Stage", 1], ["Compute, calculated", 2], ["Time, measured", 2]])) {
    const head = cell("th", text, "", span > 1 ? "colgroup" : "col");
    /** @type {HTMLTableCellElement} */ (head).colSpan = span;
    if (span === 1) /** @type {HTMLTableCellElement} */ (head).rowSpan = 2;
    top.append(head);
  }
  for (const text of ["All", "Kept", "All", "Kept"]) below.append(cell("th", text, "", "col"));
  const head = make("thead");
  head.append(top, below);
  return head;
};

/** @param {Inside} inside @param {boolean} old whether the times of all tokens are of an earlier run */
const stageFigure = (inside, old) => {
  const table = make("table", "stages");
  const body = make("tbody");
  for (const { name, compute, time, sum } of stageRows(inside)) {
    const line = make("tr", sum ? "sum" : "");
    const [full, kept] = time ? time.map(timeText) : [MISSING, MISSING];
    line.append(cell("th", name, "", "row"), ...compute.map((flops) => cell("td", flopsText(flops))));
    line.append(cell("td", full, old ? "old" : ""), cell("td", kept));
    body.append(line);
  }
  table.append(stageHead(), body);
  const scroll = make("div", "scroll");
  scroll.append(table);
  const note = old ? " The gray times are from an earlier run." : "";
  const caption = `Matrix products and attention, from the model's shape; one multiply-add is 2 FLOPs. Both answers continue from one run of the first two stages, so their times are the same.${note}`;
  return figureOf("Stage by stage", "calculated and measured", caption, scroll);
};

/**
 * A map of one picture, one pixel per token.
 * @param {ArrayLike<number>} shares 0 to 1 @param {{ rows: number, cols: number }} grid @param {number} start
 * @param {string} label
 */
const mapOf = (shares, { rows, cols }, start, label) => {
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [cols, rows];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const data = context.createImageData(cols, rows);
  for (let i = 0; i < rows * cols; i++) data.data.set([...heatColor(shares[start + i]), 255], 4 * i);
  context.putImageData(data, 0, 0);
  return canvas;
};

/** The maps of the picture on the stage; null where the maps are of other pictures. @param {Heads} heads @param {State} state */
const mapsOf = (heads, { pictures, active, inside }) => {
  const picture = pictures[active];
  const tokens = pictures.map(({ rows, cols }) => rows * cols);
  const sum = (/** @type {number[]} */ counts) => counts.reduce((all, count) => all + count, 0);
  const vip = floatsOf(heads.vip);
  if (!picture || sum(tokens) !== vip.length) return null;
  const start = sum(tokens.slice(0, active));
  const tile = (/** @type {ArrayLike<number>} */ shares, /** @type {string} */ name, /** @type {string} */ note, /** @type {string} */ kind) => {
    const item = make("figure", kind);
    item.append(mapOf(shares, picture, start, `${name}: strongest in ${strongest(shares, picture, start)}`));
    item.append(make("figcaption", "", name), make("small", "", note));
    return item;
  };
  const small = make("div", "heads");
  heads.maps.forEach((map, head) => {
    const shares = Float32Array.from(bytesOf(map), (value) => value / 255);
    small.append(tile(shares, `Head ${head}`, `up to ${(100 * heads.peaks[head]).toFixed(1)}% on one token`, "attention"));
  });
  const padding = picture.frame && picture.frame.join() !== "0,0,1,1" ? "; all maps show the padded square" : "";
  const box = make("div", "maps");
  const [name, note] = inside?.attention
    ? ["The score", "mean of all heads, 1 for the most attended token"]
    : ["The predictor's result", "probability that a token matters, 0 to 1"];
  box.append(small, tile(vip, name, `${note}${padding}`, "vip"));
  return box;
};

/** @param {Heads} heads @param {State} state */
const headsFigure = (heads, state) => {
  const maps = mapsOf(heads, state);
  if (!maps) return null;
  const several = heads.read_layers.length > 1 ? ` It reads layers ${heads.read_layers.join(" and ")}; the last one is shown.` : "";
  const more = heads.heads > heads.maps.length ? ` ${heads.maps.length} of ${heads.heads} heads are shown.` : "";
  if (state.inside?.attention) {
    const plain = `Each small map is one attention head of layer ${heads.layer}: the share of the last prompt token's attention to the picture, scaled to its own strongest token. The score of a token is the mean over all heads. Nothing here was trained to find what matters.${more}`;
    return figureOf("What the last token of the prompt attended to", "read from the model", plain, maps);
  }
  const caption = `Each small map is one attention head of layer ${heads.layer}: the share of the glimpse token's attention to the picture, scaled to its own strongest token. A small network, the visual importance predictor (VIP), reads all of them beside what the vision tower saw, and says how likely each token matters.${several}${more}`;
  return figureOf("What the glimpse token attended to", "read from the model", caption, maps);
};

/** @param {Inside} inside */
const divergenceFigure = ({ divergence }) => {
  if (divergence === undefined) return null;
  const tables = divergence ? [divergenceTables(divergence)] : [];
  return figureOf("Where the answers part", "read from the model", divergenceSentence(divergence), ...tables);
};

/** @param {State} state */
const figuresOf = (state) => {
  const { inside, answers } = state;
  if (!inside?.alive) return [make("p", "idle", inside?.note || "Ask a question, and this shows where its cost went and what its scores were made of.")];
  const old = Boolean(answers?.full?.old);
  const asked = make("p", "for", `For “${inside.question}”${inside.stored ? ", as stored" : ""}`);
  asked.dir = "auto";
  return [asked, aliveFigure(inside), inside.heads && headsFigure(inside.heads, state), stageFigure(inside, old), divergenceFigure(inside)];
};

/** @param {App} app @returns {HTMLElement} */
export const insideView = ({ store }) => {
  const root = make("details", "inside");
  const figures = make("div", "figures");
  root.append(make("summary", "", "Inside: layer by layer, head by head, stage by stage"), figures);
  // Drawn when it is open only: the maps are many.
  const draw = () => root.open && fill(figures, ...figuresOf(store.get()));
  root.addEventListener("toggle", draw);
  store.watch((state) => [state.inside, state.pictures, state.active, state.answers?.full], draw);
  return root;
};
