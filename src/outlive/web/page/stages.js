// What is known of a run's stages, and which of them are worth a row. No DOM here.

const KNOWN = 2000;            // identities that are remembered; of more, the first that were done are only counted
const DEEPEST = 4;             // how far stages are indented; it also ends a circle of parents

/** The stages of one run, from its entries. */
export class Stages {
  constructor() {
    this.all = new Map();
    this.names = new Map();
    this.forgotten = 0;
    this.moves = 0;
  }

  /** Takes one entry, returns its stage; one that comes again after it was done begins anew. */
  take(entry) {
    const { origin = 0, parent = null, done } = entry;
    const name = String(entry.name);
    const key = JSON.stringify([origin, parent, name]);
    const at = Date.parse(entry.time);
    let stage = this.all.get(key);
    if (!stage || (stage.done && !done)) {
      this.all.delete(key);
      stage = { key, origin, parent, name, began: at, first: amount(entry.current) ?? 0, moved: false };
      this.all.set(key, stage);
      // A bar may be called as the stage around it.
      if (parent !== name) this.names.set(JSON.stringify([origin, name]), stage);
    } else stage.moved = true;
    stage.moved ||= entry.current > 0;
    Object.assign(stage, { current: amount(entry.current), total: amount(entry.total), unit: entry.unit, done: Boolean(done), at, move: ++this.moves });
    if (this.all.size > KNOWN) this.#forget();
    return stage;
  }

  get open() { return [...this.all.values()].filter((stage) => !stage.done); }

  get done() { return [...this.all.values()].filter((stage) => stage.done); }

  /** Its ancestors, the outermost first, and itself. */
  path(stage) {
    const path = [stage];
    for (let up = this.#parentOf(stage); up && !path.includes(up) && path.length <= DEEPEST; up = this.#parentOf(up)) path.unshift(up);
    return path;
  }

  /** Where the run is: in the stage that went on last, and those around it; the outermost first. */
  get place() {
    const active = new Set(this.#active());
    let last = latest([...active]);
    // Who leaves a stage tells last how far those around it came: it is still in the one that came last within.
    for (let depth = 0, within = last; active.has(within) && depth < DEEPEST; depth++) {
      last = within;
      within = latest([...this.all.values()].filter((stage) => this.#parentOf(stage) === last));
    }
    return last ? this.path(last) : [];
  }

  /** At most `limit` open stages: those that go on before those that wait, and always the same, lest they take turns. */
  pick(limit) {
    const { open } = this;
    const active = new Set(this.#active().flatMap((stage) => this.path(stage)));
    return this.inOrder([...open.filter((stage) => active.has(stage)), ...open.filter((stage) => !active.has(stage))].slice(0, limit));
  }

  // Open stages, but not those that were announced before their turn: of these there are several.
  #active() {
    const { open } = this, waiting = new Map();
    const family = ({ origin, parent }) => JSON.stringify([origin, parent]);
    for (const stage of open) if (!stage.moved) waiting.set(family(stage), (waiting.get(family(stage)) ?? 0) + 1);
    return open.filter((stage) => stage.moved || waiting.get(family(stage)) === 1);
  }

  /** Each behind its parent, otherwise as they began; with how deep they are among these. */
  inOrder(some) {
    const places = new Map([...this.all.values()].map((stage, place) => [stage, place]));
    const rows = some.map((stage) => {
      const path = this.path(stage);
      return { stage, depth: path.length - 1, places: path.map((one) => places.get(one)) };
    });
    return rows.sort((a, b) => compare(a.places, b.places));
  }

  // A parent is known by name alone: of several it is the one that began last.
  #parentOf({ origin, parent }) {
    return parent === null ? null : this.names.get(JSON.stringify([origin, parent])) ?? null;
  }

  #forget() {
    let [stage] = this.all.values();
    for (const one of this.all.values()) {
      if (!one.done) continue;
      stage = one;
      break;
    }
    const name = JSON.stringify([stage.origin, stage.name]);
    this.all.delete(stage.key);
    if (this.names.get(name) === stage) this.names.delete(name);
    if (stage.done) this.forgotten++;
  }
}

/** How far a stage is, from 0 to 1; null where nobody knows. */
export function share({ current, total, done }) {
  return total > 0 ? Math.min(Math.max((current ?? 0) / total, 0), 1) : done ? 1 : null;
}

/** The milliseconds that a stage will take from `now` on, if it goes on as it did; null where that would be a guess. */
export function remaining({ began, first, at, current, total, done }, now) {
  const made = (current ?? 0) - first, spent = at - began;
  if (done || !(total > current) || made <= 0 || spent < 2000) return null;
  return Math.max(0, spent / made * (total - current) - (now - at));
}

const BYTES = ["B", "KB", "MB", "GB", "TB"];

/** `40 / 100 rows`, `1.5 / 5 MB`, `7 files`; nothing where nothing is counted, or percent alone, which are said beside. */
export function figures({ current, total, unit }) {
  if (total === null ? !current && !unit : unit === "%") return "";
  const numbers = [current, total].filter((number) => number !== null);
  if (!numbers.length) return "";
  if (/^(B|bytes?)$/.test(unit)) {
    const power = Math.min(Math.max(Math.floor(Math.log10(Math.max(...numbers, 1)) / 3), 0), BYTES.length - 1);
    return `${numbers.map((number) => digits(number / 1000 ** power)).join(" / ")} ${BYTES[power]}`;
  }
  return `${numbers.map(digits).join(" / ")}${unit && unit !== "it" ? ` ${unit}` : ""}`;
}

function digits(number) { return number.toLocaleString("en", { maximumFractionDigits: number < 100 ? 1 : 0 }); }

function amount(value) { return Number.isFinite(value) ? value : null; }

function latest(stages) { return stages.reduce((a, b) => (a && a.move > b.move ? a : b), null); }

function compare(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
