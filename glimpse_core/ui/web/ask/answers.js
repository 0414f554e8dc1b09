// What it comes to, in one sentence, and both answers.

/** @import { Answer, App, Attribution, Side, State } from "../types" */
import { button, fill, make } from "../lib/dom.js";
import { ruleWords } from "../stage/words.js";
import { isScored } from "../state/shown.js";
import { truthNote } from "../state/truth.js";
import { keptAnswer, textOf, verdictOf } from "../state/verdict.js";
import { wordsOf } from "../state/words.js";
import { factsView } from "./facts.js";
import { markedParts, needsView, pointAtWords, wordNodes } from "./words.js";

/** @type {Record<string, string>} */
const STATES = { waiting: "waiting", running: "answering", stop: "", length: "cut at the length limit", cancelled: "stopped" };
const LIVE = "Computed live, by the model named above.";
const REUSED = "Computed live; the picture was not read again.";

/** @param {Answer | null} answer @param {boolean} marked whether words that differ are marked @param {Attribution | null} words */
const textView = (answer, marked, words) => {
  const text = make("p", "text");
  text.dir = "auto";
  const pieces = answer?.pieces ?? [];
  text.append(...(words ? wordNodes(pieces, words, marked) : markedParts(pieces, marked)));
  if (!textOf(answer).trim()) {
    text.classList.add("empty");
    if (answer && answer.state !== "running") text.textContent = "(no words)";
  }
  if (answer?.state === "running") text.append(make("span", "caret"));
  return text;
};

/** @param {App} app @param {Side} name @param {string} title */
const cardView = (app, name, title) => {
  const card = make("section", `card ${name}`);
  const heading = make("h3", "", title);
  const hint = make("span", "hint");
  const header = make("header");
  header.append(heading, hint);
  const body = make("div", "body");
  const state = make("span", "state");
  const foot = make("div", "under");
  foot.append(state, needsView(app, name));
  card.append(header, body, foot);
  const light = pointAtWords(app, body, name);
  /** @type {unknown[]} */
  let drawn = [];
  return {
    card,
    /** @param {Answer | null} answer @param {{ title?: string, hint: string, stale?: boolean, marked?: boolean, words?: Attribution | null }} options */
    draw: (answer, { title: named = title, hint: hinted, stale = false, marked = true, words = null }) => {
      card.dataset.state = answer?.state ?? "waiting";
      card.toggleAttribute("data-stale", stale);
      heading.textContent = named;
      hint.textContent = hinted;
      const shown = [JSON.stringify(answer?.pieces), answer?.state, marked, words];
      if (!drawn.length || shown.some((value, i) => value !== drawn[i])) {
        fill(body, textView(answer, marked, words)); // only then: a word keeps its focus
        light(app.store.get());
      }
      drawn = shown;
      state.textContent = answer ? STATES[answer.state] : "";
    },
  };
};

/** What the pruned answer is made from. @param {State} state */
const titleOf = ({ answered, settings }) => {
  const control = answered?.settings.control || settings.control;
  return control === "random" ? "Random tokens" : control === "inverse" ? "Dropped tokens only" : "Kept tokens";
};

/** @param {State} state @param {import("../state/settings.js").Codec} codec */
const ruleOf = (state, codec) => {
  const { band } = keptAnswer(state);
  if (band) return ruleWords(state, codec);
  return state.answers?.rule ?? "";
};

/** @param {App} app */
const askedView = ({ store }) => {
  const asked = make("div", "asked");
  const question = make("h2", "question");
  question.dir = "auto";
  const origin = make("p", "origin");
  const truth = make("p", "truth");
  const both = button("", () => store.dispatch({ type: "both", on: !store.get().both }), "both-toggle");
  asked.append(question, origin, truth);
  store.watch(
    ({ both: on }) => [on],
    ({ both: on }) => (both.textContent = on ? "Hide the question before" : "Show what the question before kept"),
  );
  store.watch(
    (state) => [Boolean(state.before) && isScored(state), state.answers?.stored, state.answers?.reused],
    (state) => {
      const { answers } = state;
      const text = make("span", "", answers?.stored ?? (answers?.reused ? REUSED : LIVE));
      fill(origin, text, state.before && isScored(state) && both);
      origin.className = answers?.stored ? "origin stored" : "origin";
      origin.title = answers?.reused ? `${answers.reused.toLocaleString("en")} tokens of the prompt were taken over.` : "";
    },
  );
  store.watch(({ answers, question: box }) => [answers?.question, answers?.truth, box], ({ answers, question: box }) => {
    asked.hidden = !answers?.question;
    question.hidden = answers?.question === box.trim(); // it stands in its box above
    question.textContent = answers?.question ?? "";
    truth.textContent = answers?.truth ? `True answer: ${answers.truth} ${truthNote(answers.truth)}` : "";
  });
  return asked;
};

/** @param {App} app */
export const answersView = (app) => {
  const { store, codec } = app;
  const root = make("section", "glimpse-answers");
  root.id = "glimpse-answers";
  root.setAttribute("aria-label", "Answers");
  const verdict = make("p", "verdict");
  verdict.setAttribute("role", "status");
  const cards = make("div", "cards");
  const full = cardView(app, "full", "All tokens");
  const kept = cardView(app, "kept", "Kept tokens");
  cards.append(kept.card, full.card);
  const idle = make("p", "idle", "Ask a question: two answers will stream here, one from all visual tokens, one from the kept ones only.");
  store.watch((state) => [state.answers, state.settings, state.scores, state.band, state.controlMask, state.answered, state.words], (state) => {
    const { answers } = state;
    const { answer, stale, band } = keptAnswer(state);
    const { tone, same, text } = verdictOf(state);
    idle.hidden = Boolean(answers?.question);
    cards.hidden = !answers?.question;
    full.draw(answers?.full ?? null, { hint: answers?.full ? `${answers.full.tokens.toLocaleString("en")}, no pruning` : "no pruning", marked: !stale && !band,
      words: wordsOf(state, "full"),
    });
    kept.draw(answer, {
      title: titleOf(state), hint: answer ? `${answer.tokens.toLocaleString("en")}: ${ruleOf(state, codec)}` : "", stale, marked: !stale && !band,
      words: wordsOf(state, "kept"),
    });
    verdict.dataset.tone = tone;
    if (same === null) delete verdict.dataset.same;
    else verdict.dataset.same = String(same);
    if (verdict.textContent !== text) verdict.textContent = text;
  });
  root.append(verdict, askedView(app), idle, cards, factsView(app));
  return root;
};
