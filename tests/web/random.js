// Random numbers that are the same in every run.

/** @param {number} seed @returns {{ float: () => number, below: (end: number) => number, pick: <T>(items: readonly T[]) => T }} */
export const generator = (seed) => {
  let state = seed >>> 0;
  const float = () => { // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end) => Math.floor(float() * end);
  return { float, below, pick: (items) => items[below(items.length)] };
};
