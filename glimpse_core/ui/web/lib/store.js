// One state for the page. What happens is an action; the reducer makes the next state from it, and a watcher
// is notified when the part of the state that it selects has changed.

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
  let notifying = false;
  let changed = false;

  // An action that is dispatched while watchers are notified has a round of its own afterwards: none sees states out of order.
  const notify = () => {
    changed = true;
    if (notifying) return;
    notifying = true;
    try {
      while (changed) {
        changed = false;
        for (const listener of [...listeners]) listener();
      }
    } finally {
      notifying = false;
    }
  };

  return {
    get: () => state,
    dispatch: (action) => {
      const next = reducer(state, action);
      if (next === state) return;
      state = next;
      notify();
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
