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

// settings: threshold (0..1), ratio (share of tokens kept at most, or null), floor (tokens kept at least).
const selectTokens = (probabilities, settings, order = rankTokens(probabilities)) => {
  const count = probabilities.length;
  const threshold = Math.fround(settings.threshold);
  let mask = new Uint8Array(count);
  const reason = new Uint8Array(count);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    if (probabilities[i] > threshold) {
      mask[i] = reason[i] = 1;
      kept++;
    }
  }
  const { ratio, floor } = settings;
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
  if (kept < floor) {
    for (const index of order.slice(0, floor)) {
      if (!mask[index]) {
        mask[index] = 1;
        reason[index] = 3;
        kept++;
      }
    }
  }
  return { mask, reason, kept };
};
