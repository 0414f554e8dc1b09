// The header: name, tabs, and the model's state.

/** @import { App } from "./types" */
import { button, fill, make } from "./lib/dom.js";

/** @type {Record<string, string>} */
const TITLES = { ask: "Ask", methods: "Methods", benchmark: "Benchmark" };

/** @param {App} app */
const tabsView = ({ store, boot }) => {
  const list = make("nav", "places");
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Glimpse");
  const choose = (/** @type {string} */ name) => store.dispatch({ type: "tab", name });
  const buttons = boot.tabs.map((name) => {
    const node = button(TITLES[name] ?? name, () => choose(name));
    node.id = `glimpse-choose-${name}`;
    node.setAttribute("role", "tab");
    node.setAttribute("aria-controls", name === "benchmark" ? "glimpse-tab-benchmark" : `glimpse-panel-${name}`);
    return node;
  });
  list.append(...buttons);
  list.addEventListener("keydown", ({ key }) => {
    const stepped = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 })[key];
    if (!stepped) return;
    const next = (boot.tabs.indexOf(store.get().tab) + stepped + boot.tabs.length) % boot.tabs.length;
    choose(boot.tabs[next]);
    buttons[next].focus();
  });
  store.watch(({ tab }) => [tab], ({ tab }) => {
    buttons.forEach((node, i) => {
      node.setAttribute("aria-selected", String(boot.tabs[i] === tab));
      node.tabIndex = boot.tabs[i] === tab ? 0 : -1;
    });
  });
  return list;
};

/** @param {App} app */
const badgeView = ({ store }) => {
  const badge = make("p", "glimpse-badge");
  badge.setAttribute("role", "status");
  store.watch(({ model }) => [model], ({ model }) => {
    badge.dataset.state = model.state;
    fill(badge, make("span", "dot"), make("strong", "", model.title), make("span", "detail", model.detail));
  });
  return badge;
};

/** @param {App} app */
export const headView = (app) => {
  const head = make("header", "head");
  const name = make("h1", "", "Glimpse");
  name.title = app.boot.texts.tagline;
  head.append(name, make("p", "tagline", app.boot.texts.tagline), tabsView(app), badgeView(app));
  return head;
};
