// The store: who watches is told when what it looks at has changed, and only then, in order.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createStore } from "../../glimpse_core/ui/web/lib/store.js";

const reducer = (state, { type, value }) => (type in state && state[type] !== value ? { ...state, [type]: value } : state);
const create = () => createStore(reducer, { a: 1, b: 1, c: 1 });

test("a watcher draws at once, and again only when its part changes", () => {
  const store = create();
  const seen = [];
  store.watch(({ a }) => [a], ({ a }) => seen.push(a));
  store.dispatch({ type: "b", value: 2 });
  store.dispatch({ type: "a", value: 2 });
  store.dispatch({ type: "a", value: 2 });
  store.dispatch({ type: "c", value: 5 });
  store.dispatch({ type: "a", value: 3 });
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(store.get(), { a: 3, b: 2, c: 5 });
});

test("NaN does not count as a change, and a shorter or longer selection does", () => {
  const store = create();
  let drawn = 0;
  store.watch(() => [NaN], () => drawn++);
  store.dispatch({ type: "a", value: 2 });
  assert.equal(drawn, 1);
  const lengths = [];
  store.watch(({ b }) => Array(b).fill(0), ({ b }) => lengths.push(b));
  store.dispatch({ type: "b", value: 2 });
  store.dispatch({ type: "b", value: 1 });
  assert.deepEqual(lengths, [1, 2, 1]);
});

test("an action that changes nothing tells nobody", () => {
  const store = create();
  const before = store.get();
  let selected = 0;
  store.watch(() => [selected++], () => {});
  selected = 0;
  store.dispatch({ type: "a", value: 1 });
  store.dispatch({ type: "unknown", value: 1 });
  assert.equal(store.get(), before);
  assert.equal(selected, 0);
});

test("an action that a watcher dispatches reaches every watcher after the one before it", () => {
  const store = create();
  const seen = { first: [], last: [] };
  store.watch(({ a, b }) => [a, b], ({ a, b }) => seen.first.push([a, b]));
  store.watch(({ a }) => [a], ({ a }) => store.dispatch({ type: "b", value: 10 * a }));
  store.watch(({ a, b }) => [a, b], ({ a, b }) => seen.last.push([a, b]));
  seen.first.length = seen.last.length = 0;
  store.dispatch({ type: "a", value: 2 });
  assert.deepEqual(seen.first, [[2, 10], [2, 20]]);
  assert.deepEqual(seen.last, [[2, 20]]); // the newest state only, and once
});

test("no watcher runs inside of another one", () => {
  const store = create();
  let depth = 0;
  const draw = ({ a }) => {
    assert.equal(depth++, 0);
    if (a < 5) store.dispatch({ type: "a", value: a + 1 });
    depth--;
  };
  store.watch(({ a }) => [a], () => {});
  store.watch(({ b }) => [b], (state) => state.b > 1 && draw(state));
  store.watch(({ a, b }) => [a, b], (state) => state.b > 1 && draw(state));
  store.dispatch({ type: "b", value: 2 });
  assert.equal(store.get().a, 5);
});

test("whoever has ended watching is not told any more", () => {
  const store = create();
  let drawn = 0;
  const end = store.watch(({ a }) => [a], () => drawn++);
  end();
  store.dispatch({ type: "a", value: 2 });
  assert.equal(drawn, 1);
});

test("a watcher that fails does not leave the store stuck", () => {
  const store = create();
  const seen = [];
  const end = store.watch(({ a }) => [a], ({ a }) => {
    if (a === 2) throw new Error("broken");
  });
  store.watch(({ a }) => [a], ({ a }) => seen.push(a));
  assert.throws(() => store.dispatch({ type: "a", value: 2 }), /broken/);
  end();
  store.dispatch({ type: "a", value: 3 });
  assert.deepEqual(seen, [1, 3]);
});
