// What the answers on the page cost: three pairs of bars, one sentence about each, and a projection for larger models.

/** @import { App } from "../types" */
import { fill, make } from "../lib/dom.js";
import { costsOf, costValues, sideName } from "../state/costs.js";
import { costFigure } from "./cost_figure.js";
import { projectionView } from "./projection.js";

/** @param {App} app @returns {HTMLElement} */
export const costsView = (app) => {
  const root = make("section", "costs");
  const figures = make("div", "figures");
  const idle = make("p", "idle", "Ask a question, and this compares what both answers cost.");
  root.append(make("h2", "", "Costs"), idle, figures, projectionView(app));
  app.store.watch(
    costValues,
    (state) => {
      const asked = Boolean(state.answers?.question);
      idle.hidden = asked;
      figures.hidden = !asked;
      if (!asked) return;
      const { cache, compute, time, about } = costsOf(state);
      fill(figures, ...[cache, compute, time].map((cost) => costFigure(cost, sideName(about.control))));
    },
  );
  return root;
};
