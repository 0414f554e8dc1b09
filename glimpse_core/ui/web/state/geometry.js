// Where tokens lie: on the grid, among those of all pictures, and on a canvas that shows the picture without its padding.

/** @import { Picture } from "../types" */

/**
 * The part of its token grid that a picture covers, in tokens, and the rows and columns that it touches, [first, end). A
 * model that pads pictures to a square has tokens beside it: they count like all others, but nothing of them is shown.
 * @typedef {{ left: number, top: number, width: number, height: number, rows: [number, number], cols: [number, number] }} Area
 */

/** @param {number} low @param {number} high @param {number} count @returns {[number, number]} */
const touched = (low, high, count) => [Math.floor(low * count + 1e-6), Math.ceil(high * count - 1e-6)];

/**
 * @param {Pick<Picture, "rows" | "cols" | "frame">} picture
 * @returns {Area}
 */
export const areaOf = ({ rows, cols, frame: [left, top, right, bottom] = [0, 0, 1, 1] }) => ({
  left: left * cols,
  top: top * rows,
  width: (right - left) * cols,
  height: (bottom - top) * rows,
  rows: touched(top, bottom, rows),
  cols: touched(left, right, cols),
});

/**
 * Width over height of what the stage shows of a picture: of its pixels before there is a grid.
 * @param {Pick<Picture, "rows" | "cols" | "frame" | "width" | "height">} picture
 */
export const aspectOf = (picture) => {
  if (!picture.rows) return picture.width / picture.height;
  const { width, height } = areaOf(picture);
  return width / height;
};

/**
 * How many tokens the pictures before this one have.
 * @param {readonly Pick<Picture, "rows" | "cols">[]} pictures @param {number} index
 */
export const offsetOf = (pictures, index) => pictures.slice(0, index).reduce((sum, { rows, cols }) => sum + rows * cols, 0);

/** @param {number} value @param {readonly [number, number]} range first and end */
export const within = (value, [first, end]) => Math.min(end - 1, Math.max(first, value));

/** @param {number} cell @param {number} cols @returns {[number, number]} row and column */
export const placeOf = (cell, cols) => [Math.floor(cell / cols), cell % cols];

/**
 * Whether anything of a token is shown.
 * @param {Area} area @param {number} cols @param {number} cell
 */
export const isShown = (area, cols, cell) => {
  const [row, col] = placeOf(cell, cols);
  return row === within(row, area.rows) && col === within(col, area.cols);
};

/**
 * The token at a place of the canvas, x and y from 0 to 1; null outside of it.
 * @param {Area} area @param {number} cols @param {number} x @param {number} y
 */
export const cellAt = (area, cols, x, y) => {
  if (Math.min(x, y) < 0 || Math.max(x, y) >= 1) return null;
  const row = within(Math.floor(area.top + y * area.height), area.rows);
  return row * cols + within(Math.floor(area.left + x * area.width), area.cols);
};

/**
 * The token some rows and columns away, or the last one before the border of what is shown.
 * @param {Area} area @param {number} cols @param {number} cell @param {number} down @param {number} right
 */
export const cellBeside = (area, cols, cell, down, right) => {
  const [row, col] = placeOf(cell, cols);
  return within(row + down, area.rows) * cols + within(col + right, area.cols);
};

/**
 * Where the columns (or rows) of tokens begin on a canvas, in whole pixels: count + 1 places.
 * @param {number} low first shown part, in tokens @param {number} length shown, in tokens
 * @param {number} count tokens of the grid @param {number} pixels of the canvas
 */
export const edgesOf = (low, length, count, pixels) =>
  Int32Array.from({ length: count + 1 }, (_, at) => Math.round((Math.min(length, Math.max(0, at - low)) * pixels) / length));

/**
 * Every token between two places of a moving pointer, both included, so that a quick stroke has no gaps.
 * @param {number} from @param {number} to @param {number} cols
 */
export const lineBetween = (from, to, cols) => {
  const [[row, col], [lastRow, lastCol]] = [placeOf(from, cols), placeOf(to, cols)];
  const [down, right] = [lastRow - row, lastCol - col];
  const steps = Math.max(1, Math.abs(down), Math.abs(right));
  const cells = new Set([from]);
  for (let step = 1; step <= steps; step++) {
    cells.add((row + Math.round((down * step) / steps)) * cols + col + Math.round((right * step) / steps));
  }
  return [...cells];
};

/**
 * The largest size of a shape that fits a box, in whole pixels, at least one each way.
 * @param {number} width @param {number} height of the box @param {number} aspect width over height of the shape
 * @returns {[number, number]}
 */
export const fit = (width, height, aspect) => {
  const across = Math.min(width, height * aspect);
  const whole = (/** @type {number} */ size, /** @type {number} */ most) => Math.max(1, Math.min(Math.floor(most), Math.round(size)));
  return [whole(across, width), whole(across / aspect, height)];
};

/**
 * The border between kept and dropped tokens as straight runs: [row, first column, end] along the rows and [column, first
 * row, end] along the columns. What lies beside the picture counts as dropped.
 * @param {Uint8Array} mask @param {number} start of the picture's tokens in the mask @param {number} cols @param {Area} area
 */
export const bordersOf = (mask, start, cols, area) => {
  const [[top, bottom], [left, right]] = [area.rows, area.cols];
  const on = (/** @type {number} */ row, /** @type {number} */ col) =>
    row >= top && row < bottom && col >= left && col < right && mask[start + row * cols + col] === 1;
  return {
    across: runsOf([top, bottom], [left, right], (row, col) => on(row, col) !== on(row - 1, col)),
    down: runsOf([left, right], [top, bottom], (col, row) => on(row, col) !== on(row, col - 1)),
  };
};

/**
 * Kept tokens as runs along the rows: [row, first column, end].
 * @param {Uint8Array} mask @param {number} start of the picture's tokens in the mask @param {number} cols @param {Area} area
 */
export const keptRunsOf = (mask, start, cols, { rows: [top, bottom], cols: range }) =>
  runsOf([top, bottom - 1], range, (row, col) => mask[start + row * cols + col] === 1);

/**
 * The places of each line that are meant, as runs: [line, first, end].
 * @param {[number, number]} lines first and last @param {readonly [number, number]} places first and end
 * @param {(line: number, at: number) => boolean} isMeant
 */
const runsOf = ([first, last], [low, high], isMeant) => {
  /** @type {[number, number, number][]} */
  const runs = [];
  for (let line = first; line <= last; line++) {
    let from = -1;
    for (let place = low; place <= high; place++) {
      const meant = place < high && isMeant(line, place);
      if (meant && from < 0) from = place;
      if (!meant && from >= 0) {
        runs.push([line, from, place]);
        from = -1;
      }
    }
  }
  return runs;
};
