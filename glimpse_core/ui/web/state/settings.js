// Settings in the browser: one JSON object, whose names, limits, defaults and words are those of the table FIELDS, which
// Python puts in front of this file (glimpse/settings). The rule is in select.js.
const FIELD = Object.fromEntries(FIELDS.map((field) => [field.name, field]));
const GRAIN = 1e12; // shares read from percent are multiples of 1 / GRAIN, as in Python

const roundHalfUp = (value, grain) => Math.floor(value * grain + 0.5) / grain;
const defaultSettings = () => Object.fromEntries(FIELDS.map((field) => [field.name, structuredClone(field.default)]));

// What a control of the page shows for a value, and the value that a control shows; undefined if there is none.
const toControl = ({ kind }, value) => {
  if (kind === "share") return value === null ? 100 : roundHalfUp(100 * value, GRAIN / 100);
  return value === null ? 0 : value;
};
const readNumber = ({ low, high }, value) => (Number.isFinite(value) && value >= low && value <= high ? value : undefined);
const READERS = {
  number: readNumber,
  share: (field, percent) => {
    const share = readNumber(field, Number.isFinite(percent) ? roundHalfUp(percent / 100, GRAIN) : NaN);
    return share === field.high ? null : share;
  },
  count: (field, value) => (field.nullable && (value === null || value === 0) ? null : Number.isInteger(value) ? readNumber(field, value) : undefined),
  names: ({ choices }, value) =>
    Array.isArray(value) && value.every((name) => name in choices) ? Object.keys(choices).filter((name) => value.includes(name)) : undefined,
};
const fromControl = (field, shown) => READERS[field.kind](field, shown);

// The settings with what the controls show, by field name; null where one shows nothing that can be. A control that shows
// the value as it stands leaves it alone: a slider of percent cannot say every share.
const overlayControls = (settings, controls) => {
  const changed = { ...settings };
  for (const [name, shown] of Object.entries(controls)) {
    const value = fromControl(FIELD[name], shown);
    if (value === undefined) return null;
    const same = JSON.stringify(toControl(FIELD[name], value)) === JSON.stringify(toControl(FIELD[name], settings[name]));
    if (!same) changed[name] = value;
  }
  return changed;
};

// Manual edits as the canvas has them, a Map of token -> keep, and as settings have them.
const strokesOf = ({ painted, erased }) => new Map([...painted.map((token) => [token, true]), ...erased.map((token) => [token, false])]);
const withEdits = (settings, strokes, control, seed) => {
  const tokens = (on) => [...strokes].filter(([, kept]) => kept === on).map(([token]) => token).sort((a, b) => a - b);
  return { ...settings, painted: tokens(true), erased: tokens(false), control, seed };
};
const withoutEdits = (settings) => withEdits(settings, new Map(), FIELD.control.default, FIELD.seed.default);

// The settings in words, as Python's `describe` says them.
const amountOf = ({ kind }, value) => (Array.isArray(value) ? value.length : kind === "share" ? 100 * value : value);
const phraseOf = (field, value) => {
  const amount = roundHalfUp(amountOf(field, value), 10000);
  return field.phrase[amount === 1 ? 0 : 1].replace("{}", String(amount));
};
const describeSettings = (settings) => {
  if (settings.control) return FIELD.control.choices[settings.control];
  const differs = ({ name, default: value }) => JSON.stringify(settings[name]) !== JSON.stringify(value);
  const chosen = FIELDS.filter((field) => field === FIELD.threshold || differs(field));
  return chosen
    .filter((field) => field.ranked || settings.budget === null)
    .map((field) => phraseOf(field, settings[field.name]))
    .filter(Boolean)
    .join(", ");
};
