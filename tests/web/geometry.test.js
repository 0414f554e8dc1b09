// Tokens on the grid and on the canvas: padded frames, extreme shapes, strokes without gaps, borders.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  areaOf, aspectOf, bordersOf, cellAt, cellBeside, edgesOf, fit, isShown, keptRunsOf, lineBetween, offsetOf, placeOf,
} from "../../glimpse_core/ui/web/state/geometry.js";
import { generator } from "./random.js";

const WHOLE = { rows: 4, cols: 6 };
const WIDE = { rows: 4, cols: 4, frame: [0, 1 / 3, 1, 2 / 3] }; // a picture of 3 : 1, padded to a square: rows 1.33 to 2.67
const TALL = { rows: 4, cols: 4, frame: [0.33, 0, 0.66, 1] }; // columns 1.32 to 2.64

test("a picture without padding covers its grid", () => {
  assert.deepEqual(areaOf(WHOLE), { left: 0, top: 0, width: 6, height: 4, rows: [0, 4], cols: [0, 6] });
  assert.ok([...Array(24).keys()].every((cell) => isShown(areaOf(WHOLE), 6, cell)));
});

test("of a padded picture only the tokens that it touches are shown", () => {
  const shown = (picture) => [...Array(16).keys()].filter((cell) => isShown(areaOf(picture), 4, cell));
  assert.deepEqual(areaOf(WIDE).rows, [1, 3]);
  assert.deepEqual(shown(WIDE), [4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual(areaOf(TALL).cols, [1, 3]);
  assert.deepEqual(shown(TALL), [1, 2, 5, 6, 9, 10, 13, 14]);
});

test("a frame that ends on a token's border, but for rounding, does not touch the next token", () => {
  const third = { rows: 3, cols: 3, frame: [0, 1 / 3 - 1e-9, 1, 2 / 3 + 1e-9] };
  assert.deepEqual(areaOf(third).rows, [1, 2]);
});

test("the aspect is that of the shown tokens, and of the pixels before there is a grid", () => {
  assert.equal(aspectOf({ ...WHOLE, width: 10, height: 10 }), 1.5);
  assert.ok(Math.abs(aspectOf({ ...WIDE, width: 10, height: 10 }) - 3) < 1e-9);
  assert.equal(aspectOf({ rows: 0, cols: 0, width: 30, height: 20 }), 1.5);
});

test("offsets count the tokens of the pictures before", () => {
  const pictures = [WHOLE, WIDE, TALL];
  assert.deepEqual([0, 1, 2].map((index) => offsetOf(pictures, index)), [0, 24, 40]);
});

test("every place of the canvas belongs to a shown token, whose edges lie around it", () => {
  const random = generator(3);
  for (const picture of [WHOLE, WIDE, TALL]) {
    const area = areaOf(picture);
    const [width, height] = [317, 211];
    const x = edgesOf(area.left, area.width, picture.cols, width);
    const y = edgesOf(area.top, area.height, picture.rows, height);
    assert.equal(x.length, picture.cols + 1);
    assert.deepEqual([x[0], x.at(-1), y[0], y.at(-1)], [0, width, 0, height]);
    for (let i = 0; i < 500; i++) {
      const [across, down] = [random.float(), random.float()];
      const cell = cellAt(area, picture.cols, across, down);
      const [row, col] = placeOf(cell, picture.cols);
      assert.ok(isShown(area, picture.cols, cell));
      assert.ok(x[col] - 1 <= across * width && across * width <= x[col + 1] + 1, `${across} of column ${col}`);
      assert.ok(y[row] - 1 <= down * height && down * height <= y[row + 1] + 1, `${down} of row ${row}`);
    }
  }
});

test("beside the canvas there is no token", () => {
  const area = areaOf(WHOLE);
  for (const [x, y] of [[-0.01, 0.5], [1, 0.5], [0.5, -0.01], [0.5, 1]]) assert.equal(cellAt(area, 6, x, y), null);
  assert.equal(cellAt(area, 6, 0.9999, 0.9999), 23);
});

test("arrow keys stay on what is shown", () => {
  const area = areaOf(TALL);
  assert.equal(cellBeside(area, 4, 5, 0, 1), 6);
  assert.equal(cellBeside(area, 4, 6, 0, 1), 6);
  assert.equal(cellBeside(area, 4, 5, 0, -1), 5);
  assert.equal(cellBeside(area, 4, 1, -1, 0), 1);
  assert.equal(cellBeside(area, 4, 1, 1, 0), 5);
});

test("a stroke has no gaps, no token twice, and both ends", () => {
  const random = generator(5);
  const cols = 23;
  for (let i = 0; i < 2000; i++) {
    const [from, to] = [random.below(23 * 17), random.below(23 * 17)];
    const cells = lineBetween(from, to, cols);
    assert.equal(cells[0], from);
    assert.equal(cells.at(-1), to);
    assert.equal(new Set(cells).size, cells.length);
    for (let step = 1; step < cells.length; step++) {
      const [[row, col], [lastRow, lastCol]] = [placeOf(cells[step], cols), placeOf(cells[step - 1], cols)];
      assert.ok(Math.abs(row - lastRow) <= 1 && Math.abs(col - lastCol) <= 1, `${from} to ${to}: ${cells}`);
    }
  }
});

test("any shape fits its box, in its proportions, as large as it can be", () => {
  for (const [width, height, aspect] of [[620, 400, 200 / 3000], [620, 400, 3000 / 200], [620, 400, 1], [390, 300, 1.4], [301.5, 299.5, 1.01]]) {
    const [across, down] = fit(width, height, aspect);
    assert.ok(across <= width && down <= height && across >= 1 && down >= 1, `${across} x ${down}`);
    assert.ok(across > width - 1.01 || down > height - 1.01, `${across} x ${down} is smaller than it could be`);
    assert.ok(Math.abs(across - down * aspect) <= Math.max(1, aspect), `${across} x ${down} is not ${aspect}`);
  }
  assert.deepEqual(fit(620, 400, 200 / 3000), [27, 400]);
  assert.deepEqual(fit(100, 100, 1000), [100, 1]);
});

/** Every single edge between a kept and a dropped token, looked at one by one. */
const edgesOneByOne = (mask, start, cols, area) => {
  const on = (row, col) =>
    row >= area.rows[0] && row < area.rows[1] && col >= area.cols[0] && col < area.cols[1] ? mask[start + row * cols + col] : 0;
  const edges = new Set();
  for (let row = area.rows[0] - 1; row <= area.rows[1]; row++) {
    for (let col = area.cols[0] - 1; col <= area.cols[1]; col++) {
      if (on(row, col) !== on(row - 1, col)) edges.add(`across ${row} ${col}`);
      if (on(row, col) !== on(row, col - 1)) edges.add(`down ${col} ${row}`);
    }
  }
  return edges;
};

test("borders are the edges between kept and dropped tokens, in runs that do not touch", () => {
  const random = generator(8);
  for (let i = 0; i < 400; i++) {
    const picture = random.pick([WHOLE, WIDE, TALL, { rows: 1, cols: 1 }, { rows: 1, cols: 7 }]);
    const [area, start] = [areaOf(picture), random.below(9)];
    const dense = random.float();
    const mask = Uint8Array.from({ length: start + picture.rows * picture.cols + 4 }, () => Number(random.float() < dense));
    const { across, down } = bordersOf(mask, start, picture.cols, area);
    const found = [];
    for (const [name, runs] of [["across", across], ["down", down]]) {
      for (const [line, from, to] of runs) for (let place = from; place < to; place++) found.push(`${name} ${line} ${place}`);
      for (const [line, , to] of runs) assert.ok(!runs.some(([other, from]) => other === line && from === to), "two runs touch");
    }
    assert.equal(new Set(found).size, found.length);
    assert.deepEqual(new Set(found), edgesOneByOne(mask, start, picture.cols, area));
  }
});

test("runs of kept tokens are the kept ones of the picture that are shown, each once", () => {
  const random = generator(9);
  for (let i = 0; i < 400; i++) {
    const picture = random.pick([WHOLE, WIDE, TALL, { rows: 1, cols: 1 }, { rows: 5, cols: 1 }]);
    const [area, start, dense] = [areaOf(picture), random.below(9), random.float()];
    const count = picture.rows * picture.cols;
    const mask = Uint8Array.from({ length: start + count + 4 }, () => Number(random.float() < dense));
    const found = keptRunsOf(mask, start, picture.cols, area).flatMap(([row, from, to]) =>
      Array.from({ length: to - from }, (_, at) => row * picture.cols + from + at),
    );
    const expected = [...Array(count).keys()].filter((cell) => mask[start + cell] && isShown(area, picture.cols, cell));
    assert.deepEqual(found.sort((a, b) => a - b), expected);
  }
});
