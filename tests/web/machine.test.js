// Asking, by its table of transitions, under random sequences of events.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IDLE, PICTURES, REQUEST, step, stoppable } from "../../glimpse_core/ui/web/state/machine.js";
import { generator } from "./random.js";

const VISITOR = ["ask", "again", "pictures", "stop"];

/**
 * A page with its server: what was begun reports in any order, or never; what was aborted may still report.
 * @param {(limit: number) => number} random
 */
const play = (random, length = 60) => {
  let asking = IDLE;
  /** @type {{ kind: string, number: number, alive: boolean }[]} */
  const works = [];
  const alive = (load) => works.filter((work) => work.alive && (work.kind === "load") === load);
  const log = [];
  const send = (event) => {
    const before = asking;
    const { asking: next, effects } = step(asking, event);
    asking = next;
    log.push(`${before.phase}, ${before.pictures} --${event.name}--> ${next.phase}, ${next.pictures} [${effects}]`);
    for (const effect of effects) {
      if (effect === "abort") alive(false).forEach((work) => (work.alive = false));
      if (effect === "drop") alive(true).forEach((work) => (work.alive = false));
      if (effect === "load") works.push({ kind: effect, number: next.load, alive: true });
      if (effect === "ask" || effect === "again") works.push({ kind: effect, number: next.request, alive: true });
    }
    return { before, next };
  };
  const report = (work, name) => {
    const newest = work.number === (work.kind === "load" ? asking.load : asking.request);
    if (name !== "message") work.alive = false;
    const { before, next } = send({ name, number: work.number });
    if (!newest) assert.equal(next, before, "a report of something that was overtaken changed the state");
  };
  const any = (work) => (work.kind === "load" ? ["shown", "refused"] : ["message", "message", "ended", "lost"]);
  for (let i = 0; i < length; i++) {
    if (random(10) < 5 || !works.length) send({ name: VISITOR[random(4)], question: `Question ${random(3)}?` });
    else {
      const work = works[random(works.length)];
      report(work, any(work)[random(any(work).length)]);
    }
    check(asking, alive, log);
  }
  // Whatever happened: once the server has said its last words, nothing is under way and everything can be pressed.
  for (let left = 5; left; left--) {
    for (const work of [...alive(true), ...alive(false)]) report(work, work.kind === "load" ? "refused" : "ended");
  }
  assert.deepEqual([asking.phase, asking.pictures], ["idle", "none"], log.join("\n"));
};

const check = (asking, alive, log) => {
  const told = () => log.slice(-8).join("\n");
  const [requests, loads] = [alive(false), alive(true)];
  // A request may have said its last word twice, of which the second is late; then its work is over and so is the phase.
  assert.ok(requests.length <= 1 && loads.length <= 1, `two pieces of work at once:\n${told()}`);
  if (asking.phase === "idle") assert.equal(requests.length, 0, `idle while something runs:\n${told()}`);
  else assert.ok(requests.length === 1 && requests[0].number === asking.request, `nothing runs that could end this:\n${told()}`);
  if (asking.pictures === "none") assert.equal(loads.length, 0, `pictures come that nobody waits for:\n${told()}`);
  else assert.ok(loads.length === 1 && loads[0].number === asking.load, `nothing comes that is waited for:\n${told()}`);
  assert.equal(asking.held !== "", asking.pictures === "held", told());
};

test("3,000 random sequences: one piece of work at a time, none is lost, all come to rest", () => {
  for (let seed = 1; seed <= 3000; seed++) play(generator(seed).below);
});

test("every transition of both tables is taken", () => {
  const taken = new Set();
  const all = new Set();
  for (const [phase, row] of Object.entries(REQUEST)) {
    for (const name of Object.keys(row)) all.add(`${phase} ${name}`);
  }
  for (const [phase, row] of Object.entries(PICTURES)) {
    for (const name of Object.keys(row)) all.add(`${phase} ${name}`);
  }
  const names = [...new Set([...all].map((key) => key.split(" ")[1]))];
  for (let seed = 1; seed <= 300; seed++) {
    const random = generator(seed).below;
    let asking = IDLE;
    for (let i = 0; i < 60; i++) {
      const name = names[random(names.length)];
      const load = name === "shown" || name === "refused";
      const { asking: next } = step(asking, { name, number: load ? asking.load : asking.request, question: `${i}?` });
      if (REQUEST[asking.phase][name] && !(name === "ask" && asking.pictures !== "none")) taken.add(`${asking.phase} ${name}`);
      if (PICTURES[asking.pictures][name]) taken.add(`${asking.pictures} ${name}`);
      asking = next;
    }
  }
  assert.deepEqual([...taken].sort(), [...all].sort());
});

test("what Stop can end, it ends", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = generator(seed).below;
    let asking = IDLE;
    for (let i = 0; i < 30; i++) {
      ({ asking } = step(asking, { name: [...VISITOR, "message"][random(5)], number: asking.request, question: `${i}?` }));
      const { asking: stopped, effects } = step(asking, { name: "stop" });
      assert.equal(effects.includes("stop") || effects.includes("drop"), stoppable(asking));
      assert.equal(stopped.pictures, "none");
      assert.equal(stoppable(stopped), false);
    }
  }
});

test("a question waits for the pictures on their way, and is asked once", () => {
  let { asking } = step(IDLE, { name: "pictures" });
  ({ asking } = step(asking, { name: "ask", question: "What?" }));
  assert.deepEqual([asking.pictures, asking.held], ["held", "What?"]);
  const shown = step(asking, { name: "shown", number: asking.load });
  assert.deepEqual([shown.asking.phase, shown.asking.question, shown.effects], ["asking", "What?", ["ask"]]);
  const refused = step(asking, { name: "refused", number: asking.load });
  assert.deepEqual([refused.asking.phase, refused.asking.pictures, refused.effects], ["idle", "none", []]);
});

test("what runs goes on until other pictures are there", () => {
  let { asking } = step(IDLE, { name: "ask", question: "What?" });
  ({ asking } = step(asking, { name: "pictures" }));
  assert.equal(step(asking, { name: "refused", number: 1 }).asking.phase, "asking");
  const { asking: shown, effects } = step(asking, { name: "shown", number: 1 });
  assert.deepEqual([shown.phase, effects], ["idle", ["abort"]]);
});

test("the same question twice is a slip of the finger, another one is not", () => {
  const { asking } = step(IDLE, { name: "ask", question: "What?" });
  assert.deepEqual(step(asking, { name: "ask", question: "What?" }), { asking, effects: [] });
  assert.deepEqual(step(asking, { name: "ask", question: "Where?" }).effects, ["abort", "ask"]);
});
