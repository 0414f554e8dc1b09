// One cost as two bars, all tokens and the other side, with one sentence about both.

/** @import { Cost } from "../state/costs.js" */
import { make } from "../lib/dom.js";

const KINDS = {
  counted: "counted",
  calculated: "calculated from the model's shape, not measured",
  measured: "measured while these answers were made",
};

/**
 * @param {"full" | "kept"} side @param {string} label @param {number | null} value
 * @param {number} highest @param {Cost} cost
 */
const bar = (side, label, value, highest, { write, old }) => {
  const line = make("div", `bar ${side}`);
  const fillBar = make("i");
  fillBar.style.width = `${value === null || !highest ? 0 : (100 * value) / highest}%`;
  const track = make("span", "track");
  track.append(fillBar);
  line.append(make("span", "side", label), track, make("span", "amount", write(value)));
  if (old && side === "full") {
    line.classList.add("old");
    line.append(make("small", "", "earlier run"));
  }
  return line;
};

/**
 * One cost: both bars, scaled to the larger of them, and what they mean.
 * @param {Cost} cost @param {string} other name of the right hand side
 */
export const costFigure = (cost, other) => {
  const figure = make("figure", "cost");
  if (cost.gain) figure.dataset.gain = cost.gain;
  const head = make("h3", "", cost.name);
  const kind = make("span", "kind", cost.kind);
  kind.title = KINDS[cost.kind];
  const highest = Math.max(cost.full ?? 0, cost.kept ?? 0);
  const bars = make("div", "bars");
  bars.append(bar("full", "All", cost.full, highest, cost), bar("kept", other, cost.kept, highest, cost));
  figure.append(head, kind, bars, make("figcaption", "", cost.sentence));
  return figure;
};
