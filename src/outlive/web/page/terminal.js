// A terminal without a screen: text in, styled lines out. No DOM here.
//
// The last WINDOW lines can be redrawn by cursor movements; everything above them is history and final.
// A line is kept as spans while it only grows, and as cells from the moment something overwrites it.

import { blankHalves, joinTo, widthOf } from "./cells.js";
import { INVERSE, PLAIN, STRIKE, UNDERLINE, styled } from "./styles.js";

const WINDOW = 300;            // lines that the cursor can still reach
const SCREEN = 100;            // more lines than this since the last clear: "home" means a new screen
const LINE_CAP = 65536;        // what is kept of one line; a change of style counts SPAN_COST
const SPAN_COST = 16;
const MAX_COLUMN = 400;        // how far a movement, as opposed to text, can take the cursor
const CONTROL_CAP = 256, STRING_CAP = 4096, DROPPED_CAP = 262144;
const MARKS_CAP = 200;
const CHANNELS = 64;
const END = -1;                // the column after the last character of a line that has only grown

const GROUND = 0, ESCAPE = 1, CONTROL = 2, STRING = 3, DROPPED = 4, CHARSET = 5, SKIP = 6;

const GRAPHICS = {
  "`": "◆", a: "▒", f: "°", g: "±", j: "┘", k: "┐", l: "┌", m: "└", n: "┼", o: "⎺", p: "⎻", q: "─", r: "⎼", s: "⎽",
  t: "├", u: "┤", v: "┴", w: "┬", x: "│", y: "≤", z: "≥", "{": "π", "|": "≠", "}": "£", "~": "·",
};

/** One drawn line: `n` counts drawn lines from 0, `number` is the line's number in the journal. */
class Line {
  constructor(n, number) {
    this.n = n;
    this.number = number;
    this.spans = [];
    this.cells = null;
    this.size = 0;
    this.cut = 0;
    this.tag = "";
    this.marks = null;
    this.dirty = true;
  }
}

/** Lines as a terminal would draw them, from text as it comes. */
export class Terminal {
  constructor({ keep = 5000, budget = 2 ** 21, number = 1 } = {}) {
    this.keep = keep;
    this.budget = budget;
    this.number = number;
    this.total = 0;
    this.lines = [new Line(0, number)];
    this.first = 0;             // `n` of lines[0]
    this.row = 0;
    this.col = END;
    this.floor = 0;             // the cursor never goes above this line
    this.home = 0;
    this.saved = null;
    this.tail = 0;
    this.changedFrom = 0;
    this.styles = new Map();
    this.channels = new Map();
    this.parser = this.#channel("");
  }

  get last() { return this.first + this.lines.length - 1; }

  /** Takes text; `channel` keeps colours and half sequences of different writers apart; `tag` marks the lines. */
  write(text, channel = "", tag = "") {
    this.parser = this.#channel(channel);
    this.tag = tag;
    const size = text.length;
    for (let at = 0; at < size;) {
      if (this.parser.state !== GROUND) {
        at = this.#sequence(text, at);
        continue;
      }
      let stop = at;
      while (stop < size && !isControl(text.charCodeAt(stop))) stop++;
      if (stop > at) this.#print(text.slice(at, stop));
      if (stop < size) this.#control(text.charCodeAt(stop));
      at = stop + 1;
    }
  }

  /** Puts a row that is not output (a gap, an event) before the line that is being written. */
  mark(mark) {
    const line = this.lines.at(-1);
    line.marks ??= { dropped: 0, rows: [] };
    line.marks.rows.push(mark);
    if (line.marks.rows.length > MARKS_CAP) {
      line.marks.rows.shift();
      line.marks.dropped++;
    }
    this.touch(line);
  }

  /** Ends the line for good: nothing after a gap may join or redraw what was before it. */
  cutOff(missing = 0) {
    this.number += missing;
    this.row = this.last;
    if (this.lines.at(-1).size) this.#append();
    this.lines.at(-1).number = this.number;
    this.floor = this.home = this.row = this.last;
    this.col = END;
    this.saved = null;
    this.channels.clear();
  }

  /** What changed since the last call. Lines after `tail` are blank and not to be shown. */
  drain() {
    let tail = this.last;
    while (tail > this.row && !this.#at(tail).size && !this.#at(tail).marks) tail--;
    if (tail !== this.tail) {
      const stop = Math.min(this.last, Math.max(tail, this.tail));
      for (let n = Math.max(this.first, Math.min(tail, this.tail)); n <= stop; n++) this.touch(this.#at(n));
    }
    this.tail = tail;
    const lines = [];
    for (let n = Math.max(this.first, this.changedFrom); n <= this.last; n++) {
      const line = this.#at(n);
      if (line.dirty) lines.push(line);
      line.dirty = false;
    }
    this.changedFrom = Infinity;
    return { first: this.first, tail, lines };
  }

  #channel(name) {
    let parser = this.channels.get(name);
    if (!parser) {
      if (this.channels.size >= CHANNELS) this.channels.clear();
      parser = { state: GROUND, held: "", count: 0, quote: false, style: PLAIN, graphics: false };
      this.channels.set(name, parser);
    }
    return parser;
  }

  #at(n) { return this.lines[n - this.first]; }

  /** Has a line drained again. */
  touch(line) {
    line.dirty = true;
    if (line.n < this.changedFrom) this.changedFrom = line.n;
  }

  #resize(line, size) {
    this.total += size - line.size;
    line.size = size;
    this.touch(line);
  }

  // ---- text

  #print(text) {
    const line = this.#at(this.row);
    if (this.parser.graphics) text = text.replace(/[`-~]/g, (c) => GRAPHICS[c] ?? c);
    if (line.size === 0) line.tag = this.tag;
    if (this.col === 0 && line.size === 0) {
      line.cells = null;
      this.col = END;
    }
    if (this.col === END) this.#grow(line, text);
    else this.#overwrite(line, text);
  }

  #grow(line, text) {
    const { style } = this.parser;
    const end = line.spans.at(-1);
    const cost = end?.style === style ? 0 : SPAN_COST;
    const room = LINE_CAP - line.size - cost;
    let kept = text;
    if (room < text.length) {
      kept = room > 0 ? text.slice(0, room).replace(/[\ud800-\udbff]$/, "") : "";
      line.cut += text.length - kept.length;
    }
    if (kept && cost === 0) end.text += kept;
    else if (kept) line.spans.push({ text: kept, style });
    this.#resize(line, line.size + (kept ? kept.length + cost : 0));
  }

  #overwrite(line, text) {
    const { chars, styles } = this.#cells(line);
    const { style } = this.parser;
    for (const char of text) {
      if (char === "\t") {
        this.#moveTo((this.col | 7) + 1);
        continue;
      }
      const width = widthOf(char.codePointAt(0));
      if (width === 0) {
        joinTo(chars, this.col, char);
      } else if (this.col + width > LINE_CAP) {
        line.cut += char.length;
      } else {
        while (chars.length < this.col) chars.push(" "), styles.push(PLAIN);
        blankHalves(chars, this.col, width);
        chars[this.col] = char;
        styles[this.col++] = style;
        if (width === 2) chars[this.col] = "", styles[this.col++] = style;
      }
    }
    this.#resize(line, chars.length);
  }

  /** The line as cells; from here on it stays so until it leaves the window. */
  #cells(line) {
    if (line.cells) return line.cells;
    const chars = [], styles = [];
    for (const { text, style } of line.spans) {
      for (const char of text) {
        const width = char === "\t" ? 8 - (chars.length & 7) : widthOf(char.codePointAt(0));
        if (width === 0) joinTo(chars, chars.length, char);
        else for (let i = 0; i < width; i++) {
          chars.push(char === "\t" ? " " : i ? "" : char);
          styles.push(style);
        }
      }
    }
    line.cells = { chars, styles };
    line.spans = [];
    this.total += chars.length - line.size;
    line.size = chars.length;           // it looks as before, so it has not changed
    return line.cells;
  }

  /** The cursor's column as a number. */
  #column() {
    if (this.col === END) this.col = this.#cells(this.#at(this.row)).chars.length;
    return this.col;
  }

  // A movement never takes the cursor further than MAX_COLUMN, so that padding stays cheap.
  #moveTo(col) { this.col = Math.max(0, Math.min(col, Math.max(MAX_COLUMN, this.col))); }

  // ---- lines

  #feed() {
    if (this.row < this.last) this.row++;
    else this.#append();
    this.col = 0;
  }

  #append() {
    const line = new Line(this.last + 1, this.number);
    this.touch(this.lines.at(-1));
    this.lines.push(line);
    this.touch(line);
    this.row = this.last;
    if (this.row - this.floor >= WINDOW) this.#freeze(this.#at(this.floor++));
    if (this.lines.length > this.keep + 512 || this.total > this.budget * 1.25) this.#trim();
  }

  #freeze(line) {
    if (!line.cells) return;
    line.spans = spansOf(line);
    line.cells = null;
  }

  #trim() {
    let drop = Math.max(0, this.lines.length - this.keep);
    for (let i = 0; i < drop; i++) this.total -= this.lines[i].size;
    while (this.total > this.budget && drop < this.lines.length - 1) this.total -= this.lines[drop++].size;
    this.lines.splice(0, drop);
    this.first += drop;
    this.floor = Math.max(this.floor, this.first);
  }

  #goTo(row, col) {
    while (row > this.last && this.last - this.home < SCREEN) this.#append();
    this.row = Math.max(this.floor, Math.min(row, this.last));
    this.#moveTo(col);
  }

  #vertical(by) {
    const col = this.#column();
    this.#goTo(this.row + by, col);
  }

  // Clearing a screen must not clear the log: what is there becomes history, a new screen begins below it.
  #newScreen() {
    let end = this.last;
    while (end >= Math.max(this.home, this.floor) && !this.#at(end).size) end--;
    if (end < Math.max(this.home, this.floor)) {
      this.row = Math.max(this.home, this.floor);
    } else {
      if (end === this.last) this.#append();
      this.row = this.floor = this.home = end + 1;
      this.#at(this.row).marks ??= { dropped: 0, rows: [] };
      this.#at(this.row).marks.rows.push({ kind: "clear" });
      this.touch(this.#at(this.row));
    }
    this.col = 0;
  }

  // ---- control characters and sequences

  #control(code) {
    switch (code) {
      case 10: this.number++; return this.#feed();
      case 11: case 12: return this.#feed();
      case 13: this.col = 0; return;
      case 8: return this.#moveTo(this.#column() - 1);
      case 9: return this.#print("\t");
      case 27: this.#enter(ESCAPE); return;
      case 0: case 7: case 14: case 15: return;
      default: this.#print(code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? "␡" : "\ufffd");
    }
  }

  #enter(state, held = "") { Object.assign(this.parser, { state, held, count: 0, quote: false }); }

  /** Goes on with a sequence that began here or in an earlier chunk; returns where it left off. */
  #sequence(text, at) {
    const parser = this.parser;
    if (parser.state === STRING || parser.state === DROPPED) return this.#string(text, at);
    const char = text[at];
    const code = char.charCodeAt(0);
    if (code === 27) this.#enter(ESCAPE);
    else if (code === 24 || code === 26) this.#enter(GROUND);
    else if (code < 32) this.#control(code);      // terminals obey these in the middle of a sequence
    else if (code > 0x7e) {                        // no sequence has these: show them
      this.#enter(GROUND);
      return at;
    } else if (parser.state === ESCAPE) this.#escape(char);
    else if (parser.state === CHARSET) {
      if (parser.held === "(") parser.graphics = char === "0";
      this.#enter(GROUND);
    } else if (code >= 0x40 && code <= 0x7e) {
      const { held, state } = parser;
      this.#enter(GROUND);
      if (state === CONTROL) this.#command(char, held);
    } else if (parser.held.length < CONTROL_CAP) parser.held += char;
    else if (parser.count++ === 0) parser.state = SKIP;
    else if (parser.count > STRING_CAP) this.#abandon();
    return at + 1;
  }

  #abandon() {
    this.#enter(GROUND);
    this.#print("\ufffd");
  }

  #escape(char) {
    this.#enter(GROUND);
    if (char === "[") this.#enter(CONTROL);
    else if (char === "]") this.#enter(STRING);
    else if ("PX^_".includes(char)) this.#enter(DROPPED);
    else if (" #%()*+-./".includes(char)) this.#enter(CHARSET, char);
    else if (char === "7") this.#save();
    else if (char === "8") this.#restore();
    else if (char === "D" || char === "E") this.#feed();
    else if (char === "M") this.#vertical(-1);
    else if (char === "c") {
      this.parser.style = PLAIN;
      this.#newScreen();
    }
  }

  // OSC is kept for its link; DCS, APC, PM and SOS are only counted. A line's end ends an OSC, lest a stray one eats the log.
  #string(text, at) {
    const parser = this.parser;
    const keeps = parser.state === STRING;
    const ends = keeps ? /[\x07\x18\x1a\x1b\x9c\n]/g : /[\x18\x1a\x1b\x9c]/g;
    if (parser.quote) {
      const { held } = parser;
      this.#enter(text[at] === "\\" ? GROUND : ESCAPE);
      if (keeps) this.#title(held);
      return text[at] === "\\" ? at + 1 : at;
    }
    ends.lastIndex = at;
    const found = ends.exec(text);
    const stop = found ? found.index : text.length;
    const room = (keeps ? STRING_CAP : DROPPED_CAP) - parser.count;
    if (stop - at > room) {
      this.#abandon();
      return at + Math.max(0, room);
    }
    parser.count += stop - at;
    if (keeps) parser.held += text.slice(at, stop);
    if (!found) return stop;
    if (found[0] === "\x1b") {
      parser.quote = true;
      return stop + 1;
    }
    const { held } = parser;
    this.#enter(GROUND);
    if (found[0] === "\n") return stop;
    if (keeps && found[0] !== "\x18" && found[0] !== "\x1a") this.#title(held);
    return stop + 1;
  }

  #title(held) {
    const link = /^8;[^;]*;(.*)$/s.exec(held);
    if (!link) return;
    const safe = /^https?:\/\/[^\s\x00-\x1f\x7f]{1,2048}$/i.test(link[1]) ? link[1] : null;
    this.#restyle({ ...this.parser.style, link: safe });
  }

  #command(final, held) {
    if (/^[<=>?]/.test(held)) {
      if (/^\?(47|1047|1049)$/.test(held) && "hl".includes(final)) this.#newScreen();
      return;
    }
    if (/[^\d;:]/.test(held)) return;
    if (final === "m") return this.#restyle(styled(this.parser.style, held));
    const [first, second] = held.split(";", 2).map((number) => Math.min(parseInt(number, 10) || 0, 9999));
    const count = first || 1;
    switch (final) {
      case "A": return this.#vertical(-count);
      case "B": return this.#vertical(Math.min(count, this.last - this.row));
      case "C": return this.#moveTo(this.#column() + count);
      case "D": return this.#moveTo(this.#column() - count);
      case "E": this.col = 0; return this.#vertical(Math.min(count, this.last - this.row));
      case "F": this.col = 0; return this.#vertical(-count);
      case "G": case "`": return this.#moveTo(count - 1);
      case "H": case "f": return this.#position(count, (second || 1) - 1);
      case "d": return this.#position(count, this.#column());
      case "J": return first === 0 ? this.#eraseBelow() : first === 2 ? this.#newScreen() : undefined;
      case "K": return this.#eraseLine(first || 0);
      case "X": return this.#eraseCells(count);
      case "s": return this.#save();
      case "u": return this.#restore();
    }
  }

  #position(row, col) {
    if (this.last - this.home >= SCREEN || this.home < this.floor) this.#newScreen();
    this.#goTo(this.home + row - 1, col);
  }

  #save() { this.saved = { row: this.row, col: this.#column(), style: this.parser.style }; }

  #restore() {
    if (!this.saved) return;
    this.parser.style = this.saved.style;
    this.#goTo(this.saved.row, 0);
    const { length } = this.#cells(this.#at(this.row)).chars;
    this.col = Math.min(this.saved.col, Math.max(MAX_COLUMN, length));
  }

  #clear(line) {
    line.spans = [];
    line.cells = null;
    line.cut = 0;
    this.#resize(line, 0);
  }

  #eraseLine(mode) {
    const line = this.#at(this.row);
    if (mode === 0 && this.col !== END) {
      if (this.col === 0) return this.#clear(line);
      const { chars, styles } = this.#cells(line);
      chars.length = styles.length = Math.min(chars.length, this.col);
      line.cut = 0;
      this.#resize(line, chars.length);
    } else if (mode === 1 || mode === 2) {
      const col = Math.min(this.#column(), MAX_COLUMN);
      if (mode === 1) this.#blank(line, 0, col + 1);
      else this.#clear(line);
      this.col = col;
    }
  }

  #eraseCells(count) {
    const col = this.#column();
    this.#blank(this.#at(this.row), col, Math.min(col + count, col + MAX_COLUMN));
  }

  #blank(line, from, to) {
    const { chars, styles } = this.#cells(line);
    const stop = Math.min(to, chars.length);
    for (let i = from; i < stop; i++) {
      blankHalves(chars, i, 1);
      chars[i] = " ";
      styles[i] = PLAIN;
    }
    this.#resize(line, chars.length);
  }

  #eraseBelow() {
    this.#eraseLine(0);
    for (let n = this.row + 1; n <= this.last; n++) {
      const line = this.#at(n);
      if (line.size) this.#clear(line);
    }
  }

  // ---- colours

  // Equal styles are one object, so that spans compare by identity.
  #restyle({ fg, bg, flags, link }) {
    if (fg === null && bg === null && !flags && !link) return void (this.parser.style = PLAIN);
    const key = `${fg} ${bg} ${flags} ${link}`;
    if (!this.styles.has(key)) {
      if (this.styles.size > 4096) this.styles.clear();
      this.styles.set(key, Object.freeze({ fg, bg, flags, link }));
    }
    this.parser.style = this.styles.get(key);
  }
}

/** The line as a list of `{text, style}`, without the blanks at its end that nobody can see. */
export function spansOf(line) {
  if (!line.cells) return line.spans;
  const { chars, styles } = line.cells;
  let end = chars.length;
  while (end && chars[end - 1] === " " && styles[end - 1].bg === null && !(styles[end - 1].flags & (INVERSE | UNDERLINE | STRIKE))) end--;
  const spans = [];
  for (let i = 0; i < end;) {
    let stop = i + 1;
    while (stop < end && styles[stop] === styles[i]) stop++;
    spans.push({ text: chars.slice(i, stop).join(""), style: styles[i] });
    i = stop;
  }
  return spans;
}

function isControl(code) { return code < 32 ? code !== 9 : code >= 127 && code < 160; }
