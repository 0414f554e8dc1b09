// The tables of transitions in the documentation are those of the machine.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DOCUMENT, filled, markdown } from "../../docs/transitions.js";
import { PICTURES, REQUEST } from "../../glimpse_core/ui/web/state/machine.js";

const text = readFileSync(DOCUMENT, "utf8");

test("both tables are in docs/architecture.md, and up to date: else run node docs/transitions.js", () => {
  assert.equal(filled(text), text);
  for (const table of [REQUEST, PICTURES]) assert.ok(text.includes(markdown(table)));
});

test("a table has one row for each transition, and a changed row is noticed", () => {
  const count = (table) => Object.values(table).reduce((sum, events) => sum + Object.keys(events).length, 0);
  for (const table of [REQUEST, PICTURES]) assert.equal(markdown(table).split("\n").length, 2 + count(table));
  const wrong = text.replace("| `answering` | `stop` | `stopping` |", "| `answering` | `stop` | `idle` |");
  assert.notEqual(wrong, text);
  assert.equal(filled(wrong), text);
});
