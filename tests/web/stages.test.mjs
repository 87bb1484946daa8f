// Run with: node --test tests/web/

import assert from "node:assert/strict";
import test from "node:test";
import { Stages, figures, remaining, share } from "../../src/outlive/web/page/stages.js";

const at = (seconds) => new Date(seconds * 1000).toISOString();
const entry = (name, more = {}) => ({ name, parent: null, current: null, total: null, unit: null, done: false, origin: 0, time: at(0), ...more });
const taken = (...entries) => {
  const stages = new Stages();
  for (const one of entries) stages.take(one);
  return stages;
};
const names = (rows) => rows.map(({ stage, depth }) => `${"-".repeat(depth)}${stage.name}`);

test("stages stand under their parents, in the order in which they began", () => {
  const stages = taken(entry("a"), entry("b"), entry("a1", { parent: "a" }), entry("b1", { parent: "b" }), entry("a2", { parent: "a" }));
  assert.deepEqual(names(stages.pick(9)), ["a", "-a1", "-a2", "b", "-b1"]);
});

test("a stage may be called as its parent", () => {
  const stages = taken(entry("all"), entry("x", { parent: "all" }), entry("x", { parent: "x" }));
  assert.deepEqual(names(stages.pick(9)), ["all", "-x", "--x"]);
  assert.deepEqual(names(taken(entry("x", { parent: "x" })).pick(9)), ["x"]);
});

test("a stage is known by its origin, its parent and its name", () => {
  const stages = taken(entry("x"), entry("x", { origin: 1 }), entry("x", { parent: "p" }), entry("x", { done: true }));
  assert.deepEqual([stages.open.length, stages.done.length], [2, 1]);
  assert.deepEqual(names(taken(entry("p"), entry("x", { parent: "p", origin: 1 })).pick(9)), ["p", "x"]);
});

test("what comes again after it was done begins anew", () => {
  const stages = taken(entry("x", { current: 5, total: 5, done: true }), entry("x", { current: 1, total: 5, time: at(9) }));
  assert.equal(stages.done.length, 0);
  assert.equal(stages.open[0].began, 9000);
});

test("stages that move are shown before those that wait, with their parents", () => {
  const waiting = Array.from({ length: 50 }, (_, i) => entry(`s${i}`, { current: 0, total: 9 }));
  const stages = taken(...waiting, entry("s40", { current: 1, total: 9 }), entry("rows", { parent: "s45", current: 3 }));
  assert.deepEqual(names(stages.pick(4)), ["s0", "s40", "s45", "-rows"]);
  assert.deepEqual(names(stages.pick(1)), ["s40"]);
});

test("the run is where a stage went on last, and not where one only waits", () => {
  const where = (...entries) => taken(...entries).place.map(({ name }) => name);
  assert.deepEqual(where(entry("a"), entry("b", { parent: "a" }), entry("c"), entry("b", { parent: "a", current: 1 }), entry("z")), ["a", "b"]);
  assert.deepEqual(where(entry("a", { current: 1 }), entry("b", { parent: "a" })), ["a", "b"]);
  assert.deepEqual(where(entry("a"), entry("b"), entry("c"), entry("a", { done: true })), []);
  assert.deepEqual(where(entry("a", { done: true })), []);
});

test("the run is still in what came last within a stage that tells how far it came", () => {
  const where = (...entries) => taken(...entries).place.map(({ name }) => name);
  const outer = (current) => entry("a", { current, total: 9 });
  const done = [entry("b", { parent: "a" }), entry("b", { parent: "a", done: true })];
  assert.deepEqual(where(outer(0), ...done, entry("c", { parent: "a" }), outer(1)), ["a", "c"]);
  assert.deepEqual(where(outer(0), entry("c", { parent: "a" }), ...done, outer(1)), ["a"]);
  const circle = [entry("a", { parent: "b" }), entry("b", { parent: "a" }), entry("a", { parent: "b", current: 1 })];
  assert.equal(where(...circle).length, 2);
});

test("parents in a circle, or deep down, end somewhere", () => {
  const circle = taken(entry("a", { parent: "b" }), entry("b", { parent: "a" }), entry("c", { parent: "c" }));
  assert.equal(circle.pick(9).length, 3);
  const deep = taken(...Array.from({ length: 30 }, (_, i) => entry(`${i}`, { parent: `${i - 1}` })));
  assert.ok(deep.pick(99).every(({ depth }) => depth <= 4));
});

test("the number of stages that are remembered is bounded, and the others are counted", () => {
  const stages = new Stages();
  for (let i = 0; i < 5000; i++) stages.take(entry(`${i}`, { done: true }));
  assert.equal(stages.done.length + stages.forgotten, 5000);
  assert.ok(stages.all.size <= 2000 && stages.names.size <= 2000);
  for (let i = 0; i < 5000; i++) stages.take(entry(`open ${i}`));
  assert.ok(stages.all.size <= 2000 && stages.names.size <= 2000);
});

test("numbers that are none are nobody's", () => {
  const [stage] = taken(entry("x", { current: "7", total: NaN })).open;
  assert.deepEqual([stage.current, stage.total, share(stage)], [null, null, null]);
});

test("a share stays between nothing and all", () => {
  assert.equal(share({ current: 7, total: 5 }), 1);
  assert.equal(share({ current: -7, total: 5 }), 0);
  assert.equal(share({ current: 7, total: 0 }), null);
  assert.equal(share({ current: null, total: null, done: true }), 1);
});

test("what remains is what the rate so far tells, once it tells something", () => {
  const begun = entry("x", { current: 10, total: 100, time: at(0) });
  const left = (...entries) => remaining(taken(begun, ...entries).all.values().next().value, 11000);
  assert.equal(left(entry("x", { current: 20, total: 100, time: at(10) })), 79000);
  assert.equal(left(), null);
  assert.equal(left(entry("x", { current: 20, total: 100, time: at(1) })), null);
  assert.equal(left(entry("x", { current: 20, time: at(10) })), null);
  assert.equal(left(entry("x", { current: 100, total: 100, time: at(10) })), null);
  assert.equal(left(entry("x", { current: 99, total: 100, time: at(10) }), entry("x", { current: 99, total: 100, time: at(5) })), 0);
});

for (const [current, total, unit, said] of [
  [40, 100, "rows", "40 / 100 rows"], [null, null, "rows", ""], [7, null, null, "7"], [0, null, null, ""], [41, 100, "%", ""], [41, null, "%", "41 %"], [7, null, "it", "7"],
  [1500000, 72000000, "B", "1.5 / 72 MB"], [0, null, "bytes", "0 B"], [1.25, 2, "", "1.3 / 2"], [12345, 20000, "rows", "12,345 / 20,000 rows"],
]) test(`figures are said as ${said || "nothing"}`, () => assert.equal(figures({ current, total, unit }), said));
