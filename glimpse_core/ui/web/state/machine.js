// Asking as a state machine: what may happen when, in one table. A step is pure: it says which state comes next and what is
// to be done; actions.js does it. Each request and each choice of pictures has a number, and what belongs to an earlier
// number than the newest is left out, so nothing that is overtaken can show.

/** @import { Asking, Phase } from "../types" */

/**
 * idle       nothing is under way
 * loading    pictures are on their way
 * held       as loading, and a question waits for them
 * asking     a question was sent, and there is no word on it yet
 * answering  answers are coming
 * stopping   the visitor pressed Stop, and the last word has not come yet
 */
/** @type {Record<Phase, Record<string, [Phase, ...string[]]>>} */
export const TRANSITIONS = {
  idle: { ask: ["asking", "ask"], again: ["asking", "again"], pictures: ["loading", "load"] },
  loading: { ask: ["held"], pictures: ["loading", "abort", "load"], shown: ["idle"], refused: ["idle"], stop: ["idle", "abort"] },
  held: {
    ask: ["held"], pictures: ["loading", "abort", "load"], shown: ["asking", "ask"], refused: ["idle"], stop: ["idle", "abort"],
  },
  asking: {
    message: ["answering"], ended: ["idle"], lost: ["idle"], stop: ["stopping", "stop"],
    ask: ["asking", "abort", "ask"], again: ["asking", "abort", "again"], pictures: ["loading", "abort", "load"],
  },
  answering: {
    message: ["answering"], ended: ["idle"], lost: ["idle"], stop: ["stopping", "stop"],
    ask: ["asking", "abort", "ask"], again: ["asking", "abort", "again"], pictures: ["loading", "abort", "load"],
  },
  stopping: {
    message: ["stopping"], ended: ["idle"], lost: ["idle"],
    ask: ["asking", "abort", "ask"], again: ["asking", "abort", "again"], pictures: ["loading", "abort", "load"],
  },
};

const NEW = ["ask", "again", "pictures"]; // events of the visitor that begin something
const REPORTS = ["message", "ended", "lost", "shown", "refused"]; // of something that was begun

/** @type {Asking} */
export const IDLE = { phase: "idle", request: 0, question: "" };

/** Whether something runs that Stop ends. @param {Asking} asking */
export const stoppable = ({ phase }) => phase !== "idle" && phase !== "stopping";

/**
 * @param {Asking} asking
 * @param {{ name: string, request?: number, question?: string }} event request: of a report, the number it belongs to
 * @returns {{ asking: Asking, effects: string[] }} the same state and no effects where the event means nothing now
 */
export const step = (asking, { name, request, question = "" }) => {
  const row = TRANSITIONS[asking.phase][name];
  const late = REPORTS.includes(name) && request !== asking.request;
  const again = name === "ask" && ["asking", "answering"].includes(asking.phase) && question === asking.question;
  if (!row || late || again) return { asking, effects: [] }; // the same question twice is a slip of the finger
  const [phase, ...effects] = row;
  const starts = effects.some((effect) => ["ask", "again", "load"].includes(effect));
  const asked = name === "ask" ? question : NEW.includes(name) ? "" : asking.question;
  return { asking: { phase, request: asking.request + Number(starts), question: asked }, effects };
};
