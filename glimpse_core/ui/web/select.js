// The engine's selection rule (glimpse_core/select.py), bit for bit: float32 probabilities in, mask and reasons out.
// torch compares a float32 tensor with a Python number after rounding that number to float32, hence Math.fround.
const REASONS = [
  "dropped by the threshold",
  "kept by the threshold",
  "dropped by the cap",
  "kept by the floor",
  "kept as an anchor",
  "painted in",
  "erased",
];

// Token indices from the most to the least probable; of equals the earlier one first.
const rankTokens = (probabilities) => {
  const order = Array.from(probabilities.keys());
  return order.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
};

const cornerTokens = (anchors, { rows, cols }) => {
  const corners = { tl: 0, tr: cols - 1, bl: (rows - 1) * cols, br: rows * cols - 1 };
  return anchors.map((name) => corners[name]);
};

// settings: threshold (0..1), ratio (share of tokens kept at most, or null), floor (tokens kept at least), anchors
// (corners, which need the grid {rows, cols} of a single picture).
const selectTokens = (probabilities, settings, order = rankTokens(probabilities), grid = null) => {
  const count = probabilities.length;
  const threshold = Math.fround(settings.threshold);
  const mask = new Uint8Array(count);
  const reason = new Uint8Array(count);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    if (probabilities[i] > threshold) {
      mask[i] = reason[i] = 1;
      kept++;
    }
  }
  const { ratio, floor, anchors = [] } = settings;
  if (ratio !== null && count && Math.fround(kept / count) > Math.fround(ratio)) {
    const limit = Math.trunc(ratio * count);
    for (const index of order.slice(limit)) {
      if (mask[index]) {
        mask[index] = 0;
        reason[index] = 2;
      }
    }
    kept = limit;
  }
  const add = (index, why) => {
    if (mask[index]) return;
    mask[index] = 1;
    reason[index] = why;
    kept++;
  };
  if (kept < floor) order.slice(0, floor).forEach((index) => add(index, 3));
  if (grid && grid.rows) cornerTokens(anchors, grid).forEach((index) => add(index, 4));
  return { mask, reason, kept };
};

// A person's last word: strokes is a Map of token -> keep.
const paintTokens = ({ mask, reason, kept }, strokes) => {
  for (const [index, on] of strokes) {
    kept += Number(on) - mask[index];
    mask[index] = Number(on);
    reason[index] = on ? 5 : 6;
  }
  return { mask, reason, kept };
};
