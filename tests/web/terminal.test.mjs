// Run with: node --test tests/web/

import assert from "node:assert/strict";
import test from "node:test";
import { widthOf } from "../../src/outlive/web/page/cells.js";
import { BOLD, DIM, INVERSE, ITALIC, STRIKE, UNDERLINE } from "../../src/outlive/web/page/styles.js";
import { Terminal, spansOf } from "../../src/outlive/web/page/terminal.js";

const draw = (chunks, options) => {
  const terminal = new Terminal(options);
  for (const chunk of [chunks].flat()) terminal.write(chunk);
  return terminal;
};
const textOf = (line) => spansOf(line).map((span) => span.text).join("");
const screen = (terminal) => terminal.lines.slice(0, terminal.drain().tail - terminal.first + 1).map(textOf);
const numbered = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}\n`).join("");

// name, what is written, the lines that are drawn
const DRAWN = [
  ["plain lines", "one\ntwo\n", ["one", "two", ""]],
  ["an unfinished line", "one\ntw", ["one", "tw"]],
  ["nothing", "", [""]],
  ["CRLF", "one\r\ntwo\r\n", ["one", "two", ""]],
  ["CR overwrites by cells", "12345\rab", ["ab345"]],
  ["CR alone changes nothing", "12345\r", ["12345"]],
  ["a bar as tqdm draws it", "  1%|#   |\r 50%|##  |\r100%|####|\n", ["100%|####|", ""]],
  ["CR, erase, shorter text", "12345\r\x1b[Kab", ["ab"]],
  ["backspace", "abc\b\bX", ["aXc"]],
  ["backspace stops at the margin", "a\b\b\b\bX", ["X"]],
  ["a tab stays a tab", "a\tb", ["a\tb"]],
  ["a tab under an overwrite is blanks", "a\tb\rX", ["X       b"]],
  ["a tab moves over what is there", "12345678901\r\tX", ["12345678X01"]],
  ["erase to the end", "12345\x1b[3D\x1b[K", ["12"]],
  ["erase to the start", "12345\x1b[3D\x1b[1K", ["   45"]],
  ["erase the line", "12345\x1b[2Kx", ["     x"]],
  ["erase characters", "12345\x1b[4D\x1b[2X", ["1  45"]],
  ["to a column", "12345\x1b[2GX", ["1X345"]],
  ["to a column behind the end", "1\x1b[5GX", ["1   X"]],
  ["up and overwrite", "one\ntwo\n\x1b[2AONE\n\x1b[Bend", ["ONE", "two", "end"]],
  ["up keeps the column", "one\ntwo\x1b[AX", ["oneX", "two"]],
  ["up stops at the top", "one\x1b[99A\rX", ["Xne"]],
  ["down stops at the end", "one\x1b[99BX", ["oneX"]],
  ["previous and next line", "one\ntwo\x1b[FX\x1b[EY", ["Xne", "Ywo"]],
  ["three bars redrawn", `${"a1\nb1\nc1\n\x1b[3A\r\x1b[2Ka2\n\x1b[2Kb2\n\x1b[2Kc2\n"}end`, ["a2", "b2", "c2", "end"]],
  ["erase below", "one\ntwo\nthree\n\x1b[2A\x1b[J", ["one", ""]],
  ["erase below, then go on", "one\ntwo\nthree\n\x1b[2A\x1b[Jx\ny\n", ["one", "x", "y", ""]],
  ["clear is a new screen, not an eraser", "one\n\x1b[H\x1b[2Jtwo", ["one", "two"]],
  ["home redraws the screen", "\x1b[2J\x1b[Hone\ntwo\x1b[HONE", ["ONE", "two"]],
  ["to a place", "\x1b[H\x1b[3;4Hx", ["", "", "   x"]],
  ["save and restore", "ab\x1b7cd\x1b8X", ["abXd"]],
  ["save and restore far out", `${"y".repeat(500)}\x1b7\rx\x1b8X`, [`x${"y".repeat(499)}X`]],
  ["save and restore, ANSI", "ab\x1b[scd\x1b[uX", ["abXd"]],
  ["another screen is a new one too", "one\x1b[?1049htwo\x1b[?1049lthree", ["one", "two", "three"]],
  ["cursor hidden and shown", "a\x1b[?25lb\x1b[?25h", ["ab"]],
  ["private sequences that end in m are no colours", "\x1b[>4;1ma", ["a"]],
  ["a title", "\x1b]0;title\x07a", ["a"]],
  ["a title ended by ST", "\x1b]0;title\x1b\\a", ["a"]],
  ["a stray OSC loses one line, not the log", "\x1b]junk\nnext", ["", "next"]],
  ["DCS, APC, PM and SOS", "\x1bPq#0\nx\x1b\\a\x1b_k\x1b\\b\x1b^p\x1b\\c\x1bXs\x1b\\d", ["abcd"]],
  ["charsets", "\x1b(Ba\x1b)0b", ["ab"]],
  ["line drawing", "\x1b(0lqk\x1b(Bq", ["┌─┐q"]],
  ["CAN ends a sequence", "\x1b[31\x18a", ["a"]],
  ["a line's end within a sequence", "a\x1b[3\n1mb", ["a", "b"]],
  ["ESC within a sequence starts anew", "\x1b[31\x1b[1ma", ["a"]],
  ["what no sequence can have is text", "\x1b[31日", ["日"]],
  ["nor has an escape a character outside ASCII", "\x1b🎉\x1b(🎉", ["🎉🎉"]],
  ["a tab within a sequence", "a\x1b[3\t1mb", ["a\tb"]],
  ["NUL and BEL are nothing", "a\0\x07b", ["ab"]],
  ["other controls are shown", "a\x01\x7fb\x85", ["a␁␡b\ufffd"]],
  ["a wide character takes two cells", "日本\x1b[3GX", ["日X"]],
  ["half of a wide character is blank", "日本\rX", ["X 本"]],
  ["the other half too", "日本\x1b[2GX", [" X本"]],
  ["an emoji is wide", "🎉a\x1b[3Gb", ["🎉b"]],
  ["a combining mark joins", "e\u0301x\x1b[2Gy", ["e\u0301y"]],
  ["a combining mark joins while overwriting", "abc\re\u0301", ["e\u0301bc"]],
  ["blanks at the end of a redraw are cut", "12345\rab   ", ["ab"]],
];

for (const [name, written, lines] of DRAWN) {
  test(name, () => assert.deepEqual(screen(draw(written)), lines));
  test(`${name}, a character at a time`, () => assert.deepEqual(screen(draw([...written])), lines));
}

// name, what is written, the style of the last span
const STYLED = [
  ["plain", "a", {}],
  ["red", "\x1b[31ma", { fg: 1 }],
  ["bright on bright", "\x1b[91;104ma", { fg: 9, bg: 12 }],
  ["every attribute", "\x1b[1;2;3;4;7;9ma", { flags: BOLD | DIM | ITALIC | UNDERLINE | INVERSE | STRIKE }],
  ["attributes end", "\x1b[1;2;3;4;7;9m\x1b[22;23;24;27;29ma", {}],
  ["reset", "\x1b[1;31m\x1b[ma", {}],
  ["reset within", "\x1b[1;0;32ma", { fg: 2 }],
  ["default colours", "\x1b[31;41m\x1b[39;49ma", {}],
  ["256, of the sixteen", "\x1b[38;5;9ma", { fg: 9 }],
  ["256, of the cube", "\x1b[38;5;208ma", { fg: "#ff8700" }],
  ["256, grey", "\x1b[48;5;232ma", { bg: "#080808" }],
  ["256, colons", "\x1b[38:5:208ma", { fg: "#ff8700" }],
  ["true colour", "\x1b[38;2;1;2;3;1ma", { fg: "#010203", flags: BOLD }],
  ["true colour, colons", "\x1b[38:2:1:2:3ma", { fg: "#010203" }],
  ["true colour, colons and a colour space", "\x1b[48:2::255:128:0ma", { bg: "#ff8000" }],
  ["true colour out of range", "\x1b[38;2;999;0;0ma", { fg: "#ff0000" }],
  ["colour of an underline", "\x1b[4:3;58;5;1;31ma", { fg: 1, flags: UNDERLINE }],
  ["no underline", "\x1b[4m\x1b[4:0ma", {}],
  ["unknown numbers", "\x1b[31;73;999ma", { fg: 1 }],
  ["a link", "\x1b]8;id=1;https://example.com/a?b\x1b\\a", { link: "https://example.com/a?b" }],
  ["a link ends", "\x1b]8;;https://example.com\x07b\x1b]8;;\x07a", {}],
  ["a link outlives a reset", "\x1b]8;;http://example.com\x07\x1b[31mb\x1b[0ma", { link: "http://example.com" }],
  ["no link to a script", "\x1b]8;;javascript:alert(1)\x07a", {}],
  ["no link to data", "\x1b]8;;data:text/html,x\x07a", {}],
];

for (const [name, written, style] of STYLED) {
  const expected = { fg: null, bg: null, flags: 0, link: null, ...style };
  for (const [how, chunks] of [["", [written]], [", a character at a time", [...written]]]) {
    test(`style: ${name}${how}`, () => {
      const span = spansOf(draw(chunks).lines[0]).at(-1);
      assert.equal(span.text.at(-1), "a");
      assert.deepEqual({ ...span.style }, expected);
    });
  }
}

test("equal styles share a span", () => {
  assert.deepEqual(spansOf(draw("\x1b[31ma\x1b[31mb\x1b[0;31mc").lines[0]).map((span) => span.text), ["abc"]);
});

test("widths", () => {
  const widths = [["a", 1], ["é", 1], ["日", 2], ["한", 2], ["🎉", 2], ["\u0301", 0], ["\u200d", 0], ["─", 1], ["█", 1], ["✓", 1], ["（", 2]];
  for (const [char, width] of widths) assert.equal(widthOf(char.codePointAt(0)), width, char);
});

test("writers do not disturb each other's sequences and colours", () => {
  const terminal = new Terminal();
  terminal.write("\x1b[3", "a");
  terminal.write("b", "b");
  terminal.write("1mred", "a");
  terminal.write("plain", "b");
  assert.deepEqual(spansOf(terminal.lines[0]).map(({ text, style }) => [text, style.fg]), [["b", null], ["red", 1], ["plain", null]]);
});

test("only the changed lines are drained", () => {
  const terminal = draw("one\ntwo\nthree");
  terminal.drain();
  assert.deepEqual(terminal.drain().lines, []);
  terminal.write("\x1b[2AX");
  assert.deepEqual(terminal.drain().lines.map(textOf), ["one  X"]);
});

test("the cursor reaches 300 lines, and those above are final", () => {
  const terminal = draw(numbered(1, 1000) + "\x1b[9999AX");
  const lines = screen(terminal);
  assert.equal(lines[699], "700");
  assert.equal(lines[701], "X02");
});

test("home in a long log is a new screen", () => {
  const lines = screen(draw(numbered(1, 500) + "\x1b[Hx"));
  assert.deepEqual(lines.slice(-2), ["500", "x"]);
});

test("a bounded number of lines is kept, numbered as in the journal", () => {
  const terminal = draw(numbered(1, 20000), { keep: 100 });
  assert.ok(terminal.lines.length <= 100 + 512 + 1);
  assert.equal(textOf(terminal.lines[0]), String(terminal.lines[0].number));
  assert.equal(terminal.number, 20001);
});

test("a bounded amount of text is kept", () => {
  const terminal = draw(`${"x".repeat(1000)}\n`.repeat(5000), { budget: 100000 });
  assert.ok(terminal.total <= 125000 + 2000);
  assert.ok(terminal.lines.length < 150);
});

test("one long line is cut, and says by how much", () => {
  const terminal = draw([..."x".repeat(10)].map(() => "x".repeat(100000)));
  const [line] = terminal.lines;
  assert.ok(textOf(line).length <= 65536);
  assert.equal(textOf(line).length + line.cut, 1000000);
});

test("a line cut short is whole again after it was erased", () => {
  const terminal = draw(["x".repeat(100000), "\r\x1b[Kok"]);
  assert.equal(terminal.lines[0].cut, 0);
  assert.deepEqual(screen(terminal), ["ok"]);
});

test("a gap ends what was before it", () => {
  const terminal = draw("abc\x1b[31mdef\x1b[3");
  terminal.cutOff(12);
  terminal.write("1mred\x1b[9A\rX");
  assert.deepEqual(screen(terminal), ["abcdef", "Xmred"]);
  assert.equal(terminal.lines[1].number, 13);
});

test("marks stand before the line that is being written, and are bounded", () => {
  const terminal = draw("one\ntwo");
  terminal.mark({ kind: "event", text: "x" });
  assert.equal(terminal.lines[1].marks.rows.length, 1);
  for (let i = 0; i < 1000; i++) terminal.mark({ kind: "event", text: "y" });
  assert.equal(terminal.lines[1].marks.rows.length + terminal.lines[1].marks.dropped, 1001);
});

test("unfinished sequences are bounded", () => {
  for (const opening of ["\x1b[", "\x1b]8;;", "\x1bP"]) {
    const terminal = draw([opening, ...Array.from({ length: 100 }, () => "1".repeat(10000)), "\nend"]);
    assert.equal(screen(terminal).at(-1), "end", JSON.stringify(opening));
    assert.ok(terminal.parser.held.length <= 4096);
  }
});

// What would be quadratic, or would pad without end, in a careless emulator. Each is a few MB.
const HOSTILE = {
  "far columns": "\x1b[99999999Gx\n".repeat(100000),
  "far rows": "\x1b[99999999;1Hx".repeat(100000),
  "combining marks": "e" + "\u0301".repeat(1000000),
  "redraws of a long line": "y".repeat(60000) + "\r\x1b[1K\x1b7x\x1b8".repeat(200000),
  "erasing a long line from its end": "y".repeat(60000) + "\x1b[1Kx".repeat(200000),
  "erasing and padding": "y".repeat(60000) + "\x1b[2Kx".repeat(200000),
  "up and erase below": numbered(1, 300) + "\x1b[299A\x1b[J\n".repeat(100000),
  "colours": Array.from({ length: 200000 }, (_, i) => `\x1b[38;2;${i & 255};${(i >> 8) & 255};1mx`).join(""),
  "clears": "x\x1b[2J".repeat(200000),
  "saves and restores": "y".repeat(60000) + "\x1b7\r\x1b8z\x1b[K".repeat(200000),
};

for (const [name, text] of Object.entries(HOSTILE)) {
  test(`ends in linear time: ${name}`, () => {
    // No limit here: what is quadratic takes minutes, and the whole run has one.
    draw(text.match(/.{1,65536}/gsu)).drain();
  });
}
