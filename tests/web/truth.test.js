// Counts of the demo world are explained, everything else speaks for itself.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { truthNote } from "../../glimpse_core/ui/web/state/truth.js";

test("counts are explained", () => {
  assert.match(truthNote("I see red: 1."), /^That is 1: this model counts aloud/);
  assert.match(truthNote("I see red, green, orange, yellow: 4."), /^That is 4: /);
  assert.match(truthNote("I see none: 0."), /^That is 0: /);
  for (const plain of ["It says 4: 1.", "I see a red boat, a blue star.", "There is a red boat: yes.", "", null, undefined]) assert.equal(truthNote(plain), "");
});

test("of all examples, exactly the questions about numbers", () => {
  const examples = JSON.parse(readFileSync(new URL("../../assets/examples/examples.json", import.meta.url), "utf8"));
  for (const { question, answer } of examples.flatMap(({ questions }) => questions)) {
    assert.equal(Boolean(truthNote(answer)), /^(Count|How many)/.test(question), question);
  }
});
