// What pruning saved, or did not: three costs of the answers on the page, and one sentence about each.

/** @import { State } from "../types" */
import { bytesText, countText, flopsText, timeText } from "./units.js";
import { keptAnswer } from "./verdict.js";

/** @typedef {"saved" | "same" | "more"} Gain */
/** @typedef {{ full: number | null, kept: number | null }} Pair */
/** @typedef {{ layers: number, keepLayer: number, all: number, kept: number, control: string, attention?: boolean }} Setting about the run; attention: it scores the tokens */
/**
 * @typedef {Object} Cost
 * @property {string} name
 * @property {"calculated" | "measured" | "counted"} kind
 * @property {import("./units.js").Write} write
 * @property {number | null} full null while it is not known
 * @property {number | null} kept
 * @property {boolean} old whether the value of all tokens is of an earlier run than the kept tokens' value
 * @property {Gain | null} gain null where the two cannot be compared
 * @property {string} sentence
 */

const SAME = 0.01; // a hundredth more or less is no difference that a reader could use
const ENOUGH = 3; // runs of which a median is taken
const STAGES = ["vision", "trunk", "glimpse_vip", "branch", "first"]; // up to the first token

/** @param {Pair} pair @returns {Gain | null} */
export const gainOf = ({ full, kept }) => {
  if (full === null || kept === null || full <= 0) return null;
  if (Math.abs(kept - full) <= SAME * full) return "same";
  return kept < full ? "saved" : "more";
};

/** A share in percent. Nearly all is not called all. @param {number} share */
const percent = (share) => (share > 0.995 && share < 1 ? `${Math.floor(1000 * share) / 10}%` : `${Math.round(100 * share)}%`);

/** @param {number} count @param {string} thing */
const several = (count, thing) => `${countText(count)} ${thing}${count === 1 ? "" : "s"}`;

/** @param {number[]} values */
export const medianOf = (values) => {
  const ordered = [...values].sort((a, b) => a - b);
  const middle = ordered.length >> 1;
  return ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2;
};

/** @param {Setting} about */
const nothingLeft = ({ all, kept }) => kept >= all;

/** @param {Pair} pair @param {Setting} about */
export const cacheSentence = (pair, about) => {
  const gain = gainOf(pair);
  if (gain === null) return "Not known yet.";
  const [full, kept] = [Number(pair.full), Number(pair.kept)];
  if (gain === "saved") return `Saved ${percent(1 - kept / full)} of the memory: dropped tokens leave the cache of all ${about.layers} layers.`;
  if (gain === "more") return `${bytesText(kept - full)} more than with all tokens.`;
  return nothingLeft(about) ? "No gain: no token was dropped." : "No gain: too few tokens were dropped.";
};

/** Where tokens leave, as the reason for what prefill saves. @param {Setting} about */
const whereOf = ({ layers, keepLayer }) => {
  const late = layers - keepLayer - 1;
  if (late <= 0) return `tokens leave only after the last of ${layers} layers`;
  return `only the last ${late} of ${layers} layers read fewer tokens`;
};

/** What choosing tokens adds: attention is read where it is computed anyway. @param {Setting} about */
const onTop = ({ attention }) => (attention ? "" : ", and the glimpse comes on top");

/** @param {Setting} about */
const tooLittle = ({ layers, all, attention }) => {
  const here = `with ${layers} layers and ${several(all, "visual token")}`;
  return attention ? `${here}, these dropped tokens save too little to show.` : `${here}, the glimpse costs more than these dropped tokens save.`;
};

/** @param {Pair} pair @param {Setting} about */
export const computeSentence = (pair, about) => {
  const gain = gainOf(pair);
  if (gain === null) return "Not known yet.";
  const [full, kept] = [Number(pair.full), Number(pair.kept)];
  const change = Math.abs(kept / full - 1);
  if (gain === "saved") return `Saved ${percent(change)}: the vision tower and the first layers read every token, ${whereOf(about)}.`;
  if (nothingLeft(about)) return gain === "same" ? "No gain: no token was dropped." : `${percent(change)} more: no token was dropped${onTop(about)}.`;
  if (gain === "same") return `No gain: ${whereOf(about)}${about.attention ? "" : ", and the glimpse costs about what that saves"}.`;
  return `${percent(change)} more here: ${tooLittle(about)}`;
};

const READ_BEFORE = "the question before left the last layers' cache of all tokens, but the kept ones run through them anew";

/** @param {Pair & { old: boolean, runs: number, reused?: boolean }} times @param {Setting} about */
export const timeSentence = (times, about) => {
  const gain = gainOf(times);
  if (times.old) return "Not compared: the gray time is from an earlier run.";
  if (gain === null) return "Not measured yet.";
  const [full, kept] = [Number(times.full), Number(times.kept)];
  const how = times.runs >= ENOUGH ? ` (medians of ${times.runs} runs)` : "";
  const change = timeText(Math.abs(kept - full));
  if (gain === "saved") return `Saved ${change} (${percent(1 - kept / full)}) before the first word${how}.`;
  if (times.reused) return gain === "same" ? `No gain${how}: ${READ_BEFORE}.` : `${change} later here${how}: ${READ_BEFORE}.`;
  if (nothingLeft(about)) return gain === "same" ? `No gain: no token was dropped${how}.` : `${change} later${how}: no token was dropped${onTop(about)}.`;
  if (gain === "same") return `No gain: both need about ${timeText(full)} to the first word${how}.`;
  return `${change} later here${how}: ${tooLittle(about)}`;
};

/** @param {Record<string, number> | undefined} run */
const prefillOf = (run) => (run ? STAGES.reduce((sum, stage) => sum + (run[stage] ?? 0), 0) : null);

/** @param {State} state */
const insideOf = ({ inside, answers }) =>
  inside && inside.alive && answers && inside.question === answers.question ? inside : null;

/**
 * The times to the first token, in milliseconds: those of the answers shown, or medians once there are three runs.
 * old: the time of all tokens is not from the run that the kept tokens' time is from.
 * @param {State} state
 * reused: the question before had read the pictures.
 * @returns {Pair & { old: boolean, runs: number, reused: boolean }}
 */
export const timesOf = (state) => {
  const full = state.answers?.full ?? null;
  const [first, pruned] = [full?.first ?? null, keptAnswer(state).answer?.first ?? null];
  const both = first !== null && pruned !== null;
  const old = both && Boolean(full?.old);
  const { times } = state;
  const reused = Boolean(state.answers?.reused);
  const runs = Math.min(times.full.length, times.kept.length);
  if (both && !old && runs >= ENOUGH) return { full: medianOf(times.full), kept: medianOf(times.kept), old, runs, reused };
  return { full: first, kept: pruned, old, runs: both ? 1 : 0, reused };
};

/** What the right hand side's tokens are called: a control keeps others than the kept ones. @param {string} control */
export const sideName = (control) => /** @type {Record<string, string>} */ ({ random: "Random", inverse: "Dropped" })[control] ?? "Kept";

/** The control that the shown pruned answer was made with, if there was one. @param {State} state */
const controlOf = (state) => (keptAnswer(state).band ? "" : state.answered?.settings.control ?? "");

const ALONG = "press Answer again to have it for this budget."; // an answer along the dial has no run of its own

/** Bytes of the cache on both sides. @param {State} state @param {number | undefined} kept tokens @returns {Pair} */
const cacheOf = (state, kept) => {
  const bytes = insideOf(state)?.kv_bytes;
  if (!bytes) return { full: null, kept: null };
  const full = state.answers?.full;
  const left = keptAnswer(state).band && full && kept !== undefined ? bytes.full - bytes.per_token * (full.tokens - kept) : bytes.kept;
  return { full: bytes.full, kept: left };
};

/**
 * The three costs of the answers on the page.
 * @param {State} state
 * @returns {{ cache: Cost, compute: Cost, time: Cost, about: Setting }}
 */
export const costsOf = (state) => {
  const inside = insideOf(state);
  const { answer: kept, band } = keptAnswer(state);
  const about = {
    layers: inside?.layers ?? 0,
    keepLayer: inside?.keep_layer ?? 0,
    ...(inside?.attention ? { attention: true } : {}),
    all: state.answers?.full?.tokens ?? 0,
    kept: kept?.tokens ?? 0,
    control: controlOf(state),
  };
  const cache = cacheOf(state, kept?.tokens);
  const compute = { full: prefillOf(inside?.calculated.full), kept: band ? null : prefillOf(inside?.calculated.kept) };
  const times = timesOf(state);
  const comparable = inside && !times.old; // a sentence on time names the layers
  return {
    cache: { name: "KV cache", kind: "calculated", write: bytesText, ...cache, old: false, gain: gainOf(cache), sentence: cacheSentence(cache, about) },
    compute: {
      name: "Prefill compute", kind: "calculated", write: flopsText, ...compute, old: false, gain: gainOf(compute),
      sentence: band ? `Not calculated: ${ALONG}` : computeSentence(compute, about),
    },
    time: {
      name: "Time to first token", kind: "measured", write: timeText, full: times.full, kept: times.kept, old: times.old,
      gain: comparable ? gainOf(times) : null,
      sentence: band ? `Not measured: ${ALONG}` : timeSentence(inside || times.old ? times : { ...times, full: null }, about),
    },
    about,
  };
};

/** What costs depend on. @param {State} state */
export const costValues = (state) => [
  state.answers, state.inside, state.answered, state.times, state.settings, state.scores, state.band, state.controlMask,
];

/** The visual tokens of both answers. @param {State} state @returns {Cost} */
export const tokensOf = (state) => {
  const pair = { full: state.answers?.full?.tokens ?? null, kept: keptAnswer(state).answer?.tokens ?? null };
  return { name: "Visual tokens", kind: "counted", write: countText, ...pair, old: false, gain: gainOf(pair), sentence: "" };
};

/**
 * The difference between both sides in a few characters, for a table. Times differ in milliseconds, all else in percent.
 * @param {Cost} cost
 */
export const differenceText = ({ full, kept, gain, write, kind, old }) => {
  if (old) return "earlier run";
  if (gain === null || full === null || kept === null) return "–";
  if (kind === "counted" && gain === "same") return kept === full ? "none dropped" : `−${write(full - kept)}`;
  if (gain === "same") return "no gain";
  if (kind === "measured") return `${kept < full ? "−" : "+"}${write(Math.abs(kept - full))}`;
  return `${kept < full ? "−" : "+"}${percent(Math.abs(kept / full - 1))}`;
};
