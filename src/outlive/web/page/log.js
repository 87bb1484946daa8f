// The log on the page: draws what a Terminal has, keeps the document small, and follows the end
// only while the reader is there.

import { count, el, say } from "./common.js";
import { BOLD, DIM, HIDDEN, INVERSE, ITALIC, STRIKE, UNDERLINE } from "./styles.js";
import { Terminal, spansOf } from "./terminal.js";

const KEEP = 5000;
const PAUSED_KEEP = 10000;      // while someone reads nothing is taken away, so there is a second bound
const CHUNK_LINES = 200, CHUNK_SIZE = 100000;
const FLAGS = [[BOLD, "b"], [DIM, "d"], [ITALIC, "i"], [UNDERLINE, "u"], [STRIKE, "s"], [HIDDEN, "h"]];
const LEVELS = { DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error", CRITICAL: "error" };

/** The log of one run in the page. */
export class Log {
  constructor({ log, top, resume, empty }) {
    Object.assign(this, { log, top, resume, empty });
    empty.hidden = false; // without JavaScript it would stand there for ever
    this.terminal = new Terminal({ keep: KEEP });
    this.following = true;
    this.frozen = false;
    this.y = 0;
    this.reset();
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("wheel", (event) => event.deltaY < 0 && scrollY > 0 && this.#pause(), { passive: true });
    addEventListener("resize", () => this.stick());
    new ResizeObserver(() => this.stick()).observe(document.body);
    document.addEventListener("selectionchange", () => this.#selecting() && this.#pause());
    resume.addEventListener("click", () => this.follow());
  }

  /** The stream begins at this line of the journal. */
  begin(number) { this.terminal = new Terminal({ keep: KEEP, number }); this.reset(); }

  reset() {
    this.chunks = [];
    this.elements = new Map();
    this.next = null;            // the number of the first line that is not on the page
    this.seen = 0;
    this.log.replaceChildren();
  }

  /** Takes the text of an entry, whose kind, level and origin mark its lines. */
  write(text, entry) {
    const { kind, origin, level, logger } = entry;
    if (origin !== (this.origin ??= origin)) this.log.classList.add("several");
    this.terminal.write(text, `${kind} ${origin}`, { kind, origin, level, logger });
    this.schedule();
  }

  mark(row) { this.terminal.mark(row); this.schedule(); }

  gap(text, lines) { this.terminal.cutOff(lines); this.mark({ kind: "gap", text }); }

  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.#draw();
    });
  }

  /** Goes to the end and stays there. */
  follow() {
    getSelection().removeAllRanges();
    this.following = true;
    if (this.frozen) this.#redraw();
    this.#draw();
    this.stick();
  }

  /** Keeps the end in view, if that is where the reader is. */
  stick() {
    if (!this.following) return;
    scrollTo(0, document.documentElement.scrollHeight);
    this.y = scrollY;
  }

  // ---- following

  #pause() {
    if (!this.following || document.documentElement.scrollHeight <= innerHeight) return;
    this.following = false;
    this.seen = this.terminal.number;
    this.log.classList.add("paused");
    this.#button();
  }

  // Upwards, however little, is the reader's wish; at the end, coming from above, it is to follow again.
  #scrolled() {
    const rest = document.documentElement.scrollHeight - innerHeight - scrollY;
    if (this.following && scrollY < this.y - 1 && rest > 1) this.#pause();
    else if (!this.following && scrollY >= this.y && rest < 24 && !this.#selecting()) this.follow();
    this.y = scrollY;
  }

  #selecting() {
    const selection = getSelection();
    return !selection.isCollapsed && this.log.contains(selection.anchorNode);
  }

  #button() {
    this.resume.hidden = this.following;
    const fresh = this.terminal.number - this.seen;
    say(this.resume, fresh > 0 ? `${count(fresh, "new line")} ↓` : "To the end ↓");
  }

  // ---- drawing

  #draw() {
    if (!this.frozen) {
      const { first, tail, lines } = this.terminal.drain();
      // What came since the last frame may be more than is kept: then the page starts anew at what is there.
      if (this.next !== null && first > this.next) this.following ? this.reset() : this.frozen = true;
      if (!this.following && this.elements.size + lines.length > PAUSED_KEEP) this.frozen = true;
      if (!this.frozen) {
        for (const line of lines) this.#place(line, tail);
        if (this.following) this.#trim(first);
        this.log.classList.toggle("paused", !this.following);
        this.stick();
      }
    }
    this.#earlier();
    this.#button();
    this.empty.hidden = this.elements.size > 1 || Boolean(this.log.textContent);
  }

  #redraw() {
    this.frozen = false;
    this.reset();
    for (const line of this.terminal.lines) this.terminal.touch(line);
  }

  #place(line, tail) {
    const old = this.elements.get(line.n);
    const element = render(line, tail);
    if (old) return old.replaceWith(element), this.elements.set(line.n, element);
    if (this.next !== null && line.n < this.next) return;
    let chunk = this.chunks.at(-1);
    if (!chunk || chunk.count >= CHUNK_LINES || chunk.size >= CHUNK_SIZE) {
      chunk?.element.classList.add("full");
      chunk = { element: el("div", { className: "chunk" }), count: 0, size: 0, first: line.n, number: line.number };
      this.chunks.push(chunk);
      this.log.append(chunk.element);
    }
    chunk.element.append(element);
    chunk.count++;
    chunk.size += line.size;
    this.elements.set(line.n, element);
    this.next = line.n + 1;
  }

  // Whole chunks go, so that the browser drops a subtree and not a thousand lines.
  #trim(first) {
    while (this.chunks.length > 1 && this.chunks[1].first <= first) {
      const chunk = this.chunks.shift();
      for (let n = chunk.first; n < chunk.first + chunk.count; n++) this.elements.delete(n);
      chunk.element.remove();
    }
  }

  #earlier() {
    const before = (this.chunks[0]?.number ?? 1) - 1;
    this.top.hidden = before <= 0;
    if (before > 0) say(this.top.firstElementChild, count(before, "earlier line"));
  }
}

function render(line, tail) {
  const element = el("div", { className: "line" });
  if (line.tag) label(element, line.tag);
  if (line.marks) element.append(...marks(line.marks));
  if (line.tag.origin) element.append(origin(line.tag));
  for (const { text, style } of spansOf(line)) element.append(span(text, style));
  if (line.cut) element.append(el("span", { className: "cut" }, `… ${count(line.cut, "more character")} of this line: see the plain text`));
  if (line.n < tail) element.append("\n");
  return element;
}

// Shown only where a run has several; as content of the style sheet, so that it is not copied with the text.
function origin({ origin: number }) {
  const element = el("span", { className: `origin from${number % 6}` });
  element.dataset.origin = number;
  return element;
}

function label(element, { kind, level, logger }) {
  if (kind === "err") element.classList.add("err");
  if (kind === "log") element.classList.add("log", LEVELS[level] ?? "info");
  const title = kind === "err" ? "standard error" : kind === "log" ? [level, logger].filter(Boolean).join(" · ") : "";
  if (title) element.title = title;
}

function marks({ dropped, rows }) {
  const elements = rows.map((row) => el("div", { className: `mark ${row.kind}` }, row.text ?? "screen cleared"));
  if (dropped) elements.unshift(el("div", { className: "mark" }, `${count(dropped, "earlier event")} not shown here`));
  return elements;
}

function span(text, style) {
  let { fg, bg, flags, link } = style;
  if (fg === null && bg === null && !flags && !link) return document.createTextNode(text);
  const element = link ? el("a", { href: link, rel: "noopener noreferrer", target: "_blank" }, text) : el("span", {}, text);
  const classes = FLAGS.filter(([flag]) => flags & flag).map(([, name]) => name);
  if (flags & INVERSE) {
    if (bg === null) classes.push("inverse");
    else [fg, bg] = [bg, fg ?? "ink"];
  }
  color(element, classes, fg, bg);
  element.className = classes.join(" ");
  return element;
}

// The sixteen are classes, tuned for light and dark; on a background of its own a colour is taken as it is.
function color(element, classes, fg, bg) {
  if (bg !== null) classes.push("on");
  if (typeof fg === "number") classes.push(`f${fg}`);
  else if (fg !== null) {
    classes.push("rgb");
    element.style.setProperty("--rgb", fg);
  }
  if (bg === "ink" || typeof bg === "number") classes.push(`g${bg}`);
  else if (bg !== null) {
    if (fg === null) classes.push(isLight(bg) ? "black" : "white");
    element.style.backgroundColor = bg;
  }
}

function isLight(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return r * 0.299 + g * 0.587 + b * 0.114 > 140;
}
