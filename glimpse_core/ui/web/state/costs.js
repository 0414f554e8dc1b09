// What pruning saved, or did not: three costs of the answers on the page, and one sentence about each.

/** @import { Answer, State } from "../types" */
import { bytesText, countText, flopsText, timeText } from "./units.js";

/** @typedef {"saved" | "same" | "more"} Gain */
/** @typedef {{ full: number | null, kept: number | null }} Pair */
/** @typedef {{ layers: number, keepLayer: number, all: number, kept: number, control: string }} Setting about the run */
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

/** @param {Pair} pair @param {Setting} about */
export const computeSentence = (pair, about) => {
  const gain = gainOf(pair);
  if (gain === null) return "Not known yet.";
  const [full, kept] = [Number(pair.full), Number(pair.kept)];
  const change = Math.abs(kept / full - 1);
  if (gain === "saved") return `Saved ${percent(change)}: the vision tower and the first layers read every token, ${whereOf(about)}.`;
  if (nothingLeft(about)) return gain === "same" ? "No gain: no token was dropped." : `${percent(change)} more: no token was dropped, and the glimpse comes on top.`;
  if (gain === "same") return `No gain: ${whereOf(about)}, and the glimpse costs about what that saves.`;
  return `${percent(change)} more here: with ${about.layers} layers and ${several(about.all, "visual token")}, the glimpse costs more than these dropped tokens save.`;
};

/** @param {Pair & { old: boolean, runs: number }} times @param {Setting} about */
export const timeSentence = (times, about) => {
  const gain = gainOf(times);
  if (times.old) return "Not compared: the gray time is from an earlier run.";
  if (gain === null) return "Not measured yet.";
  const [full, kept] = [Number(times.full), Number(times.kept)];
  const how = times.runs >= ENOUGH ? ` (medians of ${times.runs} runs)` : "";
  const change = timeText(Math.abs(kept - full));
  if (gain === "saved") return `Saved ${change} (${percent(1 - kept / full)}) before the first word${how}.`;
  if (nothingLeft(about)) return gain === "same" ? `No gain: no token was dropped${how}.` : `${change} later${how}: no token was dropped, and the glimpse comes on top.`;
  if (gain === "same") return `No gain: both need about ${timeText(full)} to the first word${how}.`;
  return `${change} later here${how}: with ${about.layers} layers and ${several(about.all, "visual token")}, the glimpse costs more than these dropped tokens save.`;
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
 * @returns {Pair & { old: boolean, runs: number }}
 */
export const timesOf = (state) => {
  const { answers } = state;
  const [full, kept] = [answers?.full ?? null, answers?.kept ?? null];
  const old = Boolean(/** @type {Answer & { old?: boolean } | null} */ (full)?.old);
  const { times } = /** @type {{ times?: { full: number[], kept: number[] } }} */ (state);
  const runs = times ? Math.min(times.full.length, times.kept.length) : 0;
  if (times && !old && runs >= ENOUGH && full?.first && kept?.first)
    return { full: medianOf(times.full), kept: medianOf(times.kept), old, runs };
  return { full: full?.first ?? null, kept: kept?.first ?? null, old: old && typeof full?.first === "number", runs: full?.first && kept?.first ? 1 : 0 };
};

/** What the right hand side's tokens are called: a control keeps others than the kept ones. @param {string} control */
export const sideName = (control) => /** @type {Record<string, string>} */ ({ random: "Random", inverse: "Dropped" })[control] ?? "Kept";

/** The settings that the shown pruned answer was made with. @param {State} state */
export const controlOf = ({ answered }) => answered?.settings.control ?? "";

/**
 * The three costs of the answers on the page.
 * @param {State} state
 * @returns {{ cache: Cost, compute: Cost, time: Cost, about: Setting }}
 */
export const costsOf = (state) => {
  const inside = insideOf(state);
  const { full, kept } = state.answers ?? { full: null, kept: null };
  const about = {
    layers: inside?.layers ?? 0,
    keepLayer: inside?.keep_layer ?? 0,
    all: full?.tokens ?? 0,
    kept: kept?.tokens ?? 0,
    control: controlOf(state),
  };
  const cache = { full: inside?.kv_bytes?.full ?? null, kept: inside?.kv_bytes?.kept ?? null };
  const compute = { full: prefillOf(inside?.calculated.full), kept: prefillOf(inside?.calculated.kept) };
  const times = timesOf(state);
  const comparable = inside && !times.old; // a sentence on time names the layers
  return {
    cache: { name: "KV cache", kind: "calculated", write: bytesText, ...cache, old: false, gain: gainOf(cache), sentence: cacheSentence(cache, about) },
    compute: { name: "Prefill compute", kind: "calculated", write: flopsText, ...compute, old: false, gain: gainOf(compute), sentence: computeSentence(compute, about) },
    time: {
      name: "Time to first token",
      kind: "measured",
      write: timeText,
      full: times.full,
      kept: times.kept,
      old: times.old,
      gain: comparable ? gainOf(times) : null,
      sentence: timeSentence(inside || times.old ? times : { ...times, full: null }, about),
    },
    about,
  };
};

/** The visual tokens of both answers. @param {State} state @returns {Cost} */
export const tokensOf = (state) => {
  const pair = { full: state.answers?.full?.tokens ?? null, kept: state.answers?.kept?.tokens ?? null };
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
