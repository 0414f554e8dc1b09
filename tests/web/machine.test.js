// Asking, by its table of transitions, under random sequences of events.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IDLE, step, stoppable, TRANSITIONS } from "../../glimpse_core/ui/web/state/machine.js";
import { generator } from "./random.js";

const VISITOR = ["ask", "again", "pictures", "stop"];
const STARTS = ["ask", "again", "load"];

/**
 * A page with its server: what was begun reports in any order, or never; what was aborted may still report.
 * @param {(limit: number) => number} random
 */
const play = (random, length = 60) => {
  let asking = IDLE;
  /** @type {{ kind: string, number: number, alive: boolean }[]} */
  const works = [];
  const alive = () => works.filter((work) => work.alive);
  const log = [];
  const send = (event) => {
    const before = asking;
    const { asking: next, effects } = step(asking, event);
    asking = next;
    log.push(`${before.phase} --${event.name}--> ${next.phase} [${effects}]`);
    for (const effect of effects) {
      if (effect === "abort") alive().forEach((work) => (work.alive = false));
      if (STARTS.includes(effect)) works.push({ kind: effect, number: next.request, alive: true });
    }
    return { before, next, effects };
  };
  const report = (work) => {
    const names = work.kind === "load" ? ["shown", "refused"] : ["message", "message", "ended", "lost"];
    const name = names[random(names.length)];
    const { before, next } = send({ name, request: work.number });
    if (name !== "message") work.alive = false;
    if (work.number !== before.request) assert.equal(next, before, "a report of something that was overtaken changed the state");
  };
  for (let i = 0; i < length; i++) {
    const turn = random(10);
    if (turn < 5 || !works.length) send({ name: VISITOR[random(4)], question: `Question ${random(3)}?` });
    else report(works[random(works.length)]);
    check(asking, alive(), log);
  }
  // Whatever happened: once the server has said its last word, nothing is under way and everything can be pressed.
  for (let left = 20; left && alive().length; left--) report(alive()[0]);
  for (const work of alive()) send({ name: work.kind === "load" ? "refused" : "lost", request: work.number });
  for (const work of alive()) work.alive = false;
  if (asking.phase !== "idle") {
    const newest = works.at(-1);
    send({ name: newest.kind === "load" ? "refused" : "ended", request: newest.number });
  }
  assert.equal(asking.phase, "idle", log.join("\n"));
};

const check = (asking, alive, log) => {
  const told = () => log.slice(-8).join("\n");
  assert.ok(alive.length <= 1, `two pieces of work at once:\n${told()}`);
  if (asking.phase === "idle") assert.equal(alive.length, 0, `idle while something runs:\n${told()}`);
  else assert.ok(alive.length === 1 && alive[0].number === asking.request, `nothing runs that could end this:\n${told()}`);
  const loads = asking.phase === "loading" || asking.phase === "held";
  if (alive.length) assert.equal(alive[0].kind === "load", loads, told());
  assert.equal(stoppable(asking), asking.phase !== "idle" && asking.phase !== "stopping");
};

test("3,000 random sequences: one piece of work at a time, none is lost, all come to rest", () => {
  for (let seed = 1; seed <= 3000; seed++) play(generator(seed).below);
});

test("every transition of the table is taken in them", () => {
  const taken = new Set();
  for (let seed = 1; seed <= 400; seed++) {
    const random = generator(seed).below;
    let asking = IDLE;
    for (let i = 0; i < 60; i++) {
      const names = Object.keys(TRANSITIONS[asking.phase]);
      const name = names[random(names.length)];
      const { asking: next } = step(asking, { name, request: asking.request, question: `${i}?` });
      taken.add(`${asking.phase} ${name}`);
      assert.equal(next.phase, TRANSITIONS[asking.phase][name][0]);
      asking = next;
    }
  }
  const all = Object.entries(TRANSITIONS).flatMap(([phase, row]) => Object.keys(row).map((name) => `${phase} ${name}`));
  assert.deepEqual([...taken].sort(), all.sort());
});

test("a question waits for the pictures on their way, and is asked once", () => {
  let { asking } = step(IDLE, { name: "pictures" });
  ({ asking } = step(asking, { name: "ask", question: "What?" }));
  assert.deepEqual([asking.phase, asking.question], ["held", "What?"]);
  const shown = step(asking, { name: "shown", request: asking.request });
  assert.deepEqual([shown.asking.phase, shown.effects], ["asking", ["ask"]]);
  assert.equal(step(asking, { name: "refused", request: asking.request }).asking.phase, "idle");
});

test("the same question twice is a slip of the finger, another one is not", () => {
  const { asking } = step(IDLE, { name: "ask", question: "What?" });
  assert.deepEqual(step(asking, { name: "ask", question: "What?" }), { asking, effects: [] });
  assert.deepEqual(step(asking, { name: "ask", question: "Where?" }).effects, ["abort", "ask"]);
});
