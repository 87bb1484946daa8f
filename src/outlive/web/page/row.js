// One row of the list: made once, and then only changed, so that focus and selection stay.

import { ago, badge, commandOf, el, elapsed, now, outcome, say } from "./common.js";
import { Stages, figures, share } from "./stages.js";

/** A run in the list. */
export class Row {
  constructor(run) {
    this.stages = new Stages();
    this.link = el("a", { href: `runs/${encodeURIComponent(run.id)}` });
    this.state = el("td", { className: "is" });
    this.words = el("span", { className: "stage" });
    this.bar = el("progress", { max: 1, hidden: true });
    this.command = el("code");
    this.error = el("span", { className: "why" });
    this.labels = el("td", { className: "labels" });
    this.took = el("td", { className: "took" });
    this.when = el("time", { dateTime: run.started_at, title: new Date(run.started_at).toLocaleString() });
    this.element = el("tr", {}, this.state, el("td", { className: "title" }, el("div", {}, this.link, this.words), this.command, this.error, this.bar),
      this.labels, this.took, el("td", { className: "when" }, this.when));
    this.update(run);
  }

  /** Shows a record; of the same run, but it may have ended meanwhile. */
  update(run) {
    this.run = run;
    const command = commandOf(run), words = outcome(run), ended = run.state !== "running";
    const labels = Object.entries(run.labels ?? {});
    say(this.link, run.title || command || run.id);
    this.link.title = run.title || command;
    say(this.command, run.title ? command : "");
    say(this.error, run.error ?? "");
    this.state.replaceChildren(badge(run.state), ...(words ? [" ", el("span", { className: "outcome" }, words)] : []));
    this.labels.replaceChildren(...labels.map(([key, value]) => el("span", { className: "label" }, value === "" ? key : `${key}: ${value}`)));
    this.text = [run.title, command, run.id, run.state, words, run.owner, run.error, ...labels.flatMap(([key, value]) => [`${key}=${value}`, `${key}: ${value}`])]
      .join("\n").toLowerCase();
    if (ended) {
      say(this.words, "");
      this.bar.hidden = true;
      this.stages = null;
    }
    this.tick(now());
  }

  /** Takes a stage; `draw` shows it. The activity leaves some out, so that only the last is sure to go on. */
  take(entry) {
    const stage = this.stages?.take(entry);
    if (stage && !stage.done) this.stage = stage;
  }

  /** Shows where the run is, and the outermost there that tells how far it is: that tells most of the whole. */
  draw() {
    if (!this.stage || !this.stages) return;
    const place = this.stages.path(this.stage);
    const measured = place.find((stage) => share(stage) !== null), part = measured ? share(measured) : null;
    const name = place.at(-1).name.slice(0, 100);
    say(this.words, [measured ? `${Math.floor(100 * part)}%` : figures(place.at(-1)), name].filter(Boolean).join(" · "));
    this.bar.hidden = false;
    this.bar.ariaLabel = (measured ?? place[0]).name.slice(0, 100);
    if (part === null) this.bar.removeAttribute("value");
    else this.bar.value = part;
  }

  /** The times, once a second. */
  tick(at) {
    say(this.took, elapsed(this.run, at));
    say(this.when, ago(Date.parse(this.run.started_at), at));
  }

  /** Hides the row unless it has all these words. */
  filter(words) { this.element.hidden = !words.every((word) => this.text.includes(word)); }
}
