// The words of an answer: each can be pointed at, and lights the tokens that it needs on the stage.

/** @import { App, Attribution, Side, State } from "../types" */
import { button, fill, make } from "../lib/dom.js";
import { canAttribute, carriedBy, carriedSentence, partsOf, placeSentence, pointedWord, wordsOf, wordSentence } from "../state/words.js";

/** @param {[string, boolean][]} parts @param {boolean} marked whether parts that differ are marked */
export const markedParts = (parts, marked) => parts.map(([part, differs]) => (differs && marked ? make("mark", "", part) : part));

/**
 * The text of an answer whose words are known, one of them in the order of the Tab key; arrow keys go to the others.
 * @param {[string, boolean][]} pieces @param {Attribution} found @param {boolean} marked
 */
export const wordNodes = (pieces, { words }, marked) => {
  let first = true;
  return partsOf(pieces, words).flatMap(({ word, parts }) => {
    if (word === null) return markedParts(parts, marked);
    const node = make("span", "word");
    node.append(...markedParts(parts, marked));
    node.dataset.word = String(word);
    node.toggleAttribute("data-needs", words[word].needs.length > 0);
    node.setAttribute("role", "button");
    node.tabIndex = first ? 0 : -1;
    first = false;
    return [node];
  });
};

/** @type {Record<string, (at: number, last: number) => number>} */
const MOVES = { ArrowRight: (at) => at + 1, ArrowLeft: (at) => at - 1, Home: () => 0, End: (_, last) => last };

/**
 * Pointing at words of one answer: by mouse, touch and keyboard.
 * @param {App} app @param {HTMLElement} body of the answer's card @param {Side} side
 * @returns {(state: State) => void} marks the words that are lit, for when they are new on the page
 */
export const pointAtWords = ({ store }, body, side) => {
  const nodes = () => /** @type {HTMLElement[]} */ ([...body.querySelectorAll(".word")]);
  const wordAt = (/** @type {EventTarget | null} */ target) => (target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(".word")) : null);
  const point = (/** @type {HTMLElement | null} */ node) =>
    store.dispatch({ type: "word", word: node ? { side, number: Number(node.dataset.word) } : null });
  const focused = () => wordAt(document.activeElement && body.contains(document.activeElement) ? document.activeElement : null);
  const leave = () => store.get().word?.side === side && point(focused());

  body.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return; // a finger points by tapping: the focus follows it
    const node = wordAt(event.target);
    if (node) point(node);
    else leave();
  });
  body.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
  body.addEventListener("click", (event) => wordAt(event.target)?.focus());
  body.addEventListener("focusin", (event) => {
    const node = wordAt(event.target);
    if (!node) return;
    for (const other of nodes()) other.tabIndex = other === node ? 0 : -1;
    point(node);
  });
  body.addEventListener("focusout", () => leave());
  body.addEventListener("keydown", (event) => {
    const node = wordAt(event.target);
    if (!node) return;
    if (event.key === "Escape") return node.blur();
    const all = nodes();
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    all[Math.min(all.length - 1, Math.max(0, move(all.indexOf(node), all.length - 1)))].focus();
  });
  const light = (/** @type {State} */ state) => {
    const lit = new Set(carriedBy(state, side));
    if (pointedWord(state) && state.word?.side === side) lit.add(state.word.number);
    for (const node of nodes()) node.toggleAttribute("data-lit", lit.has(Number(node.dataset.word)));
  };
  store.watch((state) => [pointedWord(state), state.word, state.cell, state.active, wordsOf(state, side)], light);
  return light;
};

/** @param {State} state @param {Side} side */
const lineOf = (state, side) => {
  const { phase, tries } = state.words;
  const sentence = wordSentence(state, side) || carriedSentence(state, side);
  if (sentence) return sentence;
  if (wordsOf(state, side)) return "Point at a word or at a token.";
  if (side === "full" && !wordsOf(state, "kept")) return "";
  if (phase === "waiting") return "Waiting for the answers along the dial…";
  if (phase === "running") return tries ? `Leaving tokens out: ${tries} tries so far…` : "Leaving tokens out…";
  return "";
};

/** What stands under an answer: what a word needs, or the button that finds it out. @param {App} app @param {Side} side */
export const needsView = ({ store, act }, side) => {
  const box = make("span", "needs");
  const swatch = make("i", "needed");
  const line = make("span", "line");
  const text = make("span");
  const place = make("span", "unseen");
  line.setAttribute("aria-live", "polite");
  line.append(text, place);
  box.append(swatch, line);
  const start = button("Word by word", () => void act.words(), "start");
  start.title = "Find out which tokens each word needs, by leaving tokens out";
  if (side === "kept") box.append(start);
  store.watch(
    (state) => [state.words, pointedWord(state), state.word, state.cell, state.active, wordsOf(state, side), wordsOf(state, "kept"), canAttribute(state)],
    (state) => {
      fill(text, lineOf(state, side));
      fill(place, state.word?.side === side && placeSentence(state));
      swatch.hidden = !wordsOf(state, side);
      start.hidden = !canAttribute(state);
    },
  );
  return box;
};
