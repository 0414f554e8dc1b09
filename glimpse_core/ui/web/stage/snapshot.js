// The stage as a picture to save: a view at the picture's own size, and below it the question, both answers and the rule.

/** @import { App, Answer, State } from "../types" */
import { make } from "../lib/dom.js";
import { isAttention, isScored, shownView } from "../state/shown.js";
import { drawScene } from "./draw.js";
import { contextOf, createLayers } from "./layers.js";
import { heatRamp } from "./legend.js";
import { imageOf, inksOf, sceneOf, stageOf } from "./scene.js";
import { countWords, ruleWords } from "./words.js";

const [PAPER, INK, QUIET] = ["#ffffff", "#1f2937", "#526075"];
const NARROW = 480; // pixels: no sheet is narrower, however narrow its picture is

/** @type {Record<string, string>} */
const NAMES = {
  picture: "picture",
  heat: "relevance of every visual token",
  kept: "kept tokens",
  only: "kept tokens alone",
  layers: "tokens that run in a layer",
  wipe: "left all tokens, right the kept ones",
};

/** @typedef {{ text: string, bold?: boolean, color: string }} Line */

/** What the view shows, and how its tokens were chosen. @param {App} app @param {State} state @param {string} view */
const caption = ({ codec }, state, view) => {
  const name = view === "heat" && isAttention(state) ? `attention at layer ${state.scores?.layer} to every visual token` : NAMES[view];
  return isScored(state) ? `${name}: ${countWords(state, codec).join("")}${state.controlMask ? "" : `: ${ruleWords(state, codec)}`}` : name;
};

/** @param {string} who @param {Answer} answer @returns {Line[]} */
const answerLines = (who, { pieces, tokens }) => {
  const text = pieces.map(([piece]) => piece).join("").trim();
  return text ? [{ text: `${who}, ${tokens} visual tokens`, color: QUIET }, { text, color: INK }] : [];
};

/** @param {App} app @param {State} state @param {string} view @returns {Line[]} */
const linesOf = (app, state, view) => {
  const { question, kept, full } = state.answers ?? { question: "", kept: null, full: null };
  return [
    ...(question ? [{ text: question, bold: true, color: INK }] : []),
    ...(kept ? answerLines("Pruned answer", kept) : []),
    ...(full ? answerLines("Full answer", full) : []),
    { text: caption(app, state, view), color: QUIET },
  ];
};

/**
 * Text in lines that fit a width: broken at blanks, and within a word only where it is wider than a line.
 * @param {string} text @param {number} width @param {(text: string) => number} measure
 */
export const wrap = (text, width, measure) => {
  /** @type {string[]} */
  const lines = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(/\s+/).filter(Boolean)) {
      const longer = line ? `${line} ${word}` : word;
      if (measure(longer) <= width) {
        line = longer;
        continue;
      }
      if (line) lines.push(line);
      line = "";
      for (const char of word) {
        if (line && measure(line + char) > width) {
          lines.push(line);
          line = "";
        }
        line += char;
      }
    }
    lines.push(line);
  }
  return lines;
};

/** @param {number} size @param {boolean} [bold] */
const fontOf = (size, bold) => `${bold ? "600 " : ""}${size}px system-ui, sans-serif`;

/**
 * What the heat map's colors mean, in one row.
 * @param {CanvasRenderingContext2D} context @param {HTMLCanvasElement} ramp @param {number} size of the text @param {number} y
 */
const drawRamp = (context, ramp, size, y) => {
  let x = size;
  const write = (/** @type {string} */ text) => {
    context.fillText(text, x, y);
    x += context.measureText(text).width + size / 2;
  };
  context.font = fontOf(size);
  context.fillStyle = QUIET;
  write("irrelevant 0");
  context.drawImage(ramp, x, y - 0.85 * size, 10 * size, size);
  x += 10.5 * size;
  write("1 relevant");
};

/**
 * The picture with lines of text below it.
 * @param {HTMLCanvasElement} source @param {Line[]} lines @param {HTMLCanvasElement | null} ramp
 */
const sheetOf = (source, lines, ramp) => {
  const width = Math.max(NARROW, source.width);
  const size = Math.max(14, Math.round(width / 48));
  const sheet = make("canvas");
  const context = contextOf(sheet);
  const rows = lines.flatMap(({ text, bold, color }) => {
    context.font = fontOf(size, bold);
    return wrap(text, width - 2 * size, (part) => context.measureText(part).width).map((part, i) => ({ text: part, bold, color, gap: i ? 0 : 0.4 }));
  });
  const tall = (/** @type {number} */ gap) => (1.4 + gap) * size;
  sheet.width = width;
  sheet.height = source.height + Math.ceil(2 * size + rows.reduce((sum, { gap }) => sum + tall(gap), ramp ? tall(0.4) : 0));
  context.fillStyle = PAPER;
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.drawImage(source, Math.floor((width - source.width) / 2), 0);
  let y = source.height + size / 2;
  for (const { text, bold, color, gap } of rows) {
    y += tall(gap);
    context.font = fontOf(size, bold);
    context.fillStyle = color;
    context.fillText(text, size, y);
  }
  if (ramp) drawRamp(context, ramp, size, y + tall(0.4));
  return sheet;
};

/**
 * A view as a PNG file.
 * @param {App} app @param {string} [view] the one on the stage if left out
 * @returns {Promise<Blob>}
 */
export const snapshot = async (app, view) => {
  const state = app.store.get();
  const image = imageOf(state);
  if (!image) throw new Error("There is no picture on the stage. Expected a picture that has loaded: wait for it, or add one.");
  const name = isScored(state) ? view ?? shownView(state).view : "picture";
  const { naturalWidth: width, naturalHeight: height } = image;
  const { canvas: shown } = stageOf(app);
  const inks = shown ? inksOf(shown) : stageOf(app).inks;
  const scene = sceneOf({ ...state, cell: null }, { width, height, unit: Math.max(1, width / 600), inks, view: name });
  const canvas = make("canvas");
  Object.assign(canvas, { width, height });
  if (scene) drawScene(contextOf(canvas), scene, createLayers());
  const ramp = name === "heat" ? heatRamp(app, state, [220, 24]) : null;
  const sheet = sheetOf(canvas, linesOf(app, state, name), ramp);
  const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ resolve) => sheet.toBlob(resolve, "image/png"));
  if (!blob) throw new Error(`A picture of ${sheet.width} x ${sheet.height} pixels was too large for this browser. Use a smaller picture.`);
  return blob;
};
