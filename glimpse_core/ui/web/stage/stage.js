// The stage: the picture on its token grid, the views of it, what its colors mean and how many tokens are kept.

/** @import { App, State } from "../types" */
import { button, fill, make, radios } from "../lib/dom.js";
import { depthOf, runningOf } from "../state/depth.js";
import { bothWords } from "../state/before.js";
import { coverWords, evidenceOf } from "../state/evidence.js";
import { aspectOf, fit } from "../state/geometry.js";
import { selectionOf } from "../state/selection.js";
import { isScored, shownView, talliesOf, VIEWS } from "../state/shown.js";
import { drawScene } from "./draw.js";
import { loadPictures } from "./images.js";
import { contextOf } from "./layers.js";
import { legendView } from "./legend.js";
import { listenTo } from "./pointer.js";
import { imageOf, inksOf, sceneOf, sceneValues, stageOf } from "./scene.js";
import { countWords, pictureWords } from "./words.js";

/**
 * What stands above the dial. The frame is as high as CSS says; the canvas is the largest that fits it.
 * @param {App} app
 */
export const stageView = (app) => {
  const root = make("section", "glimpse-stage");
  root.setAttribute("aria-label", "Picture and tokens");
  const facts = make("div", "tally");
  const legend = legendView(app);
  const { frame, redraw } = frameView(app);
  facts.append(countView(app), legend.box);
  root.append(topView(app), frame, pagesView(app), facts, coverView(app), bothView(app));
  const recolor = () => {
    stageOf(app).inks = inksOf(root);
    redraw();
    legend.redraw();
  };
  new MutationObserver(recolor).observe(document.body, { attributeFilter: ["class"] }); // dark or light
  new ResizeObserver(recolor).observe(frame); // first when the frame is on the page: before, it has neither size nor colors
  app.store.watch((state) => [isScored(state)], (state) => (root.dataset.scored = String(isScored(state))));
  return root;
};

/**
 * Views, and how much the overlay covers or how far it is wiped.
 * @param {App} app
 */
const topView = (app) => {
  const { store } = app;
  const choose = (/** @type {string} */ name) => {
    if (store.get().lesson !== null) store.dispatch({ type: "lesson", step: null }); // whose step has its own view
    store.dispatch({ type: "view", name });
  };
  const views = radios("View", VIEWS, choose);
  const top = make("div", "top");
  const label = make("label", "fade");
  const word = make("span");
  const fade = make("input");
  Object.assign(fade, { type: "range", min: "0", max: "1", step: "0.05" });
  fade.addEventListener("input", () => {
    const { view } = shownView(store.get());
    store.dispatch({ type: view === "wipe" ? "wipe" : view === "layers" ? "layer" : "opacity", value: Number(fade.value) });
  });
  views.box.classList.add("tabs");
  label.append(word, fade);
  top.append(views.box, truthToggle(app), label);
  store.watch(
    (state) => [state.view, state.lesson, state.opacity, state.wipe, state.layer, state.inside, isScored(state)],
    (state) => {
      const view = isScored(state) ? shownView(state).view : state.view;
      views.mark(view);
      views.enable(isScored(state));
      fade.disabled = !isScored(state);
      label.style.visibility = view === "picture" || view === "only" || (view === "layers" && !depthOf(state)) ? "hidden" : "";
      const depth = view === "layers" ? depthOf(state) : null;
      top.dataset.view = view;
      word.textContent = depth ? `Layer ${depth.layer}` : view === "wipe" ? "Wipe" : "Overlay";
      Object.assign(fade, depth ? { max: String(depth.last), step: "1" } : { max: "1", step: "0.05" });
      fade.value = String(depth ? depth.layer : view === "wipe" ? state.wipe : state.opacity);
    },
  );
  return top;
};

/** The canvas in its frame. @param {App} app @returns {{ frame: HTMLElement, redraw: () => void }} */
const frameView = (app) => {
  const { store } = app;
  const frame = make("div", "frame");
  const canvas = make("canvas");
  const empty = make("p", "empty");
  const context = contextOf(canvas);
  stageOf(app).canvas = canvas;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "token map");
  frame.append(canvas, empty);
  const paint = (/** @type {State} */ state) => {
    const stage = stageOf(app);
    if (!resize(frame, canvas, stage, state)) return;
    const scene = sceneOf(state, { ...stage, width: canvas.width, height: canvas.height });
    if (!scene) return context.clearRect(0, 0, canvas.width, canvas.height);
    drawScene(context, scene, stage.layers);
    stage.drawn++;
  };
  loadPictures(app, (failed) => {
    frame.dataset.failed = String(failed);
    empty.textContent = failed
      ? "The picture could not be loaded. Choose it again."
      : "Add a picture, drop one here, or choose an example.";
  });
  listenTo(app, canvas);
  store.watch(sceneValues, paint);
  store.watch(
    (state) => [state.pictures, state.active, state.scores, selectionOf(state)],
    (state) => {
      frame.dataset.filled = String(state.pictures.length > 0);
      canvas.setAttribute("aria-label", pictureWords(state));
    },
  );
  return { frame, redraw: () => paint(store.get()) };
};

/**
 * Makes the canvas the largest that fits its frame, in the exact proportions of the tokens shown.
 * @param {HTMLElement} frame @param {HTMLCanvasElement} canvas @param {import("./scene.js").Stage} stage @param {State} state
 * @returns {boolean} whether there is room to draw
 */
const resize = (frame, canvas, stage, { pictures, active }) => {
  const picture = pictures[active];
  const [room, most] = [frame.clientWidth, frame.clientHeight];
  if (!picture || !room || !most) return false;
  const [width, height] = fit(room, most, aspectOf(picture));
  const unit = Math.max(1, window.devicePixelRatio || 1);
  const [across, down] = [Math.round(width * unit), Math.round(height * unit)];
  stage.unit = unit;
  if (canvas.width === across && canvas.height === down) return true; // setting a size empties the canvas
  Object.assign(canvas, { width: across, height: down });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  return true;
};

/** The pictures of a question with several, to choose which is shown. @param {App} app */
const pagesView = ({ store }) => {
  const box = make("div", "pages");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Pictures of this question");
  store.watch(
    (state) => [state.pictures.map(({ src }) => src).join("\n")],
    ({ pictures }) => {
      const pages = pictures.length > 1 ? pictures : [];
      fill(box, ...pages.map(({ src }, index) => {
        const page = button("", () => store.dispatch({ type: "page", index }));
        const image = make("img");
        image.src = src ?? "";
        image.alt = `Picture ${index + 1}`;
        page.append(image, make("span"));
        return page;
      }));
    },
  );
  store.watch(
    (state) => [state.pictures, state.active, selectionOf(state)],
    (state) => {
      const tallies = talliesOf(state);
      [...box.children].forEach((page, index) => {
        const { rows, cols } = state.pictures[index];
        page.setAttribute("aria-pressed", String(index === state.active));
        /** @type {Element} */ (page.lastElementChild).textContent = tallies[index] ? `${tallies[index].kept} of ${rows * cols}` : "";
      });
    },
  );
  return box;
};

/** What is kept of the evidence, while that is shown. @param {App} app */
const coverView = ({ store }) => {
  const line = make("p", "cover");
  store.watch(
    (state) => [state.truth, state.evidence, isScored(state), selectionOf(state)],
    (state) => {
      line.textContent = state.truth ? coverWords(state) : "";
      line.hidden = !line.textContent;
    },
  );
  return line;
};

/** What both questions kept, while both are shown. @param {App} app */
const bothView = ({ store }) => {
  const line = make("p", "both-words");
  line.dir = "auto";
  store.watch(
    (state) => [state.before, state.both, isScored(state), selectionOf(state)],
    (state) => {
      line.textContent = bothWords(state);
      line.hidden = !line.textContent;
    },
  );
  return line;
};

/** Shows the evidence, where it is known: the parts of the picture that the true answer follows from. @param {App} app */
const truthToggle = ({ store }) => {
  const toggle = button("Evidence", () => store.dispatch({ type: "truth", on: !store.get().truth }), "evidence-toggle");
  toggle.title = "Outline the parts of the picture that the true answer follows from";
  store.watch(
    (state) => [state.truth, evidenceOf(state)],
    (state) => {
      toggle.style.visibility = evidenceOf(state) ? "" : "hidden"; // its room stays, so that nothing moves
      toggle.setAttribute("aria-pressed", String(state.truth));
    },
  );
  return toggle;
};

/** How many tokens are kept. @param {App} app */
const countView = ({ store, codec }) => {
  const count = make("p", "count");
  store.watch(
    (state) => [
      state.pictures, state.active, state.controlMask, state.settings.control, selectionOf(state), state.view, state.lesson, state.layer,
      state.inside,
    ],
    (state) => {
      const [kept, rest] = isScored(state) ? countWords(state, codec) : ["", ""];
      fill(count, kept && make("strong", "", kept), rest);
    },
  );
  return count;
};

/**
 * The stage as tests look at it: always as it is now.
 * @param {App} app
 */
export const stageHandle = (app) => {
  const now = () => app.store.get();
  const scores = () => now().scores;
  return {
    get pictures() { return now().pictures; },
    get images() { return now().images; },
    get active() { return now().active; },
    get probabilities() { return scores()?.probabilities ?? new Float32Array(); },
    get logits() { return scores()?.logits ?? new Float32Array(); },
    get order() { return scores()?.order ?? new Uint32Array(); },
    get rank() { return scores()?.rank ?? new Uint32Array(); },
    get settings() { return now().settings; },
    get selection() { return selectionOf(now()); },
    get view() { return shownView(now()).view; },
    get opacity() { return now().opacity; },
    get wipe() { return now().wipe; },
    get cell() { return now().cell; },
    get running() { return runningOf(now()); },
    get answered() { return now().answered; },
    get inks() { return stageOf(app).inks; },
    get drawn() { return stageOf(app).drawn; },
    get ready() { return imageOf(now()) !== null && stageOf(app).drawn > 0; },
  };
};
