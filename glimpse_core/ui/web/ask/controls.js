// Other tokens for the same question, what is saved, and the settings that few need.

/** @import { App, Field, State } from "../types" */
import { button, fill, make } from "../lib/dom.js";
import { isStale } from "../state/reducer.js";
import { fromControl, toControl } from "../state/settings.js";
import { exportView } from "./export.js";

/**
 * A number that can be dragged and typed.
 * @param {App} app @param {Field} field @param {(value: any) => void} put @param {(state: any) => any} get
 * @param {(state: State) => string} off why it has no effect now; empty where it has
 */
const sliderOf = ({ store }, field, put, get, off = () => "") => {
  const label = make("label", "setting");
  const { low = 0, high = 1, step = 1 } = field.control ?? {};
  const range = make("input");
  const box = make("input");
  Object.assign(range, { type: "range", min: String(low), max: String(high), step: String(step) });
  Object.assign(box, { type: "number", min: String(low), step: String(step) });
  for (const [node, kind] of /** @type {const} */ ([[range, "slider"], [box, "number"]])) node.setAttribute("aria-label", kind === "slider" ? `${field.caption}, slider` : field.caption);
  const take = (/** @type {HTMLInputElement} */ node) => {
    const value = node.value === "" ? undefined : fromControl(field, Number(node.value));
    node.toggleAttribute("aria-invalid", value === undefined);
    if (value !== undefined && value !== get(store.get())) put(value);
  };
  range.addEventListener("input", () => take(range));
  box.addEventListener("input", () => take(box));
  store.watch((state) => [get(state)], (state) => {
    const shown = toControl(field, get(state));
    range.max = String(Math.max(high, shown)); // a value of the address may lie beyond the usual end
    range.value = String(shown);
    if (Number(box.value) !== shown || box.value === "") box.value = String(shown);
  });
  const row = make("span", "row");
  const why = make("small", "why");
  store.watch((state) => [off(state)], (state) => {
    why.textContent = off(state);
    for (const node of [range, box]) node.disabled = Boolean(why.textContent);
    why.hidden = !why.textContent;
  });
  row.append(range, box);
  label.append(make("span", "caption", field.caption), row, why);
  return label;
};

/** @param {App} app */
const anchorsView = ({ store, codec }) => {
  const field = codec.field.anchors;
  const box = make("fieldset", "setting anchors");
  const inputs = Object.entries(field.choices ?? {}).map(([name, text]) => {
    const label = make("label");
    const input = make("input");
    input.type = "checkbox";
    input.value = name;
    input.addEventListener("change", () => {
      const chosen = inputs.filter(([one]) => one.checked).map(([one]) => one.value);
      store.dispatch({ type: "settings", change: { anchors: chosen } });
    });
    label.append(input, text);
    return /** @type {const} */ ([input, label]);
  });
  store.watch(({ settings, pictures }) => [settings.anchors, pictures], ({ settings, pictures }) => {
    for (const [input] of inputs) {
      input.checked = settings.anchors.includes(input.value);
      input.disabled = pictures.length > 1 && !input.checked; // they are of one picture
    }
  });
  box.append(make("legend", "caption", field.caption), ...inputs.map(([, label]) => label));
  return box;
};

/** @param {App} app */
const moreView = (app) => {
  const { store, boot, codec } = app;
  const more = make("details", "more");
  const rule = ["threshold", "max_ratio", "min_tokens"].map((name) =>
    sliderOf(
      app, codec.field[name], (value) => store.dispatch({ type: "settings", change: { [name]: value, budget: null } }), (state) => state.settings[name],
      (state) => (name === "threshold" && !state.model.trained ? boot.texts.no_threshold : ""),
    ),
  );
  const length = sliderOf(app, codec.length, (value) => store.dispatch({ type: "length", value }), (state) => state.length);
  const reset = button("Reset", () => {
    const { threshold, max_ratio, min_tokens, anchors } = codec.defaults();
    store.dispatch({ type: "settings", change: { threshold, max_ratio, min_tokens, anchors, budget: null } });
    store.dispatch({ type: "length", value: codec.length.default });
  }, "reset");
  more.append(make("summary", "", "More settings"), ...rule, anchorsView(app), length, reset);
  return more;
};

/** @param {App} app */
export const controlsView = (app) => {
  const { store, codec, act } = app;
  const box = make("section", "controls");
  box.setAttribute("aria-label", "Answer from other tokens");
  const again = button("Answer again", () => act.again(), "again");
  again.id = "glimpse-again";
  again.title = "Answer from the tokens that are kept now";
  const others = Object.entries(codec.field.control.choices ?? {}).map(([name, text]) => {
    const node = button(name === "random" ? "Random instead" : "Only the dropped", () => act.again(name));
    node.id = `glimpse-${name}`;
    node.title = `Answer from ${text}`;
    return node;
  });
  store.watch((state) => [state.asking.phase, state.scores, state.answered, state.settings, state.controlMask], (state) => {
    const able = Boolean(state.scores) && state.asking.phase === "idle";
    for (const node of [again, ...others]) node.disabled = !able;
    again.toggleAttribute("data-wanted", isStale(state));
  });
  const row = make("div", "row");
  row.append(again, ...others);
  return fill(box, row, exportView(app), moreView(app));
};
