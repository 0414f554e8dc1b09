// Asking as a state machine: what may happen when, in two tables. A step is pure: it says which state comes next and what
// is to be done; actions.js does it. Each request and each load of pictures has a number, and what belongs to an earlier
// number than the newest is left out, so nothing that is overtaken can show.

/** @import { Asking } from "../types" */

/** @typedef {Record<string, Record<string, string[]>>} Table state -> event -> the next state, and what is to be done */

const BUSY = { ended: ["idle"], lost: ["idle"], ask: ["asking", "abort", "ask"], again: ["asking", "abort", "again"], shown: ["idle", "abort"] };

/**
 * idle       nothing is asked
 * asking     a question was sent, and nothing has come back yet
 * answering  answers are coming
 * stopping   the visitor pressed Stop, and the last message has not come yet
 * @type {Table}
 */
export const REQUEST = {
  idle: { ask: ["asking", "ask"], again: ["asking", "again"] },
  asking: { ...BUSY, message: ["answering"], stop: ["stopping", "stop"] },
  answering: { ...BUSY, message: ["answering"], stop: ["stopping", "stop"] },
  stopping: { ...BUSY, message: ["stopping"] },
};

/**
 * none     the pictures on the stage are those that were chosen
 * loading  others are on their way; what runs goes on until they are there, since they may be none that can be used
 * held     as loading, and a question waits for them
 * @type {Table}
 */
export const PICTURES = {
  none: { pictures: ["loading", "load"] },
  loading: { pictures: ["loading", "drop", "load"], ask: ["held"], shown: ["none"], refused: ["none"], stop: ["none", "drop"] },
  held: { pictures: ["loading", "drop", "load"], ask: ["held"], shown: ["none", "release"], refused: ["none"], stop: ["none", "drop"] },
};

/** @type {Asking} */
export const IDLE = { phase: "idle", pictures: "none", request: 0, load: 0, question: "", held: "" };

/** Whether something is under way that Stop ends. @param {Asking} asking */
export const stoppable = ({ phase, pictures }) => phase === "asking" || phase === "answering" || pictures !== "none";

/** Whether a report is of something that was overtaken. @param {Asking} asking @param {string} name @param {number | undefined} number */
const isLate = (asking, name, number) => {
  if (["message", "ended", "lost"].includes(name)) return number !== asking.request;
  return ["shown", "refused"].includes(name) && number !== asking.load;
};

/**
 * @param {Asking} asking
 * @param {{ name: string, number?: number, question?: string }} event number: of a report, what it belongs to
 * @returns {{ asking: Asking, effects: string[] }} the same state and no effects where the event means nothing now
 */
export const step = (asking, { name, number, question = "" }) => {
  const choosing = PICTURES[asking.pictures][name];
  const waits = name === "ask" && choosing; // for the pictures on their way
  const running = waits ? undefined : REQUEST[asking.phase][name];
  const twice = name === "ask" && ["asking", "answering"].includes(asking.phase) && question === asking.question;
  if ((!choosing && !running) || isLate(asking, name, number) || (twice && !waits)) return { asking, effects: [] };
  const effects = [...(running ?? []).slice(1), ...(choosing ?? []).slice(1)];
  const next = {
    ...asking,
    phase: /** @type {Asking["phase"]} */ (running?.[0] ?? asking.phase),
    pictures: /** @type {Asking["pictures"]} */ (choosing?.[0] ?? asking.pictures),
    held: waits ? question : choosing ? "" : asking.held,
  };
  if (effects.includes("load")) next.load += 1;
  if (effects.includes("release")) return release(next, asking.held, effects);
  if (effects.includes("ask") || effects.includes("again")) next.request += 1;
  if (running && ["ask", "again"].includes(name)) next.question = name === "ask" ? question : "";
  return { asking: next, effects };
};

/** The held question is asked, now that its pictures are there. @param {Asking} asking @param {string} question @param {string[]} effects */
const release = (asking, question, effects) => ({
  asking: /** @type {Asking} */ ({ ...asking, phase: "asking", request: asking.request + 1, question }),
  effects: [...effects.filter((effect) => effect !== "release"), "ask"],
});
