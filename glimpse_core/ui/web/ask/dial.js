// How many tokens stay, by rank: the page's main control. Under it lie the answers at about twelve numbers of tokens, so
// that it shows where the answer breaks.

/** @import { App, State } from "../types" */
import { button, fill, make } from "../lib/dom.js";
import { isStale } from "../state/reducer.js";
import { placeOf, segmentsOf, snapped } from "../state/scale.js";
import { ownChoice, selectionOf } from "../state/selection.js";
import { isAttention } from "../state/shown.js";
import { bandAnswer, pointsOf, sameWords, textOf } from "../state/verdict.js";

const STEPS = 1000;
const number = (/** @type {number} */ value) => value.toLocaleString("en");
const tokens = (/** @type {number} */ count) => `${number(count)} ${count === 1 ? "token" : "tokens"}`;

/** The number of tokens one key press away. @param {string} key @param {State} state */
const keyed = (key, state) => {
  const total = state.scores?.probabilities.length ?? 0;
  const { kept } = selectionOf(state);
  const further = Math.max(kept + 1, Math.round(kept * 1.5));
  const nearer = Math.min(kept - 1, Math.round(kept / 1.5));
  /** @type {Record<string, number>} */
  const moves = {
    ArrowRight: kept + 1, ArrowUp: kept + 1, ArrowLeft: kept - 1, ArrowDown: kept - 1,
    PageUp: further, PageDown: nearer, Home: 1, End: total,
  };
  return key in moves ? Math.min(total, Math.max(1, moves[key])) : null;
};

/** @param {App} app @returns {HTMLInputElement} */
const sliderView = ({ store, act }) => {
  const slider = make("input");
  Object.assign(slider, { type: "range", min: "0", max: String(STEPS), step: "1", id: "glimpse-dial" });
  slider.setAttribute("aria-label", "Number of visual tokens kept");
  const total = () => store.get().scores?.probabilities.length ?? 0;
  slider.addEventListener("input", () => act.dial(snapped(Number(slider.value) / STEPS, total(), ownChoice(store.get()))));
  slider.addEventListener("keydown", (event) => {
    const count = keyed(event.key, store.get());
    if (count === null) return;
    event.preventDefault();
    act.dial(count);
  });
  // Letting go asks, unless the answer is known already.
  const settle = () => isStale(store.get()) && !bandAnswer(store.get()) && act.again();
  slider.addEventListener("change", settle);
  slider.addEventListener("keyup", ({ key }) => keyed(key, store.get()) !== null && settle());
  store.watch((state) => [state.scores, selectionOf(state)], (state) => {
    const { kept } = selectionOf(state);
    slider.disabled = !state.scores;
    slider.value = String(Math.round(STEPS * placeOf(kept, total())));
    slider.setAttribute("aria-valuetext", state.scores ? `${number(kept)} of ${tokens(total())}` : "no scores yet");
  });
  return slider;
};

/** @param {import("../types").BandAnswer} answer @param {string} full text of the unpruned answer */
const toneOf = ({ text, finished, right }, full) => {
  if (!finished) return "running";
  if (right !== null) return right ? "right" : "wrong";
  return sameWords(text, full) ? "same" : "different";
};

/** @type {Record<string, string>} */
const TONES = { running: "answering", right: "right", wrong: "wrong", same: "as with all tokens", different: "not as with all tokens" };

/** The answers along the dial. @param {App} app */
const bandView = ({ store, act }) => {
  const band = make("div", "band");
  band.setAttribute("role", "group");
  band.setAttribute("aria-label", "The answer at other numbers of tokens");
  const go = (/** @type {number} */ count) => {
    act.dial(count);
    if (isStale(store.get()) && !bandAnswer(store.get())) act.again();
  };
  store.watch((state) => [state.band, state.scores, state.answers, state.answered], (state) => {
    const total = state.scores?.probabilities.length ?? 0;
    const full = textOf(state.answers?.full ?? null);
    band.dataset.phase = state.band.phase;
    const parts = total ? segmentsOf(pointsOf(state)) : [];
    fill(band, ...parts.map(({ first, last, answer }) => {
      const node = button("", () => go(first));
      node.dataset.tone = toneOf(answer, full);
      const range = first === last ? tokens(first) : `${number(first)} to ${tokens(last)}`;
      node.title = `${range} (${TONES[node.dataset.tone]}): ${answer.text || "no words yet"}`;
      node.setAttribute("aria-label", node.title);
      node.style.left = `${100 * placeOf(first, total)}%`;
      node.style.width = `${100 * (placeOf(last, total) - placeOf(first, total))}%`;
      return node;
    }));
  });
  return band;
};

/** The answer where the dial stands. @param {App} app */
const hereView = ({ store, boot, act }) => {
  const here = make("p", "here");
  const start = button("Show where the answer breaks", () => void act.band(), "start");
  const words = make("span");
  const meaning = make("span", "meaning");
  store.watch((state) => [state.band, selectionOf(state), state.answers, state.answered], (state) => {
    const { kept } = selectionOf(state);
    const points = pointsOf(state).filter(({ text, finished }) => text && finished);
    const found = points.filter(({ budget }) => budget <= kept).at(-1);
    start.hidden = !state.scores || ["running", "done"].includes(state.band.phase) || (boot.band && state.band.phase === "none");
    if (found) fill(words, make("strong", "", `${tokens(found.budget)}: `), found.text);
    else fill(words, state.band.phase === "running" && "Answering at twelve numbers of tokens…");
    const known = points.some(({ right }) => right !== null);
    const kinds = known ? ["right", "wrong"] : ["same", "different"];
    fill(meaning, ...(points.length ? kinds.flatMap((kind) => [swatchOf(kind), kind]) : []));
  });
  here.append(words, start, meaning);
  return here;
};

/** @param {string} tone */
const swatchOf = (tone) => {
  const swatch = make("i");
  swatch.dataset.tone = tone;
  return swatch;
};

/** @param {App} app */
export const dialView = (app) => {
  const { store, act } = app;
  const box = make("section", "dial");
  box.setAttribute("aria-label", "How many tokens stay");
  const own = button("", () => {
    act.dial(ownChoice(store.get()));
    if (isStale(store.get())) act.again();
  }, "own");
  const track = make("div", "track");
  track.append(sliderView(app), own, bandView(app));
  store.watch((state) => [selectionOf(state), state.scores, state.settings], (state) => {
    const total = state.scores?.probabilities.length ?? 0;
    const choice = ownChoice(state);
    box.dataset.scored = String(Boolean(state.scores));
    own.hidden = !state.scores;
    own.style.setProperty("--place", String(placeOf(choice, total)));
    own.title = `${isAttention(state) ? "The share kept at first" : "The glimpse's own choice"}: ${tokens(choice)}`;
    own.setAttribute("aria-label", own.title);
    own.setAttribute("aria-pressed", String(choice === selectionOf(state).kept && state.settings.budget === null));
  });
  box.append(track, hereView(app));
  return box;
};
