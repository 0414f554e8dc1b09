// The page's one state, and what every action makes of it. Pure: no clock, no network, no document.

/** @import { Action, Boot, CanvasMessage, Message, Picture, Scores, Settings, Shown, State } from "../types" */
import { bytesOf, floatsOf } from "../lib/dom.js";
import { beforeOf } from "./before.js";
import { IDLE } from "./machine.js";
import { rankTokens } from "./select.js";
import { maskOf, selectionOf } from "./selection.js";
import { withStroke } from "./settings.js";

/** @type {import("../types").StatusMessage} */
const SILENT = { text: "", kind: "info" };
/** @type {import("../types").Band} */
const NO_BAND = { phase: "none", answers: [] };
/** @type {State["words"]} */
const NO_WORDS = { phase: "none", tries: 0, kept: null, full: null };
const RUNS = 9; // measured runs of one question that are remembered

/**
 * @param {Boot} boot @param {import("./settings.js").Codec} codec
 * @returns {State}
 */
export const initialState = (boot, codec) => ({
  tab: boot.tabs[0], model: boot.model, example: null, files: [], pictures: [], images: [], active: 0, suggestions: [],
  question: "", typed: false, linked: null, problems: "", asking: IDLE, status: SILENT, scores: null, settings: codec.defaults(),
  length: /** @type {number} */ (codec.length.default), controlMask: null, before: null, both: false, evidence: null,
  answered: null, answers: null, inside: null, times: { full: [], kept: [] }, band: NO_BAND, words: NO_WORDS, word: null,
  familiar: null, view: "kept", layer: 0, truth: false, opacity: 0.8, wipe: 0.5, tool: "look",
  cell: null, lesson: null,
});

/** @param {Float32Array} probabilities @param {Float32Array} logits @param {number | null} layer @returns {Scores} */
const scoresOf = (probabilities, logits, layer) => {
  const order = rankTokens(probabilities);
  const rank = new Uint32Array(order.length);
  order.forEach((index, place) => (rank[index] = place + 1));
  return { probabilities, logits, order, rank, layer };
};

/** Without manual edits, control and number of tokens, which were for another picture. @param {Settings} settings @returns {Settings} */
const clean = (settings) => ({ ...settings, control: "", painted: [], erased: [], budget: null });

/**
 * A message about pictures that are on the page leaves their addresses and words out.
 * @param {Picture[]} before @param {Picture[]} now
 */
const merged = (before, now) => now.map((picture, i) => (picture.src ? picture : { ...before[i], ...picture }));

/**
 * @param {State} state @param {CanvasMessage} canvas
 * @returns {State}
 */
const onCanvas = (state, canvas) => {
  let next = state;
  if (canvas.clear) next = { ...next, scores: null, evidence: null, answered: null, controlMask: null, cell: null };
  if (canvas.pictures) {
    const pictures = merged(state.pictures, canvas.pictures);
    const images = pictures.map((picture, i) => (picture.src === state.pictures[i]?.src ? state.images[i] ?? null : null));
    next = { ...next, pictures, images, cell: null, active: Math.min(state.active, Math.max(0, pictures.length - 1)) };
    if (canvas.probabilities) {
      const scores = scoresOf(floatsOf(canvas.probabilities), floatsOf(canvas.logits ?? ""), canvas.attention_layer ?? null);
      next = { ...next, scores };
    } else next = { ...next, scores: null, evidence: null, answered: null, controlMask: null };
  }
  if (canvas.evidence !== undefined) next = { ...next, evidence: canvas.evidence ? bytesOf(canvas.evidence) : null };
  return canvas.answered ? onAnswered(next, canvas.answered, Boolean(canvas.pictures)) : next;
};

/**
 * Which tokens the answer has. Edits come back only with new scores: otherwise those on the stage are newer.
 * @param {State} state @param {import("../types").Selected} answered @param {boolean} fresh
 * @returns {State}
 */
const onAnswered = (state, { settings, mask }, fresh) => {
  const controlMask = settings.control ? bytesOf(mask) : null;
  const edits = { painted: settings.painted, erased: settings.erased, control: settings.control, seed: settings.seed };
  const shown = fresh || settings.control ? { ...state.settings, ...(fresh ? edits : { control: edits.control, seed: edits.seed }) } : state.settings;
  const kept = controlMask ?? maskOf(state.scores, settings, state.pictures);
  return {
    ...state, settings: shown, controlMask: shown.control ? controlMask : null,
    answered: kept ? { mask: kept, settings } : null,
  };
};

/**
 * Times to the first token of runs that gave both answers, the newest last.
 * @param {State} state @param {NonNullable<State["answers"]>} answers
 */
const timesOf = (state, answers) => {
  const { full, kept, verdict, question } = answers;
  if (!verdict || verdict.same === null || !full?.first || !kept?.first || full.old || answers.stored) return state.times;
  const before = state.answers;
  const same = before?.question === question && !before.stored && Boolean(before.reused) === Boolean(answers.reused);
  const add = (/** @type {number[]} */ earlier, /** @type {number} */ time) => [...(same ? earlier : []), time].slice(-RUNS);
  return { full: add(state.times.full, full.first), kept: add(state.times.kept, kept.first) };
};

/** @param {State} state @param {Message} message @returns {State} */
const onMessage = (state, { canvas, answers, inside, status, familiar }) => {
  let next = canvas ? onCanvas(state, canvas) : state;
  if (canvas?.clear && answers) next = { ...next, before: beforeOf(state, answers) };
  if (canvas?.clear) next = { ...next, band: NO_BAND, words: NO_WORDS, word: null, inside: null, familiar: null, times: { full: [], kept: [] } };
  if (answers) next = { ...next, times: timesOf(next, answers), answers };
  if (inside) next = { ...next, inside };
  if (familiar !== undefined) next = { ...next, familiar };
  // The last message of a request has an empty line: it does not replace an error of something else meanwhile.
  return status && (status.text || state.status.kind === "busy") ? { ...next, status } : next;
};

/**
 * Other pictures, with whatever is known of them. The rule's settings stay, edits go.
 * @param {State} state @param {Shown} shown @param {{ example: number | null, files: unknown[] }} which
 * @returns {State}
 */
const onShown = (state, shown, { example, files }) => {
  const { questions, canvas, answers, inside, band, familiar } = shown;
  const emptied = {
    ...state, example, files, settings: clean(state.settings), controlMask: null, answered: null, scores: null, evidence: null, answers: null,
    inside: null, times: { full: [], kept: [] }, band: NO_BAND, words: NO_WORDS, word: null, familiar: familiar ?? null, active: 0,
    cell: null, linked: null,
    problems: "", lesson: null, before: null, both: false, suggestions: questions, question: state.typed ? state.question : questions[0] ?? state.question,
  };
  const next = canvas ? onCanvas({ ...emptied, pictures: [], images: [] }, canvas) : emptied;
  return {
    ...next, settings: emptied.settings, controlMask: null, answers: answers ?? null, inside: inside ?? null,
    band: band ? { phase: "done", answers: band.answers } : NO_BAND,
  };
};

/** What the address asks for. mask: of a control. @param {State} state @param {Partial<State>} change @param {string} mask @returns {State} */
const onOpened = (state, change, mask) => ({ ...state, ...change, controlMask: mask && change.settings?.control ? bytesOf(mask) : null });

/** A change of the rule ends a comparison with other tokens. @param {Settings} settings @param {Partial<Settings>} change */
const changed = (settings, change) => ({ ...settings, control: "", ...change });

/** @param {State["word"]} one @param {State["word"]} other */
const samePlace = (one, other) => one?.side === other?.side && one?.number === other?.number;

/** @type {Record<string, (state: State, action: any) => State>} */
const REDUCERS = {
  asking: (state, { asking }) => ({ ...state, asking }),
  message: (state, { request, message }) => (request === state.asking.request ? onMessage(state, message) : state),
  shown: (state, { shown, ...which }) => onShown(state, shown, which),
  opened: (state, { change, mask }) => onOpened(state, change, mask),
  status: (state, { text, kind = "info" }) => ({ ...state, status: { text, kind } }),
  model: (state, { model }) => ({ ...state, model }),
  band: (state, { band }) => ({ ...state, band: { ...state.band, ...band } }),
  words: (state, { words }) => ({ ...state, words: { ...state.words, ...words } }),
  word: (state, { word }) => (samePlace(state.word, word) ? state : { ...state, word }),
  image: (state, { index, image }) => ({ ...state, images: state.images.map((one, i) => (i === index ? image : one)) }),
  question: (state, { text, typed = true }) => ({ ...state, question: text, typed, problems: typed ? "" : state.problems }),
  settings: (state, { change }) => ({ ...state, settings: changed(state.settings, change), controlMask: null }),
  stroke: (state, { tokens, on }) => ({ ...state, settings: withStroke(changed(state.settings, {}), tokens, on), controlMask: null }),
  wash: (state) =>
    state.settings.control
      ? { ...state, settings: changed(state.settings, {}), controlMask: null }
      : { ...state, settings: { ...state.settings, painted: [], erased: [] } },
  control: (state, { control, seed }) => ({ ...state, settings: { ...state.settings, control, seed } }),
  length: (state, { value }) => ({ ...state, length: value }),
  view: (state, { name }) => ({ ...state, view: name }),
  layer: (state, { value }) => ({ ...state, layer: value }),
  truth: (state, { on }) => ({ ...state, truth: on }),
  both: (state, { on }) => ({ ...state, both: on }),
  opacity: (state, { value }) => ({ ...state, opacity: value }),
  wipe: (state, { value }) => ({ ...state, wipe: value }),
  tool: (state, { name }) => ({ ...state, tool: name }),
  cell: (state, { cell }) => (state.cell === cell ? state : { ...state, cell }),
  page: (state, { index }) => ({ ...state, active: index, cell: null }),
  lesson: (state, { step }) => ({ ...state, lesson: step }),
  tab: (state, { name }) => ({ ...state, tab: name }),
  typed: (state, { typed }) => ({ ...state, typed }),
};

/** @param {State} state @param {Action} action @returns {State} */
export const reducer = (state, action) => {
  const next = REDUCERS[action.type];
  if (!next) throw new Error(`There is no action "${action.type}".`);
  return next(state, action);
};

/** Whether the shown pruned answer was made from other tokens than those kept now. @param {State} state */
export const isStale = (state) => {
  const { answered, scores } = state;
  if (!answered || !scores) return false;
  const { mask } = selectionOf(state);
  return mask.some((on, i) => on !== answered.mask[i]);
};
