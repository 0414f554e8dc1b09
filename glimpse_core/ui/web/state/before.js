// The question before this one, about the same pictures: which tokens it kept, beside those of this one.

/** @import { Answers, Before, State } from "../types" */
import { isScored } from "./shown.js";
import { selectionOf } from "./selection.js";
import { textOf } from "./verdict.js";

/**
 * What stays of a question when another one about the same pictures is asked. Asked once more, it is not its own forerunner.
 * @param {State} state before the other question @param {Answers} next the answers to come
 * @returns {Before | null}
 */
export const beforeOf = ({ answers, answered, before }, next) => {
  if (!answers?.question || answers.question === next.question || !answered) return before;
  return { question: answers.question, mask: answered.mask, text: textOf(answers.kept) };
};

/** The tokens of the question before, if they are to be seen, and of the shown pictures. @param {State} state */
export const secondOf = (state) => {
  const { before, both, scores } = state;
  return both && before && scores && isScored(state) && before.mask.length === scores.order.length ? before.mask : null;
};

/** How many tokens both questions kept, in words; empty where only one is shown. @param {State} state */
export const bothWords = (state) => {
  const second = secondOf(state);
  if (!second || !state.before) return "";
  const { mask, kept } = selectionOf(state);
  let [then, shared] = [0, 0];
  second.forEach((on, token) => {
    then += on;
    shared += on & mask[token];
  });
  const answer = state.before.text.trim();
  return `Before: “${state.before.question}” kept ${then} tokens, ${shared} of them among the ${kept} kept now.${answer ? ` It was answered: ${answer}` : ""}`;
};
