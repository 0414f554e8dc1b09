// What the visitor does that needs the server: ask, answer again, stop, choose pictures. The machine says what follows
// from an event; here it is done, one running piece of work at a time.

/** @import { Action, Boot, Message, Shown, State, Store } from "../types" */
import { step, stoppable } from "./machine.js";
import { ownChoice } from "./selection.js";
import { keptAnswer } from "./verdict.js";
import { attributionOf, canAttribute, wordsOf } from "./words.js";

const ASKED = { ask: "page_ask", again: "page_again" };

/** @typedef {ReturnType<typeof createActions>} Actions */

/**
 * @param {Store<State, Action>} store @param {Boot} boot
 * @param {import("./settings.js").Codec} codec @param {import("../lib/server.js").Server} server
 */
export const createActions = (store, boot, codec, server) => {
  const { texts, limits } = boot;
  let work = new AbortController(); // of the request that runs
  let loading = new AbortController();
  let banding = new AbortController();
  let banded = Promise.resolve(); // once no band runs
  let wording = new AbortController();
  let turn = 0; // of the newest request: the server leaves out what arrives after a later one
  /** @type {string[]} */
  const addresses = []; // of own pictures on the stage
  /** @type {{ example: number | null, files?: File[], sent?: object[], query?: object, then?: (shown: Shown) => void }} */
  let wanted = { example: null }; // the pictures that are chosen now; sent: on the server already

  const say = (/** @type {string} */ text, /** @type {"info" | "busy" | "error"} */ kind = "info") => store.dispatch({ type: "status", text, kind });

  /** @type {Record<string, () => void>} */
  const effects = {
    abort: () => work.abort(),
    drop: () => {
      loading.abort();
      if (store.get().asking.phase === "idle") say("");
    },
    stop: () => {
      server.notify("page_stop", { turn });
      say(texts.stopping, "busy");
    },
    ask: () => run("ask"),
    again: () => run("again"),
    load: () => void load(),
  };

  const send = (/** @type {{ name: string, number?: number, question?: string }} */ event) => {
    const { asking, effects: todo } = step(store.get().asking, event);
    if (asking !== store.get().asking) store.dispatch({ type: "asking", asking });
    for (const name of todo) effects[name]();
    return todo.length > 0;
  };

  const asked = () => {
    const { example, question, settings, length } = store.get();
    return { example, question, settings, length };
  };

  /** One question from the first word to the last. @param {"ask" | "again"} kind */
  const run = async (kind) => {
    stopBand();
    stopWords();
    work = new AbortController();
    const { signal } = work;
    const { request } = store.get().asking;
    say(texts.sending, "busy");
    try {
      for await (const message of server.stream(ASKED[kind], { ...asked(), turn: ++turn }, store.get().files, signal)) {
        send({ name: "message", number: request });
        store.dispatch({ type: "message", request, message });
      }
      send({ name: "ended", number: request });
      const { asking, band: known } = store.get();
      if (boot.band && request === asking.request && known.phase !== "done") void band();
    } catch (error) {
      if (signal.aborted) return;
      send({ name: "lost", number: request });
      if (request === store.get().asking.request) lost(error);
    }
  };

  /** @param {unknown} error */
  const lost = (error) => {
    const { asking, answers } = store.get();
    const halted = (/** @type {any} */ answer) => (answer?.state === "running" ? { ...answer, state: "cancelled" } : answer);
    if (answers) {
      const message = { answers: { ...answers, full: halted(answers.full), kept: halted(answers.kept) } };
      store.dispatch({ type: "message", request: asking.request, message });
    }
    say(`${texts.lost} (${error instanceof Error ? error.message : error})`, "error");
  };

  /** Put the chosen pictures on the stage. */
  const load = async () => {
    loading = new AbortController();
    const { signal } = loading;
    const { load: number } = store.get().asking;
    const { example, files = [], query, then } = wanted;
    const mine = ++turn;
    store.dispatch({ type: "typed", typed: false });
    if (store.get().asking.phase === "idle") say(files.length ? texts.uploading : texts.opening, "busy");
    try {
      const sent = files.length ? await server.upload(files, signal) : wanted.sent ?? [];
      const shown = await server.call("page_show", { example, query, turn: mine }, sent);
      if (signal.aborted) return;
      if (shown.problem) refused(number, shown.problem);
      else {
        stopBand();
        stopWords();
        say("");
        store.dispatch({ type: "shown", shown: withOwn(shown, files), example, files: sent });
        send({ name: "shown", number });
        then?.(shown);
      }
    } catch (error) {
      if (!signal.aborted) refused(number, `${texts.not_sent} (${error instanceof Error ? error.message : error})`);
    }
  };

  /** @param {number} number @param {string} why */
  const refused = (number, why) => {
    send({ name: "refused", number });
    say(why, "error");
  };

  /** The browser has the files: it need not fetch them. @param {Shown} shown @param {File[]} files */
  const withOwn = (shown, files) => {
    addresses.splice(0).forEach(URL.revokeObjectURL);
    const pictures = shown.canvas?.pictures?.map((picture, i) => {
      if (!files[i] || picture.src?.startsWith("data:")) return picture; // of a kind that browsers do not show
      const src = URL.createObjectURL(files[i]);
      addresses.push(src);
      return { ...picture, src };
    });
    return pictures ? { ...shown, canvas: { ...shown.canvas, pictures } } : shown;
  };

  /** The answer at about twelve budgets, after the two answers. */
  const band = () => {
    const state = store.get();
    const { same = null } = state.answers?.verdict ?? {};
    if (!state.scores || state.asking.phase !== "idle" || same === null) return; // nothing to compare with
    stopWords();
    banded = runBand(state);
  };

  /** @param {State} state */
  const runBand = async (state) => {
    banding = new AbortController();
    const { signal } = banding;
    const put = (/** @type {object} */ change) => signal.aborted || store.dispatch({ type: "band", band: change });
    put({ phase: "running", answers: [] });
    try {
      for await (const { answers, problem } of server.stream("page_band", { ...asked(), turn: ++turn }, state.files, signal)) {
        if (problem) say(problem, "error");
        if (answers) put({ answers });
      }
      put({ phase: store.get().band.answers.some(({ finished }) => finished === "cancelled" || !finished) ? "stopped" : "done" });
    } catch {
      put({ phase: "stopped" }); // lost: the two answers stand without it
    }
  };

  const stopBand = () => {
    banding.abort();
    if (store.get().band.phase === "running") store.dispatch({ type: "band", band: { phase: "stopped" } });
  };

  /** Which tokens the words of both answers need: after the band, since a visitor's requests end each other. */
  const words = async () => {
    if (!canAttribute(store.get())) return;
    wording = new AbortController();
    const { signal } = wording;
    const put = (/** @type {object} */ change) => signal.aborted || store.dispatch({ type: "words", words: change });
    put({ phase: "waiting", tries: 0 });
    await banded;
    const state = store.get();
    const { answers, answered, files } = state;
    if (signal.aborted || !answers || !answered) return;
    put({ phase: "running", kept: null, full: null });
    const settings = keptAnswer(state).band ? state.settings : answered.settings;
    const given = { ...asked(), question: answers.question, settings, turn: ++turn };
    let failed = false;
    try {
      for await (const { side, tries, words: found, problem } of server.stream("page_words", given, files, signal)) {
        if (problem) say(problem, "error");
        failed ||= Boolean(problem);
        if (tries) put({ tries });
        if (side && found) put({ [side]: attributionOf(found) });
      }
    } catch {
      failed = true; // the connection was lost: the answers stand without it
    }
    const { kept, full } = store.get().words;
    put({ phase: kept && full ? "done" : "stopped" });
    if (!failed && !signal.aborted && kept && !wordsOf(store.get(), "kept")) say(texts.other_words);
  };

  const stopWords = () => {
    wording.abort();
    if (["waiting", "running"].includes(store.get().words.phase)) store.dispatch({ type: "words", words: { phase: "stopped" } });
  };

  /** The visitor presses Stop: what runs ends before its next token, the band and the words too. */
  const stop = () => {
    if (stoppable(store.get().asking)) return send({ name: "stop" });
    stopBand();
    stopWords();
    return server.notify("page_stop", { turn });
  };

  /** Ask what is in the box. Edits were made for another question, unless the address brought them for this one. */
  const ask = (question = store.get().question.trim()) => {
    const { settings, linked, asking } = store.get();
    const { asking: next } = step(asking, { name: "ask", question });
    if (next === asking) return;
    if (store.get().question.trim() !== question) store.dispatch({ type: "question", text: question, typed: true });
    if (linked !== question && next.pictures !== "held") store.dispatch({ type: "settings", change: codec.withoutEdits(settings) });
    send({ name: "ask", question });
    if (next.pictures === "held") say(texts.held, "busy");
  };

  /** Answer the same question from the tokens that are kept now. control: from random or from the dropped ones instead. */
  const again = (control = "") => {
    const { scores, settings } = store.get();
    if (!scores) return;
    if (control) store.dispatch({ type: "control", control, seed: settings.seed + Number(control === "random" && settings.control === control) });
    send({ name: "again" });
  };

  /** @param {number} example */
  const choose = (example, query = {}, then = /** @type {any} */ (undefined)) => {
    wanted = { example, query, then };
    send({ name: "pictures" });
  };

  /** Own pictures, instead of those on the stage. @param {Iterable<File>} given */
  const add = (given, query = /** @type {object | undefined} */ (undefined), then = /** @type {any} */ (undefined)) => {
    const files = [...given].filter((file) => file.type.startsWith("image/") || !file.type);
    const large = files.find((file) => file.size > limits.bytes);
    if (large) return say(texts.too_large.replace("{}", large.name), "error");
    if (files.length > limits.pictures) return say(texts.too_many.replace("{}", String(files.length)), "error");
    if (!files.length) return say(texts.no_image, "error");
    wanted = { example: null, files, query, then };
    send({ name: "pictures" });
  };

  /** The dial was moved to a number of tokens; near the glimpse's own choice it is that. @param {number} count */
  const dial = (count) => {
    const own = ownChoice(store.get());
    store.dispatch({ type: "settings", change: { budget: count === own ? null : count } });
  };

  return {
    ask, again, choose, add, dial, band, words, stop, stopBand, asked,
    /** Pictures that are on the server still: after a reload, or back in the history. @param {unknown[]} files */
    reopen: (files, query = {}, then = /** @type {any} */ (undefined)) => {
      wanted = { example: null, sent: /** @type {object[]} */ (files), query, then };
      send({ name: "pictures" });
    },
    leave: () => server.notify("page_leave", {}),
  };
};
