// The question, its suggestions, and the line that says what goes on.

/** @import { App } from "../types" */
import { button, fill, make } from "../lib/dom.js";
import { stoppable } from "../state/machine.js";
import { isAttention } from "../state/shown.js";

/** @param {App} app */
export const questionView = ({ store, boot, act }) => {
  const form = make("div", "question");
  form.id = "glimpse-question";
  const field = make("textarea");
  Object.assign(field, { rows: 1, placeholder: boot.texts.placeholder, maxLength: 20_000 });
  field.setAttribute("aria-label", "Question");
  field.addEventListener("input", () => store.dispatch({ type: "question", text: field.value }));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!event.repeat) act.ask();
  });
  const go = button("Ask", () => act.ask(), "primary");
  go.id = "glimpse-go";
  const stop = button("Stop", () => act.stop());
  stop.id = "glimpse-stop";
  store.watch(({ question }) => [question], ({ question }) => {
    if (field.value !== question) field.value = question;
  });
  store.watch(({ asking, band, words }) => [asking, band.phase, words.phase], ({ asking, band, words }) => {
    go.disabled = (asking.phase === "asking" || asking.phase === "answering") && asking.pictures === "none";
    stop.disabled = !stoppable(asking) && band.phase !== "running" && !["waiting", "running"].includes(words.phase);
  });
  form.append(field, go, stop);
  return form;
};

/** Questions to try: one click asks. @param {App} app */
export const suggestionsView = ({ store, act }) => {
  const box = make("div", "suggestions");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Questions to try");
  store.watch(({ suggestions }) => [suggestions], ({ suggestions }) => {
    fill(box, ...suggestions.map((text) => button(text, () => act.ask(text))));
  });
  store.watch(({ answers, suggestions }) => [answers?.question, suggestions], ({ answers }) => {
    for (const node of box.children) node.toggleAttribute("data-asked", node.textContent === answers?.question);
  });
  return box;
};

/** What goes on, or went wrong; and what the model can make of such a picture. @param {App} app */
export const noticeView = ({ store, boot }) => {
  const box = make("div", "notices");
  const lesson = button("", () => store.dispatch({ type: "lesson", step: 0 }), "how");
  store.watch((state) => [state.scores, state.lesson], (state) => {
    lesson.textContent = `How it works, in ${isAttention(state) ? "four" : "five"} steps`;
    lesson.hidden = !state.scores || state.lesson !== null;
  });
  const line = make("p", "glimpse-status");
  const foreign = make("p", "foreign", boot.texts.unfamiliar);
  // The problems of the address are shown for as long as they matter, and there is no other message.
  store.watch(({ status, problems }) => [status, problems], ({ status, problems }) => {
    const { text, kind } = status.text || !problems ? status : { text: problems, kind: "error" };
    line.dataset.kind = kind;
    line.setAttribute("role", kind === "error" ? "alert" : "status");
    fill(line, kind === "busy" && make("span", "busy"), text);
  });
  store.watch(({ familiar }) => [familiar], ({ familiar }) => (foreign.hidden = familiar !== false));
  box.append(line, lesson, foreign);
  return box;
};
