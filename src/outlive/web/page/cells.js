// A line as cells: one string per cell, "" in the second half of a wide character.

/** How many cells a character takes: 0, 1 or 2. */
export function widthOf(code) {
  if (code < 0x300) return 1;
  if (code >= 0x1160 && code <= 0x11ff) return 0;
  if (code >= 0x2500 && code <= 0x25a0) return 1;
  const char = String.fromCodePoint(code);
  if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) return 0;
  if (code < 0x1100) return 1;
  const east = code <= 0x115f || (code >= 0x2e80 && code <= 0x303e) || (code >= 0x3041 && code <= 0xa4cf)
    || (code >= 0xa960 && code <= 0xa97f) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff)
    || (code >= 0xfe10 && code <= 0xfe19) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff01 && code <= 0xff60)
    || (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x17000 && code <= 0x1b2ff) || (code >= 0x20000 && code <= 0x3fffd);
  return east || (/\p{Emoji_Presentation}/u.test(char) && !(code >= 0x1f1e6 && code <= 0x1f1ff)) ? 2 : 1;
}

/** A combining mark joins the cell before it; a heap of them on one cell is cut. */
export function joinTo(chars, col, mark) {
  let at = Math.min(col, chars.length) - 1;
  if (at > 0 && chars[at] === "") at--;
  if (at >= 0 && chars[at].length < 16) chars[at] += mark;
}

/** Writing over one half of a wide character leaves a blank in the other. */
export function blankHalves(chars, col, width) {
  if (chars[col] === "" && col > 0) chars[col - 1] = " ";
  const after = col + width;
  if (chars[after] === "") chars[after] = " ";
}
