// Settings in the browser: one JSON object, whose names, limits, defaults and words are those of the engine's table
// (glimpse/settings), which Python gives the page. The rule is in select.js.

/** @import { Field, Settings } from "../types" */
import { strokesOf } from "./selection.js";

const GRAIN = 1e12; // shares read from percent are multiples of 1 / GRAIN, as in Python

/** @param {number} value @param {number} grain */
const roundHalfUp = (value, grain) => Math.floor(value * grain + 0.5) / grain;
/** @param {unknown} a @param {unknown} b */
const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * What a control shows for a value; undefined for a share that it cannot show.
 * @param {Field} field @param {any} value
 */
export const toControl = ({ kind }, value) => {
  if (kind === "share") return value === null ? 100 : roundHalfUp(100 * value, GRAIN / 100);
  return value === null ? 0 : value;
};

/** @param {Field} field @param {number} value */
const readNumber = ({ low = -Infinity, high = Infinity }, value) => (Number.isFinite(value) && value >= low && value <= high ? value : undefined);

/** @type {Record<string, (field: Field, value: any) => any>} */
const READERS = {
  number: readNumber,
  share: (field, percent) => {
    const share = readNumber(field, Number.isFinite(percent) ? roundHalfUp(percent / 100, GRAIN) : NaN);
    return share === field.high ? null : share;
  },
  count: (field, value) => (field.nullable && (value === null || value === 0) ? null : Number.isInteger(value) ? readNumber(field, value) : undefined),
  names: ({ choices = {} }, value) =>
    Array.isArray(value) && value.every((name) => name in choices) ? Object.keys(choices).filter((name) => value.includes(name)) : undefined,
};

/**
 * The value that a control shows; undefined if there is none.
 * @param {Field} field @param {any} shown
 */
export const fromControl = (field, shown) => READERS[field.kind](field, shown);

/** Percent, moved by two decimal places, so that not a digit is lost. @param {number} share */
export const percentText = (share) => {
  const [mantissa, exponent = "0"] = String(share).split("e");
  const [whole, fraction = ""] = mantissa.split(".");
  const point = whole.length + Number(exponent) + 2;
  const digits = (whole + fraction).padEnd(point, "0");
  const padded = point < 1 ? "0".repeat(1 - point) + digits : digits;
  const at = Math.max(1, point);
  return `${padded.slice(0, at)}.${padded.slice(at)}`.replace(/^0+(?=\d)/, "").replace(/\.?0*$/, "");
};

/** Token numbers as runs, such as 12-15,30. @param {number[]} tokens ascending */
export const runsText = (tokens) => {
  /** @type {[number, number][]} */
  const runs = [];
  for (const token of tokens) {
    const last = runs.at(-1);
    if (last && last[1] === token - 1) last[1] = token;
    else runs.push([token, token]);
  }
  return runs.map(([first, end]) => (first === end ? `${first}` : `${first}-${end}`)).join(",");
};

/** @type {Record<string, (value: any) => string>} */
const QUERY = {
  share: (value) => (value === null ? "100" : percentText(value)),
  names: (value) => value.join(",") || "none",
  tokens: (value) => runsText(value) || "none",
  choice: (value) => value || "none",
};

/**
 * @param {Field[]} fields of the engine's table
 * @param {Field} length how long an answer may get
 */
export const createCodec = (fields, length) => {
  const field = Object.fromEntries([...fields, length].map((one) => [one.name, one]));
  const defaults = () => /** @type {Settings} */ (/** @type {unknown} */ (Object.fromEntries(fields.map((one) => [one.name, structuredClone(one.default)]))));
  const differs = (/** @type {Field} */ one, /** @type {any} */ settings) => !equal(settings[one.name], one.default);
  // A threshold of 0 lets everything pass: where there is a maximum share, that alone is the rule.
  const described = (/** @type {Field} */ one, /** @type {any} */ settings) =>
    one.name === "threshold" ? settings.threshold !== 0 || settings.max_ratio === null : !equal(settings[one.name], one.usual);

  /** The settings in words, as Python's `describe` says them. @param {any} settings */
  const describe = (settings) => {
    if (settings.control) return /** @type {any} */ (field.control.choices)[settings.control];
    return fields
      .filter((one) => described(one, settings))
      .filter((one) => one.ranked || settings.budget === null)
      .map((one) => phraseOf(one, settings[one.name]))
      .filter(Boolean)
      .join(", ");
  };

  return {
    fields, length, field, defaults, describe,

    /** The settings as parameters of the page's address: those that are not as by default. @param {any} settings */
    toQuery: (settings) =>
      Object.fromEntries(
        fields.filter((one) => differs(one, settings)).map((one) => [one.key, (QUERY[one.kind] || String)(settings[one.name])]),
      ),

    /** Whether two settings are the same in every field. @param {Settings} a @param {Settings} b */
    same: (a, b) => fields.every(({ name }) => equal(/** @type {any} */ (a)[name], /** @type {any} */ (b)[name])),

    /** Without what was edited by hand, and without a control. @param {Settings} settings @returns {Settings} */
    withoutEdits: (settings) => ({
      ...settings, painted: [], erased: [], control: /** @type {string} */ (field.control.default), seed: /** @type {number} */ (field.seed.default),
    }),
  };
};
/** @typedef {ReturnType<typeof createCodec>} Codec */

/**
 * Edits with some tokens kept or dropped by hand.
 * @param {Settings} settings @param {number[]} tokens @param {boolean} on
 * @returns {Settings}
 */
export const withStroke = (settings, tokens, on) => {
  const strokes = strokesOf(settings);
  for (const token of tokens) strokes.set(token, on);
  const chosen = (/** @type {boolean} */ kept) => [...strokes].filter(([, value]) => value === kept).map(([token]) => token).sort((a, b) => a - b);
  return { ...settings, painted: chosen(true), erased: chosen(false) };
};

/** @param {Field} field @param {any} value */
const amountOf = ({ kind }, value) => (Array.isArray(value) ? value.length : kind === "share" ? 100 * value : value);

/** @param {Field} field @param {any} value */
const phraseOf = (field, value) => {
  const amount = roundHalfUp(amountOf(field, value), 10000);
  return field.phrase[amount === 1 ? 0 : 1].replace("{}", String(amount));
};
