// The three figures beside the answers: tokens, cache and time, with all tokens and with the kept ones.

/** @import { App, State } from "../types" */
/** @import { Cost } from "../state/costs.js" */
import { fill, make } from "../lib/dom.js";
import { costsOf, costValues, differenceText, sideName, tokensOf } from "../state/costs.js";

/** @param {Cost} cost */
const row = (cost) => {
  const line = make("tr");
  const name = make("th", "", cost.name);
  name.scope = "row";
  const all = make("td", cost.old ? "old" : "", cost.write(cost.full));
  if (cost.old) all.title = "of an earlier run";
  const difference = make("td", "difference", differenceText(cost));
  if (cost.gain) difference.dataset.gain = cost.gain;
  line.append(name, all, make("td", "", cost.write(cost.kept)), difference);
  return line;
};

/** @param {string} side */
const heads = (side) => {
  const line = make("tr");
  for (const text of ["", "All", side, "Difference"]) {
    const cell = make(text ? "th" : "td", "", text);
    if (cell.tagName === "TH") cell.setAttribute("scope", "col");
    line.append(cell);
  }
  return line;
};

/** @param {State} state */
const factsOf = (state) => {
  const { cache, time } = costsOf(state);
  return [tokensOf(state), cache, time];
};

/** @param {App} app @returns {HTMLElement} */
export const factsView = (app) => {
  const table = make("table", "facts");
  table.setAttribute("aria-label", "What both answers cost");
  const [head, body] = [make("thead"), make("tbody")];
  table.append(head, body);
  app.store.watch(
    costValues,
    (state) => {
      fill(head, heads(sideName(costsOf(state).about.control)));
      fill(body, ...factsOf(state).map(row));
    },
  );
  return table;
};
