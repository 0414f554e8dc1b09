// The color map: its ends, its order of brightness, and how much of the picture it covers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { heatAlpha, heatColor, heatTable, STOPS } from "../../glimpse_core/ui/web/lib/colors.js";

const luminance = ([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue;

test("the map runs through its stops and holds its ends", () => {
  STOPS.forEach((stop, i) => assert.deepEqual(heatColor(i / (STOPS.length - 1)), [...stop]));
  assert.deepEqual(heatColor(-1), [0, 34, 78]);
  assert.deepEqual(heatColor(7), [253, 231, 55]);
  assert.deepEqual(heatColor(0.5 / 9), [9, 44, 95]); // the middle of the first two stops
});

test("more relevance is never darker", () => {
  for (let i = 1; i <= 255; i++) {
    assert.ok(luminance(heatColor(i / 255)) >= luminance(heatColor((i - 1) / 255)) - 0.5, `step ${i}`);
  }
});

test("what does not matter is not covered, and what does leaves the picture visible", () => {
  assert.equal(heatAlpha(0, 1), 0);
  assert.ok(heatAlpha(1, 1) > 0.5 && heatAlpha(1, 1) <= 0.8);
  assert.ok(heatAlpha(0.02, 1) < 0.15);
  for (let i = 1; i <= 100; i++) assert.ok(heatAlpha(i / 100, 0.8) > heatAlpha((i - 1) / 100, 0.8));
  assert.equal(heatAlpha(0.5, 0), 0);
  assert.equal(heatAlpha(2, 1), heatAlpha(1, 1));
});

test("the table has the map's colors in the order of an ImageData", () => {
  const table = heatTable(0.8);
  assert.equal(table.length, 1024);
  for (const i of [0, 1, 100, 255]) {
    assert.deepEqual([...table.slice(4 * i, 4 * i + 3)], heatColor(i / 255));
    assert.ok(Math.abs(table[4 * i + 3] - 255 * heatAlpha(i / 255, 0.8)) <= 0.5);
  }
});
