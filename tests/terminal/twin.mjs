// Draws what comes on stdin with the page's terminal: a line of JSON in, a line of JSON out.

import { createInterface } from "node:readline";
import { Terminal, spansOf } from "../../src/outlive/web/page/terminal.js";

for await (const line of createInterface({ input: process.stdin })) {
  const terminal = new Terminal();
  terminal.write(JSON.parse(line));
  const lines = terminal.lines.map((drawn) =>
    spansOf(drawn).map(({ text, style: { fg, bg, flags, link } }) => [text, fg, bg, flags, link]));
  process.stdout.write(`${JSON.stringify(lines)}\n`);
}
