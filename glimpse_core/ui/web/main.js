// The page: its header with the tabs, and what belongs to the first two of them. Gradio calls `mount` once.

/** @import { App, Boot } from "./types" */
import { answersView } from "./ask/answers.js";
import { choiceView } from "./ask/choice.js";
import { controlsView } from "./ask/controls.js";
import { dialView } from "./ask/dial.js";
import { footView } from "./ask/foot.js";
import { noticeView, questionView, suggestionsView } from "./ask/question.js";
import { headView } from "./head.js";
import { fill, make } from "./lib/dom.js";
import { connect } from "./lib/server.js";
import { createStore } from "./lib/store.js";
import { createActions } from "./state/actions.js";
import { follow, openPicture } from "./state/address.js";
import { initialState, reducer } from "./state/reducer.js";
import { createCodec } from "./state/settings.js";
import { lessonView } from "./stage/lesson.js";
import { readoutView } from "./stage/readout.js";
import { stageHandle, stageView } from "./stage/stage.js";

const POLL = 1000; // milliseconds between two looks at a model that is still loading

/** @param {string} name @param {...Node} parts */
const box = (name, ...parts) => {
  const node = make("div", name);
  node.append(...parts);
  return node;
};

/** @param {App} app */
const askPanel = (app) => {
  const left = box("left", choiceView(app), stageView(app), dialView(app), readoutView(app));
  const right = box("right", questionView(app), suggestionsView(app), noticeView(app), answersView(app), controlsView(app));
  const below = box("below");
  // What is not above the fold comes once that stands.
  import("./ask/costs.js").then(async ({ costsView }) => {
    const { insideView } = await import("./ask/inside.js");
    fill(below, costsView(app), insideView(app), footView(app));
  });
  const panel = box("panel ask", lessonView(app), box("main", left, right), below);
  panel.id = "glimpse-panel-ask";
  return panel;
};

/** @param {App} app */
const methodsPanel = (app) => {
  const panel = box("panel methods");
  panel.id = "glimpse-panel-methods";
  let begun = false;
  app.store.watch(({ tab }) => [tab], ({ tab }) => {
    if (tab !== "methods" || begun) return;
    begun = true;
    import("./methods/methods.js").then(({ methodsView }) => panel.append(methodsView(app)));
  });
  return panel;
};

/** Which panel is shown; that of the benchmark is Gradio's. @param {App} app */
const showTab = (app) => {
  app.store.watch(({ tab }) => [tab], ({ tab }) => {
    document.body.dataset.glimpseTab = tab;
    for (const name of app.boot.tabs) {
      const panel = document.getElementById(name === "benchmark" ? "glimpse-tab-benchmark" : `glimpse-panel-${name}`);
      panel?.setAttribute("role", "tabpanel");
      panel?.setAttribute("aria-labelledby", `glimpse-choose-${name}`);
    }
  });
};

/** @param {App} app */
const watchModel = ({ store, server }) => {
  const look = async () => {
    const model = await server.call("page_model", {}).catch(() => null);
    if (model) store.dispatch({ type: "model", model });
    if (store.get().model.state === "loading") setTimeout(look, POLL);
  };
  void look();
};

/**
 * Nothing can be typed or clicked before the page shows what its address asks for, which would undo it: page.css.
 * @param {App} app @param {() => void} ready
 */
const whenShown = ({ store }, ready) => {
  if (store.get().asking.pictures === "none") return ready();
  const end = store.watch(({ asking }) => [asking.pictures], ({ asking }) => {
    if (asking.pictures !== "none") return;
    ready();
    queueMicrotask(() => end());
  });
};

/** @param {HTMLElement} element @param {Boot} boot @param {string} root address of the page, with a slash at its end */
export const mount = (element, boot, root) => {
  const codec = createCodec(boot.fields, boot.length);
  const store = createStore(reducer, initialState(boot, codec));
  const server = connect(root, crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-"), boot.borrowed);
  const act = createActions(store, boot, codec, server);
  /** @type {App} */
  const app = { store, boot, codec, server, act };
  if (boot.first) store.dispatch({ type: "shown", shown: boot.first, example: boot.first.example, files: [] });
  const host = /** @type {HTMLElement} */ (element.firstElementChild ?? element);
  fill(host, headView(app), askPanel(app), methodsPanel(app));
  // The one global: for tests, and `open` for the Benchmark tab, which is Gradio's.
  const open = (/** @type {string} */ src, /** @type {Record<string, string>} */ query) => openPicture(app, src, query);
  Object.assign(window, { glimpse: { app, store, stage: stageHandle(app), open } });
  showTab(app);
  watchModel(app);
  addEventListener("pagehide", ({ persisted }) => persisted || act.leave());
  follow(app);
  whenShown(app, () => (document.body.dataset.glimpseReady = "true"));
};
