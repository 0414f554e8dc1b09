// Where the two answers part: the most probable next tokens of both.

/** @import { Divergence } from "../types" */
import { make } from "../lib/dom.js";
import { candidateRows } from "../state/inside.js";

/** @param {Divergence} divergence @param {"full" | "kept"} side @param {string} title */
const sideOf = (divergence, side, title) => {
  const table = make("table", side);
  table.append(make("caption", "", title));
  const body = make("tbody");
  candidateRows(divergence, side).forEach(({ text, share, percent, other }, place) => {
    const line = make("tr", place === 0 ? "chosen" : other ? "other" : "");
    const name = make("th", "", text);
    name.scope = "row";
    name.dir = "auto";
    if (other) name.title = "what the other answer goes on with";
    const bar = make("td", "bar");
    const fill = make("i");
    fill.style.width = `${100 * share}%`;
    bar.append(fill);
    line.append(name, bar, make("td", "percent", percent));
    body.append(line);
  });
  table.append(body);
  return table;
};

/** Both sides beside each other. @param {Divergence} divergence @returns {HTMLElement} */
export const divergenceTables = (divergence) => {
  const box = make("div", "divergence");
  box.append(sideOf(divergence, "full", "With all tokens"), sideOf(divergence, "kept", "With the kept ones"));
  return box;
};
