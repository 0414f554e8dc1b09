// A comparison of methods, as it comes in: pure, for methods/methods.js to draw.

/** @import { State, Boot } from "../types" */

/** @typedef {{ rows: number, cols: number, frame: [number, number, number, number] }} MethodsGrid */
/**
 * @typedef {Object} Result of one method, as ui/comparison.py gives it
 * @property {string} name
 * @property {string} label
 * @property {string} where tokens leave
 * @property {string} [error] instead of all that follows
 * @property {string} [text]
 * @property {boolean} [same] as with all tokens
 * @property {boolean | null} [right] null where the true answer is not known
 * @property {number | null} [first] seconds to the first token
 * @property {number} [kept]
 * @property {number} [total]
 * @property {number} [kv]
 * @property {number} [prefill]
 * @property {string} [mask]
 */
/** @typedef {{ state: string, text: string, truth?: string | null, grids?: MethodsGrid[], result?: Result }} MethodsMessage */
/** @typedef {{ question: string, percent: number, names: string[], pictures: { src?: string, alt?: string }[] }} Asked */
/**
 * @typedef {Object} Comparison
 * @property {Asked | null} asked
 * @property {string} state
 * @property {string} text
 * @property {string | null} truth
 * @property {MethodsGrid[]} grids
 * @property {Result[]} results in the order in which they came
 */

export const BASELINE = "none"; // the method that keeps every token

/** @type {Comparison} */
export const NOTHING = { asked: null, state: "idle", text: "", truth: null, grids: [], results: [] };

/** @param {Asked} asked @returns {Comparison} */
export const begun = (asked) => ({ ...NOTHING, asked, state: "running", text: "Waiting for the model…" });

/** @param {Comparison} comparison @param {MethodsMessage} message @returns {Comparison} */
export const withMessage = (comparison, { state, text, truth, grids, result }) => ({
  ...comparison,
  state,
  text,
  truth: truth === undefined ? comparison.truth : truth,
  grids: grids ?? comparison.grids,
  results: result ? [...comparison.results, result] : comparison.results,
});

/** @param {Comparison} comparison */
export const isRunning = ({ state }) => state === "running";

/** Ways to sort the cards, by name. @type {[string, string][]} */
export const ORDERS = [
  ["same", "Same answer first, then time"],
  ["time", "Time to first token"],
  ["kv", "Smallest KV cache"],
  ["name", "Name"],
];

const last = Number.MAX_VALUE;
const time = (/** @type {Result} */ { first }) => first ?? last;
const failed = (/** @type {Result} */ { error }) => Number(Boolean(error));
const byLabel = (/** @type {Result} */ a, /** @type {Result} */ b) => a.label.localeCompare(b.label, "en");
/** @type {Record<string, (a: Result, b: Result) => number>} */
const COMPARE = {
  same: (a, b) => Number(Boolean(b.same)) - Number(Boolean(a.same)) || time(a) - time(b),
  time: (a, b) => time(a) - time(b),
  kv: (a, b) => (a.kv ?? last) - (b.kv ?? last) || time(a) - time(b),
  name: () => 0,
};

/**
 * All tokens first, with which the others are compared; at the end what failed.
 * @param {readonly Result[]} results @param {string} order
 */
export const sorted = (results, order) =>
  [...results].sort(
    (a, b) =>
      Number(b.name === BASELINE) - Number(a.name === BASELINE) || failed(a) - failed(b) || COMPARE[order](a, b) || byLabel(a, b),
  );

/** @param {readonly string[]} names */
const listed = (names) => names.join(", ");

const MOST_NAMED = 8; // methods that one line can list

/** The comparison in one line; empty before a method is done. @param {Comparison} comparison */
export const summaryOf = ({ results, asked }) => {
  const methods = results.filter(({ name, error }) => name !== BASELINE && !error);
  if (!methods.length || !asked) return "";
  const labels = (/** @type {(result: Result) => unknown} */ test) => methods.filter(test).map(({ label }) => label);
  const [same, other] = [labels(({ same }) => same), labels(({ same }) => !same)];
  const count = methods.length;
  const verb = same.length === 1 ? "gives" : "give";
  const head = `${same.length} of ${count} method${count === 1 ? "" : "s"} ${verb} the same answer at ${asked.percent}%`;
  const names = same.length && other.length && count <= MOST_NAMED ? `: ${listed(same)}; not ${listed(other)}` : "";
  const known = methods.some(({ right }) => right !== null && right !== undefined);
  const right = known ? ` ${labels(({ right }) => right).length} of ${count} give the true answer.` : "";
  return `${head}${names}.${right}`;
};

/**
 * What became of the answer, against the one from all tokens and, where it is known, the truth.
 * @param {Result} result @param {Result | undefined} full
 * @returns {{ text: string, kind: "good" | "bad" | "" }}
 */
export const verdictOf = ({ name, same, right }, full) => {
  const known = right !== null && right !== undefined;
  if (name === BASELINE) return { text: known ? (right ? "True answer" : "Not the true answer") : "", kind: known ? (right ? "good" : "bad") : "" };
  if (!known) return { text: same ? "Same answer as with all tokens" : "Another answer than with all tokens", kind: "" };
  if (same) return right ? { text: "Same answer, and true", kind: "good" } : { text: "Same answer, both wrong", kind: "bad" };
  if (right) return { text: "Pruning fixed it", kind: "good" };
  return { text: full?.right ? "Pruning broke it" : "Another answer, both wrong", kind: "bad" };
};

/**
 * One byte per token from base64 of one bit per token, the first token highest.
 * @param {string} base64 @param {number} count
 */
export const maskOf = (base64, count) => {
  const packed = atob(base64);
  return Uint8Array.from({ length: count }, (_, i) => (packed.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1);
};

/** What is saved as JSON: as the page shows it, with one number per token. @param {Comparison} comparison */
export const savedText = ({ asked, truth, results }) => {
  const methods = results.map(({ mask, ...rest }) =>
    mask === undefined ? rest : { ...rest, mask: [...maskOf(mask, rest.total ?? 0)] },
  );
  return JSON.stringify({ question: asked?.question ?? "", truth, percent: asked?.percent ?? null, methods });
};

/**
 * The true answer to the question in the box, where it is known.
 * @param {State} state @param {Boot} boot
 */
export const truthOf = ({ question, answers, example }, boot) => {
  const asked = question.trim();
  if (answers?.truth && answers.question === asked) return answers.truth;
  const known = example === null ? [] : boot.examples[example]?.questions ?? [];
  return known.find(([text]) => text === asked)?.[1] ?? null;
};
