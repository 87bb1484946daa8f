// Colours and attributes of text, and the sequences (SGR) that set them.

export const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, INVERSE = 16, STRIKE = 32, HIDDEN = 64;

export const PLAIN = Object.freeze({ fg: null, bg: null, flags: 0, link: null });
const FLAGS_ON = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 8: HIDDEN, 9: STRIKE, 21: UNDERLINE };
const FLAGS_OFF = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: INVERSE, 28: HIDDEN, 29: STRIKE };

/** The style after an SGR sequence with these parameters. */
export function styled(before, held) {
  let style = { ...before };
  const params = held.split(";").slice(0, 64);
  for (let i = 0; i < params.length; i++) {
    const parts = params[i].split(":");
    const code = parseInt(parts[0], 10) || 0;
    if (code === 0) style = { ...PLAIN, link: style.link };
    else if (code === 4 && parts[1] === "0") style.flags &= ~UNDERLINE;
    else if (FLAGS_ON[code]) style.flags |= FLAGS_ON[code];
    else if (FLAGS_OFF[code]) style.flags &= ~FLAGS_OFF[code];
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 39) style.fg = null;
    else if (code === 49) style.bg = null;
    else if (code === 38 || code === 48 || code === 58) {
      const colons = parts.length > 1;
      const [color, used] = colonOrSemicolonColor(colons ? parts.slice(1) : params.slice(i + 1, i + 5), colons);
      if (!colons) i += used;
      if (color !== undefined && code !== 58) style[code === 38 ? "fg" : "bg"] = color;
    }
  }
  return style;
}

function colonOrSemicolonColor(parts, colons) {
  const kind = parts[0];
  if (kind === "5") return [indexed(channel(parts[1])), 2];
  if (kind !== "2") return [undefined, 1];
  const rgb = colons && parts.length > 4 ? parts.slice(2, 5) : parts.slice(1, 4);
  return ["#" + [0, 1, 2].map((i) => channel(rgb[i]).toString(16).padStart(2, "0")).join(""), 4];
}

function channel(text) { return Math.min(parseInt(text, 10) || 0, 255); }

function indexed(index) {
  if (index < 16) return index;
  const levels = [0, 95, 135, 175, 215, 255];
  const cube = index - 16;
  const rgb = index >= 232 ? [1, 1, 1].map(() => 8 + (index - 232) * 10)
    : [levels[Math.floor(cube / 36)], levels[Math.floor(cube / 6) % 6], levels[cube % 6]];
  return "#" + rgb.map((value) => value.toString(16).padStart(2, "0")).join("");
}
