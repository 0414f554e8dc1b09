// The page's address always says what is on the page; opening it shows that again, with its result.

/** @import { App, Shown, State } from "../types" */
import { isStale } from "./reducer.js";
import { bandAnswer } from "./verdict.js";

const VIEWS = ["picture", "heat", "kept", "only", "wipe", "layers"];
const LONGEST = 4000; // characters of one parameter
const SETTLED = 150; // milliseconds without a change before the address follows

/**
 * @param {State} state @param {import("./settings.js").Codec} codec @param {string[]} tabs
 * @returns {{ query: string, place: string, left: string[] }} place: what the Back button steps through; left: what is not in it
 */
export const addressOf = (state, codec, tabs) => {
  const asked = state.answers?.question || (state.typed ? state.question.trim() : ""); // what is answered, else what will be
  const first = state.example === 0 && state.answers?.stored;
  /** @type {Record<string, string>} */
  const where = {};
  if (state.example !== null && !(first && codec.same(state.settings, codec.defaults()))) where.ex = String(state.example + 1);
  if (asked && !(first && !where.ex)) where.q = asked;
  /** @type {Record<string, string>} */
  const how = codec.toQuery(state.settings);
  const left = Object.keys(how).filter((key) => how[key].length > LONGEST);
  if (state.example === null) for (const key of ["in", "out"]) delete how[key]; // tokens of pictures that are on no link
  for (const key of left) delete how[key];
  if (state.length !== codec.length.default) how[codec.length.key] = String(state.length);
  if (state.view !== "kept") how.view = state.view;
  if (state.view === "layers" && state.layer) how.layer = String(state.layer);
  if (state.truth) how.evidence = "1";
  if (state.tab !== tabs[0]) how.tab = state.tab;
  const text = new URLSearchParams({ ...where, ...how }).toString().replaceAll("%2C", ",");
  return { query: text ? `?${text}` : "", place: placeOf(state, asked), left };
};

/** What the Back button steps through. @param {State} state @param {string} asked */
const placeOf = ({ example, files, tab }, asked) => JSON.stringify([example, files, asked, tab]);

/** What the page itself reads of an address; all else is checked by the server. @param {URLSearchParams} query @param {string[]} tabs */
export const localOf = (query, tabs) => {
  const [view, tab] = [query.get("view") ?? "", query.get("tab") ?? ""];
  const layer = Number(query.get("layer") ?? 0);
  return {
    view: VIEWS.includes(view) ? view : "kept", tab: tabs.includes(tab) ? tab : tabs[0], truth: query.get("evidence") === "1",
    layer: Number.isInteger(layer) && layer >= 0 ? layer : 0,
  };
};

/**
 * @param {App} app @param {Shown} shown @param {string | null} question what the address asks, if anything
 * @returns {string} the question whose answers are shown, or are about to be
 */
const show = ({ store, act, codec }, shown, question) => {
  const { link } = shown;
  if (!link) return "";
  const asked = question ?? shown.answers?.question ?? null;
  const settings = { ...codec.defaults(), ...link.settings };
  store.dispatch({
    type: "opened", mask: link.mask,
    change: {
      settings, length: link.length ?? codec.length.default, linked: asked, question: asked ?? store.get().question, typed: false,
      problems: link.problems.join(" "),
    },
  });
  const stored = shown.answers?.question === asked && asked !== null;
  const known = stored && (!isStale(store.get()) || bandAnswer(store.get()));
  if (stored && !known) act.again();
  else if (!stored && asked) act.ask(asked);
  return asked ?? "";
};

/** An address without what the page itself makes of it. @param {string} query */
const heart = (query) => {
  const rest = new URLSearchParams(query);
  for (const key of ["view", "layer", "evidence", "tab", "_"]) rest.delete(key);
  return rest.toString();
};

/** Whether the page shows already what an address says, but for view and tab. @param {App} app @param {string} search @param {unknown[]} files */
const stands = ({ store, codec, boot }, search, files) => {
  const state = store.get();
  const same = JSON.stringify(state.example === null ? state.files : []) === JSON.stringify(files);
  return same && heart(addressOf(state, codec, boot.tabs).query) === heart(search);
};

/**
 * Put on the page what an address says.
 * @param {App} app @param {string} search @param {{ files?: unknown[] } | null} kept
 * @param {(asked: string) => void} arrived called once the pictures are there, with the question of the answers
 */
const open = (app, search, kept, arrived) => {
  const query = new URLSearchParams(search);
  const given = Object.fromEntries(query);
  const { view, layer, tab, truth } = localOf(query, app.boot.tabs);
  app.store.dispatch({ type: "view", name: view });
  app.store.dispatch({ type: "layer", value: layer });
  app.store.dispatch({ type: "truth", on: truth });
  app.store.dispatch({ type: "tab", name: tab });
  if (stands(app, search, kept?.files ?? [])) return arrived(app.store.get().answers?.question ?? "");
  const question = query.get("q")?.trim() || null;
  const then = (/** @type {Shown} */ shown) => arrived(show(app, shown, question));
  if (kept?.files?.length) return app.act.reopen(kept.files, { ...given, _: "" }, then);
  const number = Number(query.get("ex") ?? 1);
  const example = Number.isInteger(number) && number >= 1 && number <= app.boot.examples.length ? number - 1 : 0;
  if (app.boot.examples.length) app.act.choose(example, { ...given, _: "" }, then); // an empty query is one, too
};

/**
 * Put a picture of another tab on this one, and ask about it what a query says.
 * @param {App} app @param {string} src of the picture @param {Record<string, string>} query as in an address
 */
export const openPicture = async (app, src, query) => {
  app.store.dispatch({ type: "tab", name: app.boot.tabs[0] });
  const answer = await fetch(src).catch(() => null);
  if (!answer?.ok) return app.store.dispatch({ type: "status", text: app.boot.texts.not_sent, kind: "error" });
  const picture = await answer.blob();
  const file = new File([picture], "picture.png", { type: picture.type });
  return app.act.add([file], query, (/** @type {Shown} */ shown) => show(app, shown, query.q ?? null));
};

/** Open what the address says; then let it follow the page, and the page the Back and Forward buttons. @param {App} app */
export const follow = (app) => {
  const { store, codec, boot } = app;
  let { place } = addressOf(store.get(), codec, boot.tabs); // that the history is at
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let clock;
  const write = () => {
    const state = store.get();
    if (state.asking.phase !== "idle" || state.asking.pictures !== "none") return; // written when it is over
    const now = addressOf(state, codec, boot.tabs);
    const files = state.example === null ? state.files : [];
    const target = now.query || location.pathname;
    if (now.place !== place) history.pushState({ files }, "", target);
    else if (location.search !== now.query) history.replaceState({ files }, "", target);
    place = now.place;
  };
  const writeSoon = () => {
    clearTimeout(clock);
    clock = setTimeout(write, SETTLED);
  };
  store.watch(
    ({ example, files, answers, settings, length, view, layer, truth, tab, asking }) =>
      [example, files, answers?.question, settings, length, view, layer, truth, tab, asking.phase, asking.pictures],
    writeSoon,
  );
  const openPlace = (/** @type {{ files?: unknown[] } | null} */ kept) =>
    open(app, location.search, kept, (asked) => {
      place = placeOf(store.get(), asked); // it is in the history already
      writeSoon();
    });
  addEventListener("popstate", ({ state }) => openPlace(state));
  if (location.search || history.state?.files?.length) openPlace(history.state);
};
