// One method: what it keeps, what it answers, what it costs.

/** @import { Comparison, Result } from "../state/methods.js" */
import { make } from "../lib/dom.js";
import { BASELINE, maskOf, verdictOf } from "../state/methods.js";
import { countText, shareText, timeText } from "../state/units.js";
import { maskCanvases } from "./masks.js";

/** @param {Result} result */
const figures = ({ kept = 0, total = 0, kv, prefill, first }) => {
  const list = make("dl");
  const rows = [
    ["Tokens kept", `${countText(kept)} of ${countText(total)} (${shareText(total ? kept / total : 1)})`],
    ["KV cache, mean of layers", shareText(kv)],
    ["Prefill, mean of layers", shareText(prefill)],
    ["Time to first token", timeText(first === null || first === undefined ? null : 1000 * first)],
  ];
  for (const [label, value] of rows) {
    const row = make("div");
    row.append(make("dt", "", label), make("dd", "", value));
    list.append(row);
  }
  return list;
};

/** @param {Result} result @param {Comparison} comparison @param {(HTMLImageElement | null)[]} images @param {import("./masks.js").Inks} inks */
const pictures = (result, { grids }, images, inks) => {
  const box = make("div", "pictures");
  const canvases = maskCanvases(images, grids, maskOf(result.mask ?? "", result.total ?? 0), inks);
  for (const canvas of canvases) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${result.label}: ${result.kept} of ${result.total} tokens kept`);
  }
  box.append(...canvases);
  return box;
};

/**
 * @param {Result} result @param {Comparison} comparison @param {(HTMLImageElement | null)[]} images
 * @param {import("./masks.js").Inks} inks
 */
export const card = (result, comparison, images, inks) => {
  const box = make("section", "card");
  box.dataset.name = result.name;
  const head = make("header");
  const where = result.name === BASELINE ? "no token leaves" : `tokens leave ${result.where}`;
  head.append(make("h3", "", result.label), make("span", "hint", where));
  box.append(head);
  if (result.error) {
    box.append(make("p", "error", result.error));
    return box;
  }
  const text = make("p", "text", result.text?.trim() || "(no words)");
  text.dir = "auto";
  const verdict = verdictOf(result, comparison.results.find(({ name }) => name === BASELINE));
  const line = make("p", "verdict", verdict.text);
  if (verdict.kind) line.dataset.kind = verdict.kind;
  if (result.name !== BASELINE) line.dataset.same = String(Boolean(result.same));
  box.append(pictures(result, comparison, images, inks), text, line, figures(result));
  return box;
};
