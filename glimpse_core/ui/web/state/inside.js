// What is inside of a pruned answer, as rows and places: pure, for ask/inside.js to draw.

/** @import { Divergence, Inside, NextToken, Picture } from "../types" */

/** @typedef {{ name: string, compute: [number, number], time: [number, number] | null, sum: boolean }} StageRow */

const STAGES = ["vision", "trunk", "glimpse_vip", "branch", "first"];

/** @param {number} first @param {number} last */
const layers = (first, last) => (first === last ? `Layer ${first}` : `Layers ${first} to ${last}`);

/** Names of the stages, by the layer after which tokens leave. @param {Inside} inside */
const namesOf = ({ layers: count, keep_layer: keep, attention }) => [
  "Vision tower",
  `${layers(0, Math.min(keep, count - 1))}, all tokens`,
  attention ? "The attention that is read" : "Glimpse and its predictor (VIP)",
  keep + 1 < count ? `${layers(keep + 1, count - 1)}, kept tokens only` : "No layer is left",
  "Output matrix, first token",
];

/**
 * The stages with FLOPs and milliseconds of both answers, then their sum up to the first token and one further token.
 * Times are null where one of the answers has none.
 * @param {Inside} inside
 * @returns {StageRow[]}
 */
export const stageRows = (inside) => {
  const { calculated, measured } = inside;
  const timed = Boolean(measured?.full && measured?.kept);
  const names = namesOf(inside);
  /** @param {string} name @param {(run: Record<string, number>) => number} of @param {boolean} sum @returns {StageRow} */
  const row = (name, of, sum) => ({
    name, sum,
    compute: [of(calculated.full), of(calculated.kept)],
    time: timed ? [of(measured.full), of(measured.kept)] : null,
  });
  const total = (/** @type {Record<string, number>} */ run) => STAGES.reduce((all, stage) => all + (run[stage] ?? 0), 0);
  return [
    ...STAGES.map((stage, i) => row(names[i], (run) => run[stage] ?? 0, false)),
    row("Up to the first token", total, true),
    row("Each further token", (run) => run.decode ?? 0, true),
  ];
};

/** The tokens of each layer in one sentence. @param {Inside} inside */
export const aliveSentence = ({ alive, layers: count, keep_layer: keep, attention }) => {
  const [all, cached] = [alive.full[0], alive.cached[0]].map((value) => value.toLocaleString("en"));
  const cache = `The cache of every layer ends up with ${cached} prompt tokens instead of ${all}.`;
  if (keep + 1 >= count) return `All ${count} layers read all ${all} tokens: they leave only after the last one. ${cache}`;
  const late = alive.kept[count - 1].toLocaleString("en");
  return `Up to layer ${keep} all ${all} tokens run${attention ? "" : ", and the glimpse token with them"}; after it ${late}. ${cache}`;
};

/**
 * Where on its picture a map is strongest, from 1.
 * @param {ArrayLike<number>} shares @param {Pick<Picture, "rows" | "cols">} picture @param {number} start of its tokens
 */
export const strongest = (shares, { rows, cols }, start) => {
  let best = 0;
  for (let i = 1; i < rows * cols; i++) if (shares[start + i] > shares[start + best]) best = i;
  return `row ${Math.floor(best / cols) + 1}, column ${(best % cols) + 1}`;
};

/** @param {NextToken} token */
const tokenText = ({ text, stop }) => {
  if (stop) return "end of the answer";
  if (text.includes("\ufffd")) return "part of a character";
  return text.trim() ? `“${text.trim()}”` : "space";
};

/** @param {number} probability */
const likelihood = (probability) => (probability < 0.001 ? "under 0.1%" : `${(100 * probability).toFixed(1)}%`);

/**
 * The candidates of one side, the most probable first. other: whether the other side went on with it.
 * @param {Divergence} divergence @param {"full" | "kept"} side
 */
export const candidateRows = (divergence, side) => {
  const chosen = divergence[side === "full" ? "kept" : "full"][0];
  return divergence[side].map((token) => ({
    text: tokenText(token),
    share: token.probability,
    percent: likelihood(token.probability),
    other: token.token_id === chosen.token_id,
  }));
};

/** Where the answers part, in one sentence. @param {Divergence | null} divergence */
export const divergenceSentence = (divergence) => {
  if (!divergence) return "Both answers are the same, token by token.";
  const { position, shared } = divergence;
  const before = shared.trim();
  const where = position === 0 ? "They differ from the first token on" : `They differ after ${position === 1 ? "one token" : `${position} tokens`}, “${before.length > 60 ? `…${before.slice(-60)}` : before}”`;
  const [full, kept] = [divergence.full, divergence.kept].map((side) => tokenText(side[0]));
  return `${where}: ${full} with all tokens, ${kept} with the kept ones.`;
};
