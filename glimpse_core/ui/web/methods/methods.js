// The Methods tab: the picture and the question of the Ask tab under several methods at one budget.

/** @import { App, Picture, State } from "../types" */
/** @import { Comparison, MethodsMessage } from "../state/methods.js" */
import { button, fill, make } from "../lib/dom.js";
import { createStore } from "../lib/store.js";
import { inksOf } from "../stage/scene.js";
import { begun, isRunning, NOTHING, ORDERS, sorted, summaryOf, truthOf, withMessage } from "../state/methods.js";
import { truthNote } from "../state/truth.js";
import { card } from "./card.js";
import { offerFiles } from "./save.js";

const INTRO =
  "Several methods may keep the same share of the visual tokens. They differ in where tokens leave, so equal budgets are not equal costs: cache and prefill are means over all layers. Every method runs alone, from the vision tower on, and its time is measured once. One picture is no benchmark, and random is often harder to beat than one thinks.";
const PERCENT = 11;

/** @typedef {{ comparison: Comparison, order: string, images: (HTMLImageElement | null)[] }} Shown */

/** @param {Shown} shown @param {{ type: string, [name: string]: any }} action @returns {Shown} */
const reduce = (shown, action) => {
  switch (action.type) {
    case "begin": return { ...shown, comparison: begun(action.asked), images: action.asked.pictures.map(() => null) };
    case "message": return { ...shown, comparison: withMessage(shown.comparison, action.message) };
    case "text": return { ...shown, comparison: { ...shown.comparison, text: action.text } };
    case "images": return { ...shown, images: action.images };
    case "order": return { ...shown, order: action.name };
    default: throw new Error(`There is no action "${action.type}".`);
  }
};

/** Own copies of the pictures: those on the stage may change meanwhile. @param {{ src?: string }[]} pictures */
const loaded = (pictures) =>
  Promise.all(
    pictures.map(async ({ src }) => {
      const image = new Image();
      image.src = src ?? "";
      return image.decode().then(() => image, () => null);
    }),
  );

/** @param {App["boot"]["methods"]} methods */
const choices = (methods) => {
  const box = make("fieldset", "names");
  box.id = "methods-names";
  box.append(make("legend", "", "Methods, beside all tokens"));
  const boxes = methods.map(({ name, label, usual }) => {
    const line = make("label");
    const input = make("input");
    Object.assign(input, { type: "checkbox", value: name, checked: usual });
    line.append(input, make("span", "", label));
    box.append(line);
    return input;
  });
  return { box, names: () => boxes.filter(({ checked }) => checked).map(({ value }) => value) };
};

const budget = () => {
  const box = make("label", "budget");
  const input = make("input");
  Object.assign(input, { type: "range", min: "1", max: "100", step: "1", value: String(PERCENT), id: "methods-budget" });
  const output = make("output", "", `${PERCENT}%`);
  input.addEventListener("input", () => (output.value = `${input.value}%`));
  box.append(make("span", "", "Budget (% of the visual tokens)"), input, output);
  return { box, percent: () => Number(input.value) };
};

/** Question, truth and picture, as they are on the Ask tab. @param {App} app */
const askedView = ({ store, boot }) => {
  const box = make("div", "subject");
  store.watch(
    (state) => [state.question, state.answers, state.example, state.pictures],
    (state) => {
      const words = make("div");
      const question = make("p", "question", state.question.trim() || "No question yet: type one on the Ask tab.");
      question.dir = "auto";
      const truth = truthOf(state, boot);
      const line = make("p", "truth", truth ? "True answer: " : "");
      if (truth) line.append(make("bdi", "", truth), " ", make("span", "hint", truthNote(truth)));
      words.append(question, line, make("p", "hint", "Picture and question are those of the Ask tab."));
      fill(box, ...state.pictures.map(thumbnail), words);
    },
  );
  return box;
};

/** @param {Picture} picture */
const thumbnail = ({ src, alt }) => {
  const image = make("img");
  image.src = src ?? "";
  image.alt = alt ?? "The picture";
  return image;
};

/** @param {import("../types").Store<Shown, any>} shown */
const orderView = (shown) => {
  const box = make("label", "order", "Sort by ");
  const select = make("select");
  fill(select, ...ORDERS.map(([name, text]) => new Option(text, name)));
  select.addEventListener("change", () => shown.dispatch({ type: "order", name: select.value }));
  box.append(select);
  return box;
};

/** @param {import("../types").Store<Shown, any>} shown */
const resultsView = (shown) => {
  const root = make("div", "results");
  const message = make("p", "message");
  const [summary, head, cards, saved] = [make("p", "summary"), make("div", "overview"), make("div", "cards"), make("p", "saved")];
  const order = orderView(shown);
  head.append(summary, order);
  root.append(message, head, cards, saved);
  shown.watch(
    ({ comparison, order: name, images }) => [comparison, name, images],
    ({ comparison, order: name, images }) => {
      const { state, text, results } = comparison;
      message.textContent = text;
      message.dataset.kind = state === "failed" ? "error" : "info";
      message.setAttribute("role", state === "failed" ? "alert" : "status");
      summary.textContent = summaryOf(comparison);
      order.hidden = results.length < 3;
      const inks = inksOf(root);
      fill(cards, ...sorted(results, name).map((result) => card(result, comparison, images, inks)));
    },
  );
  shown.watch(
    ({ comparison, images }) => [comparison.state, images],
    ({ comparison, images }) => (isRunning(comparison) ? fill(saved) : offerFiles(saved, comparison, images, inksOf(root))),
  );
  return root;
};

/** @param {App} app @returns {HTMLElement} */
export const methodsView = (app) => {
  const shown = createStore(reduce, /** @type {Shown} */ ({ comparison: NOTHING, order: "same", images: [] }));
  const [method, share] = [choices(app.boot.methods), budget()];
  const going = new AbortController();
  let turn = 0; // of the newest comparison: a stop may overtake it on its way to the server

  const compare = async () => {
    const { files, pictures } = app.store.get();
    const asked = /** @type {{ question: string }} */ (app.act.asked());
    const names = method.names();
    shown.dispatch({ type: "begin", asked: { question: asked.question.trim(), percent: share.percent(), names, pictures } });
    const { comparison } = shown.get();
    const same = () => shown.get().comparison.asked === comparison.asked; // an image may come after a later comparison began
    void loaded(pictures).then((images) => same() && shown.dispatch({ type: "images", images }));
    try {
      const request = { ...asked, names, percent: share.percent(), turn: ++turn };
      for await (const sent of app.server.stream("page_methods", request, files, going.signal)) {
        shown.dispatch({ type: "message", message: /** @type {MethodsMessage} */ (sent) });
      }
      if (isRunning(shown.get().comparison)) throw new Error("the stream ended early");
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      shown.dispatch({ type: "message", message: { state: "failed", text: `The connection to the server was lost: please compare again. (${why})` } });
    }
  };

  const go = button("Compare", () => void compare(), "primary");
  const stop = button("Stop", () => {
    shown.dispatch({ type: "text", text: "Stopping…" });
    app.server.notify("page_methods_stop", { turn });
  });
  [go.id, stop.id] = ["methods-run", "methods-stop"];
  shown.watch(
    ({ comparison }) => [isRunning(comparison)],
    ({ comparison }) => [go.disabled, stop.disabled] = [isRunning(comparison), !isRunning(comparison)],
  );

  const root = make("section", "methods");
  const row = make("div", "setup");
  const buttons = make("div", "buttons");
  buttons.append(go, stop);
  const side = make("div", "side");
  side.append(share.box, buttons);
  row.append(method.box, side);
  root.append(make("p", "intro", INTRO), askedView(app), row, resultsView(shown));
  return root;
};
