// The panel of a run's stages: a bar for each that goes on, one line for those that are done.
//
// Rows come and go with the stages, so the panel keeps the height that it once had until the run ends, and
// fills what is free with stages that were just done: nothing below it moves.

import { count, duration, el, now, say } from "./common.js";
import { Stages, figures, remaining, share } from "./stages.js";

const PAINT = 200;             // milliseconds between two paints
const ROWS = 5, ROWS_SMALL = 3;
const LISTED = 500;
const NAME = 300;              // characters of a name; the row shows fewer

const small = matchMedia("(max-width: 640px), (max-height: 480px)");

/** The stages of one run in the page. */
export class Panel {
  constructor({ panel, bars, finished }) {
    Object.assign(this, { panel, bars, finished });
    this.stages = new Stages();
    this.since = 1;
    this.height = 0;
    this.rows = new Map();
    this.last = -PAINT;
    this.ended = null;
    finished.addEventListener("toggle", () => this.#list());
  }

  take(entry) {
    this.stages.take(entry);
    this.#soon();
  }

  /** The times, once a second. */
  tick() { if (this.rows.size && !this.ended) this.#soon(); }

  /** How the run ended; returns the names of the stages that it was in, the outermost first. */
  end(state) {
    this.ended = state;
    this.place = state === "succeeded" ? [] : this.stages.place;
    this.#soon();
    return this.place.map((stage) => stage.name);
  }

  #soon() {
    this.timer ??= setTimeout(() => this.#paint(), Math.max(0, this.last + PAINT - performance.now()));
  }

  #paint() {
    this.timer = null;
    this.last = performance.now();
    const picked = this.#pick();
    const kept = new Map(picked.map(({ stage, depth }) => [stage, this.#row(stage, depth)]));
    const elements = [...kept.values()].map(({ element }) => element);
    if (elements.length !== this.bars.children.length || elements.some((element, i) => element !== this.bars.children[i])) this.bars.replaceChildren(...elements);
    this.rows = kept;
    this.height = this.ended ? 0 : Math.max(this.height, elements.length);
    this.bars.style.setProperty("--rows", this.height);
    this.#summary();
    this.panel.hidden = this.stages.all.size === 0;
  }

  #pick() {
    const { stages } = this;
    const limit = small.matches ? ROWS_SMALL : ROWS;
    if (this.ended) return stages.inOrder(this.place.slice(-limit));
    const picked = stages.pick(limit);
    const free = Math.min(this.height, limit) - picked.length;
    if (free <= 0) return picked;
    const latest = stages.done.sort((a, b) => b.move - a.move).slice(0, free);
    return stages.inOrder([...picked.map(({ stage }) => stage), ...latest]);
  }

  // A row is made once and then only changed, or its bar would jump instead of move.
  #row(stage, depth) {
    const row = this.rows.get(stage) ?? makeRow(stage);
    const part = share(stage), at = now(), left = remaining(stage, at);
    const stopped = this.ended && !stage.done;
    row.element.className = [`depth${depth}`, stage.done ? "done" : "", stopped ? this.ended : ""].join(" ").trim();
    if (part !== null || stopped) row.bar.value = part ?? 0;
    else row.bar.removeAttribute("value");
    const numbers = figures(stage), percent = stage.total > 0 ? `${Math.floor(100 * part)}%` : "";
    row.bar.ariaValueText = [percent, numbers].filter(Boolean).join(", ") || (stage.done ? "done" : "under way");
    say(row.percent, percent || (stage.done ? "✓" : ""));
    say(row.figures, numbers);
    const spent = duration((stage.done ? stage.at : at) - stage.began, !stage.done);
    say(row.time, stopped ? "" : left === null ? spent : `${spent} · ${duration(left, true)} left`);
    return row;
  }

  #summary() {
    const { stages } = this;
    const done = stages.done.length + stages.forgotten, open = stages.open.length;
    const waits = open > this.rows.size;
    const words = !done && !waits ? "No stage done yet" : waits ? `${done.toLocaleString("en")} of ${count(done + open, "stage")} done` : `${count(done, "stage")} done`;
    say(this.finished.firstElementChild, this.since > 1 ? `${words} since line ${this.since.toLocaleString("en")}` : words);
    this.finished.hidden = Boolean(this.ended) && !done;
    this.#list();
  }

  #list() {
    if (!this.finished.open || this.listed === this.stages.moves) return;
    this.listed = this.stages.moves;
    const rows = this.stages.inOrder(this.stages.done).slice(-LISTED);
    const list = this.finished.lastElementChild;
    const follows = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
    list.replaceChildren(...rows.map(({ stage, depth }) => el("li", { className: `depth${depth}` },
      nameOf(stage), el("span", {}, figures(stage)), el("span", {}, duration(stage.at - stage.began)))));
    if (follows) list.scrollTop = list.scrollHeight;
  }
}

function nameOf({ name }) {
  const text = name.slice(0, NAME);
  return el("span", { className: "name", title: text }, text);
}

function makeRow(stage) {
  const row = {
    name: nameOf(stage),
    bar: el("progress", { max: 1, ariaLabel: stage.name.slice(0, NAME) }),
    percent: el("span", { className: "percent" }),
    figures: el("span", { className: "figures" }),
    time: el("span", { className: "time" }),
  };
  row.element = el("li", {}, ...Object.values(row));
  return row;
}
