// "How it works": some steps on the live picture, each with the view that shows it (state/shown.js) and its numbers.

/** @import { App, State } from "../types" */
import { button, make } from "../lib/dom.js";
import { selectionOf } from "../state/selection.js";
import { attentionOf, isAttention, isScored, talliesOf } from "../state/shown.js";

/** @typedef {readonly { title: string, text: (state: State) => string }[]} Steps */

/** @type {Steps[number]} */
const TOKENS = {
  title: "The picture becomes tokens",
  text: (state) => {
    const { rows, cols } = state.pictures[state.active];
    const padded = talliesOf(state)[state.active].padding ? ", padded to a square," : "";
    const total = selectionOf(state).mask.length;
    return `The model never sees pixels. It cuts the picture${padded} into a grid, here ${rows} × ${cols}, and turns every cell into one visual token: ${total} in all. Each of them costs memory and time, whatever you ask.`;
  },
};

/** @type {Steps} */
const STEPS = [
  TOKENS,
  {
    title: "One glimpse, with your question in mind",
    text: (state) => {
      const map = attentionOf(state)
        ? "The map shows that attention, averaged over its heads: bright is where it looked."
        : "The map shows what was made of it, a score for every token.";
      return `A learned glimpse token is put behind your question and runs with it through the first layers. What it looks at there is read off; then it is taken out again, so that it leaves no trace in the answer. ${map}`;
    },
  },
  {
    title: "A small predictor scores every token",
    text: ({ scores }) => {
      const highest = scores ? scores.probabilities[scores.order[0]].toFixed(2) : "";
      return `Raw attention is noisy and has habits of its own. The Visual Importance Predictor reads it together with what the vision tower saw, and gives each token a probability that it matters. The highest here is ${highest}.`;
    },
  },
  {
    title: "The most relevant tokens stay",
    text: (state) => {
      const { kept, mask } = selectionOf(state);
      return `${kept} of ${mask.length} tokens stay. The others leave the sequence and the key/value cache of every layer, and the answer goes on without them. Move the dial, or paint: the page has all scores, so no model runs until you answer again.`;
    },
  },
  {
    title: "Where it saves, and where it fails",
    text: () =>
      "Left of the line is what the model starts with, right of it what the rest of the answer is made from: drag the line. Saved: the layers after the glimpse, and cache in all layers. Not saved: the vision tower and the layers before. It fails on tiny text, on counting many things, on “describe everything”, where nearly all tokens matter, and on follow-up questions about what an earlier question let go.",
  },
];

/** Without glimpse modules: nothing was trained, and there is no predictor. @type {Steps} */
const STEPS_BY_RANK = [
  TOKENS,
  {
    title: "The last token of the prompt looks",
    text: ({ scores }) =>
      `This model has no glimpse modules: nothing was trained to find what matters. The score of a visual token is plain attention, what the last token of the prompt, which writes the first word of the answer, pays to it in layer ${scores?.layer}, averaged over heads. Bright is where it looked most. Attention has habits of its own, such as corners and borders: it is no probability that a token matters.`,
  },
  {
    title: "The most attended tokens stay",
    text: (state) => {
      const { kept, mask } = selectionOf(state);
      return `${kept} of ${mask.length} tokens stay, by rank. How many is for you to say: a threshold would mean nothing here. The others leave the sequence and the key/value cache of every layer. Move the dial, or paint: the page has all scores, so no model runs until you answer again.`;
    },
  },
  {
    title: "Where it saves, and where it fails",
    text: ({ scores }) =>
      `Left of the line is what the model starts with, right of it what the rest of the answer is made from: drag the line. Saved: the layers after layer ${scores?.layer}, and cache in all layers. Not saved: the vision tower and the layers before. It fails where attention points elsewhere than the evidence, on tiny text, on counting many things, and on “describe everything”, where nearly all tokens matter.`,
  },
];

/** @param {State} state */
const stepsOf = (state) => (isAttention(state) ? STEPS_BY_RANK : STEPS);

/** @param {App} app */
export const lessonView = ({ store }) => {
  const box = make("section", "glimpse-lesson");
  const [head, text, steps] = [make("h3"), make("p"), make("div", "steps")];
  const go = (/** @type {number | null} */ step) => store.dispatch({ type: "lesson", step });
  const at = () => store.get().lesson ?? 0;
  const back = button("Back", () => go(at() - 1), "back");
  const count = () => stepsOf(store.get()).length;
  const next = button("Next", () => go(at() + 1 < count() ? at() + 1 : null), "next");
  box.setAttribute("aria-label", "How it works");
  box.setAttribute("aria-live", "polite");
  box.hidden = true;
  steps.append(back, next, button("Close", () => go(null), "close"));
  box.append(head, text, steps);
  store.watch(
    (state) => [state.lesson, isScored(state), state.active, state.inside, selectionOf(state)],
    (state) => {
      const step = isScored(state) && state.lesson !== null ? stepsOf(state)[state.lesson] : undefined;
      const opens = Boolean(step) && box.hidden;
      const closes = !step && !box.hidden;
      box.hidden = !step;
      if (!step && state.lesson !== null) go(null); // it was about scores that are gone
      if (closes) queueMicrotask(focusOnStart);
      if (!step) return;
      head.textContent = `${at() + 1} of ${count()} · ${step.title}`;
      text.textContent = step.text(state);
      back.disabled = at() === 0;
      next.textContent = at() + 1 < count() ? "Next" : "Done";
      if (opens) next.focus();
    },
  );
  return box;
};

/** The keyboard goes back to the button that starts the lesson, which was hidden meanwhile. */
const focusOnStart = () => /** @type {HTMLElement | null} */ (document.querySelector("#glimpse-app .how"))?.focus();
