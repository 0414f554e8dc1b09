// What a question would cost on a real model: calculated on the server, from the shapes of the catalog's models.

/** @import { App } from "../types" */
/** @import { Cost } from "../state/costs.js" */
import { fill, make } from "../lib/dom.js";
import { bytesText, countText, flopsText } from "../state/units.js";
import { cacheSentence, computeSentence, gainOf } from "../state/costs.js";
import { costFigure } from "./cost_figure.js";

/** @typedef {{ full: number, kept: number }} Two */
/**
 * @typedef {Object} Projected as ui/projection.py gives it
 * @property {{ name: string, title: string, layers: number, keep_layer: number, fixed: boolean }[]} models
 * @property {{ model: string, width: number, height: number, length: number, percent: number, keep_layer: number | null }} request
 * @property {[number, number]} grid
 * @property {number} text_tokens
 * @property {number} visual_tokens
 * @property {number} kept
 * @property {number} layers
 * @property {number} keep_layer
 * @property {Two} kv_bytes
 * @property {Two} prefill
 * @property {Two} answer
 */

/** @type {[string, string][]} */
const SIZES = [["640x480", "640 × 480"], ["1280x720", "1280 × 720"], ["1920x1080", "1920 × 1080"], ["2480x3508", "A4 page, 2480 × 3508"], ["4032x3024", "Phone photo, 4032 × 3024"]];
const START = { width: 1920, height: 1080, length: 128, percent: 10 };

/** @param {string} text @param {HTMLElement} control */
const labeled = (text, control) => {
  const label = make("label", "", text);
  label.append(control);
  return label;
};

/** @param {[string, string][]} choices @param {string} [value] */
const select = (choices, value) => {
  const box = make("select");
  offer(box, choices, value);
  return box;
};

/** @param {HTMLSelectElement} box @param {[string, string][]} choices @param {string} [value] */
const offer = (box, choices, value) => {
  fill(box, ...choices.map(([name, text]) => new Option(text, name, false, name === value)));
};

/** @param {number | ""} value @param {number} low @param {number} high @param {string} step */
const number = (value, low, high, step = "1") => {
  const box = make("input");
  Object.assign(box, { type: "number", min: String(low), max: String(high), step, value: String(value) });
  return box;
};

/** The three costs of a projection as the page shows costs. @param {Projected} value @returns {Cost[]} */
export const projectedCosts = (value) => {
  const about = { layers: value.layers, keepLayer: value.keep_layer, all: value.visual_tokens, kept: value.kept, control: "" };
  /** @type {(name: string, write: import("../state/units.js").Write, pair: Two, sentence: string) => Cost} */
  const cost = (name, write, pair, sentence) => ({ name, kind: "calculated", write, ...pair, old: false, gain: gainOf(pair), sentence });
  return [
    cost("KV cache", bytesText, value.kv_bytes, cacheSentence(value.kv_bytes, about)),
    cost("Prefill compute", flopsText, value.prefill, computeSentence(value.prefill, about)),
    cost("Compute of the whole answer", flopsText, value.answer, wholeSentence(value)),
  ];
};

/** @param {Projected} value */
const wholeSentence = ({ answer, request: { length } }) => {
  const gain = gainOf(answer);
  const tokens = `${countText(length)} token${length === 1 ? "" : "s"}`;
  if (gain === "saved") return `Saved ${Math.round(100 * (1 - answer.kept / answer.full))}% over prefill and an answer of ${tokens}.`;
  if (gain === "more") return `${Math.round(100 * (answer.kept / answer.full - 1))}% more over prefill and an answer of ${tokens}.`;
  return `No gain over prefill and an answer of ${tokens}.`;
};

/** @param {Projected} value */
const summary = ({ request, grid, visual_tokens: all, kept, keep_layer: layer, layers, text_tokens: words, models }) => {
  const chosen = models.find(({ name }) => name === request.model);
  const fixed = chosen?.fixed ? " (this model makes every picture one size)" : "";
  return `${request.width} × ${request.height} pixels become ${grid[0]} × ${grid[1]} = ${countText(all)} visual tokens${fixed}; ${countText(kept)} of them stay after layer ${layer} (of 0 to ${layers - 1}). With ${words} text tokens, cache in bfloat16. Calculated, not measured; speed depends on the machine.`;
};

const controls = () => {
  const [model, size] = [select([]), select([["", "Other"], ...SIZES], `${START.width}x${START.height}`)];
  const [width, height] = [number(START.width, 8, 20000), number(START.height, 8, 20000)];
  const [length, percent, layer] = [number(START.length, 1, 2048), number(START.percent, 0.1, 100, "any"), number("", 0, 200)];
  layer.placeholder = "as published";
  const form = make("form", "choices");
  form.append(
    labeled("Model", model),
    labeled("Picture", size),
    labeled("Width", width),
    labeled("Height", height),
    labeled("Answer (tokens)", length),
    labeled("Kept (%)", percent),
    labeled("Tokens leave after layer K", layer),
  );
  size.addEventListener("change", () => {
    if (size.value) [width.value, height.value] = size.value.split("x");
  });
  for (const side of [width, height])
    side.addEventListener("input", () => {
      const typed = `${width.value}x${height.value}`;
      size.value = SIZES.some(([name]) => name === typed) ? typed : "";
    });
  return { form, model, width, height, length, percent, layer };
};

/** @param {App} app @returns {HTMLElement} */
export const projectionView = (app) => {
  const root = make("details", "projection");
  const { form, model, width, height, length, percent, layer } = controls();
  const [line, figures] = [make("p", "summary"), make("div", "figures")];
  line.setAttribute("role", "status");
  root.append(make("summary", "", "What would it save on a real model?"), form, line, figures);
  let asked = 0; // an answer that is overtaken by a later one is left out

  /** @param {HTMLInputElement} box */
  const value = (box) => (box.value.trim() === "" ? null : Number(box.value));
  const request = () => ({
    ...(model.value ? { model: model.value } : {}),
    width: value(width),
    height: value(height),
    length: value(length),
    percent: value(percent),
    keep_layer: value(layer),
  });

  /** @param {Projected} shown */
  const draw = (shown) => {
    if (!model.options.length) offer(model, shown.models.map(({ name, title }) => /** @type {[string, string]} */ ([name, title])), shown.request.model);
    delete line.dataset.kind;
    line.textContent = summary(shown);
    fill(figures, ...projectedCosts(shown).map((cost) => costFigure(cost, "Kept")));
  };

  /** @param {string} problem */
  const fail = (problem) => {
    line.dataset.kind = "error";
    line.textContent = problem;
    fill(figures);
  };

  const calculate = async () => {
    const mine = ++asked;
    try {
      const shown = await app.server.call("page_project", request());
      if (mine !== asked) return;
      if (shown.problem) fail(shown.problem);
      else draw(shown);
    } catch (error) {
      if (mine === asked) fail(error instanceof Error ? error.message : String(error));
    }
  };

  model.addEventListener("change", () => (layer.value = ""));
  form.addEventListener("change", calculate);
  form.addEventListener("submit", (event) => event.preventDefault());
  root.addEventListener("toggle", () => {
    if (root.open && !asked) calculate();
  });
  return root;
};
