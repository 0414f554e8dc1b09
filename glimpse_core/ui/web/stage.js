// The stage's state and its parts on the page. draw.js paints it, readout.js puts it into words, canvas.js follows.
const VIEWS = [
  ["picture", "Picture"],
  ["heat", "Heat map"],
  ["kept", "Kept"],
  ["only", "Kept only"],
  ["wipe", "Wipe"],
];
const decode = (text) => new Float32Array(bytesOf(text).buffer);

const stage = {
  pictures: [], images: [], active: 0, probabilities: new Float32Array(), logits: new Float32Array(), order: [], rank: [],
  settings: defaultSettings(), strokes: new Map(), control: "", seed: -1, controlMask: null, answered: null, linked: null,
  selection: selectTokens(new Float32Array(), defaultSettings()), tallies: [],
  view: "kept", opacity: 0.8, wipe: 0.5, tool: "look", cell: null, serial: 0, drawn: 0, ready: false, unit: 1, inks: {},
};

const root = element.firstElementChild;
const tabs = make("div", "tabs");
const fade = make("input");
const fadeWord = make("span", "", "Overlay");
const fadeLabel = make("label", "fade");
const lessonBox = make("section", "lesson");
const frame = make("div", "frame");
const canvas = make("canvas");
const empty = make("p", "empty", "Add a picture, drop one here, or choose an example above.");
const strip = make("div", "pages");
const count = make("p", "count");
const bar = make("div", "bar");
const legend = make("div", "legend");
const tools = make("div", "tools");
const readout = make("div", "readout");
const crop = make("canvas", "crop");
const words = make("p", "words");
const brush = canvas.getContext("2d");

const picture = () => stage.pictures[stage.active];
const scored = () => Boolean(picture() && picture().rows && stage.probabilities.length);
const offsetOf = (page) => stage.pictures.slice(0, page).reduce((sum, item) => sum + item.rows * item.cols, 0);
const offset = () => offsetOf(stage.active);
// The part of its token grid that a picture covers, in tokens, and the rows and columns that it touches, [first, end). A
// model that pads pictures to a square has tokens beside it: they count like all others, but nothing of them is shown.
const areaOf = ({ rows, cols, frame: [left, top, right, bottom] = [0, 0, 1, 1] }) => {
  const touched = (low, high, count) => [Math.floor(low * count + 1e-6), Math.ceil(high * count - 1e-6)];
  return {
    left: left * cols, top: top * rows, width: (right - left) * cols, height: (bottom - top) * rows,
    rows: touched(top, bottom, rows), cols: touched(left, right, cols),
  };
};
const within = (value, [first, end]) => Math.min(end - 1, Math.max(first, value));
const isShown = ({ area, cols }, cell) => {
  const [row, col] = [Math.floor(cell / cols), cell % cols];
  return row === within(row, area.rows) && col === within(col, area.cols);
};
const single = () => (stage.pictures.length === 1 ? stage.pictures[0] : null);
const styleOf = (name) => getComputedStyle(root).getPropertyValue(name).trim();

// All settings as they stand, in JSON.
const settingsNow = () => withEdits(stage.settings, stage.strokes, stage.control, Math.max(0, stage.seed));

// What the controls, the strokes and the comparison that was asked for keep now.
const choose = (settings, strokes, controlMask) => {
  const rule = selectTokens(stage.probabilities, settings, stage.order, single());
  if (!controlMask) return paintTokens(rule, strokes);
  return { mask: controlMask, reason: controlMask, kept: controlMask.reduce((sum, on) => sum + on, 0) };
};
