// One state for the page. What happens is an action; the reducer makes the next state from it, and whoever watches a part
// of the state is told when that part has changed.

/**
 * @template S, A
 * @param {(state: S, action: A) => S} reducer
 * @param {S} initial
 * @returns {import("../types").Store<S, A>}
 */
export const createStore = (reducer, initial) => {
  let state = initial;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  let telling = false;
  let changed = false;

  // An action that is dispatched while others are being told is told in a further round: nobody sees states out of order.
  const tell = () => {
    changed = true;
    if (telling) return;
    telling = true;
    try {
      while (changed) {
        changed = false;
        for (const listener of [...listeners]) listener();
      }
    } finally {
      telling = false;
    }
  };

  return {
    get: () => state,
    dispatch: (action) => {
      const next = reducer(state, action);
      if (next === state) return;
      state = next;
      tell();
    },
    watch: (select, draw) => {
      /** @type {readonly unknown[]} */
      let last = select(state);
      const listener = () => {
        const now = select(state);
        if (now.length === last.length && now.every((value, i) => Object.is(value, last[i]))) return;
        last = now;
        draw(state);
      };
      listeners.add(listener);
      draw(state);
      return () => listeners.delete(listener);
    },
  };
};
