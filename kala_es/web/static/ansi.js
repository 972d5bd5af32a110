// What a terminal would show of one line: its text in spans of one style each. Pure: text in, values out.
//
// 1. Colours and styles (SGR) are told, in 16, 256 and true colours; all other control sequences are swallowed.
// 2. What moves within the line does: carriage return, backspace, "erase in line", columns. What moves out of it does not.
// 3. A control character that is left is shown as what it is, `^G`; so are those that turn the direction of text around.
// 4. Each channel has a style of its own, which goes on from line to line.

export const PLAIN = Object.freeze({ fg: null, bg: null, flags: 0 });
export const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, REVERSE = 16, STRIKE = 32;
export const START = Object.freeze({ stdout: PLAIN, stderr: PLAIN });

const MOVES = /[\r\x08\x1b]/;
const HARMFUL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]/g;
const ESCAPE = /\x1b(?:\[([0-?]*)([ -/]*)(?:([@-~])|$)|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?/y;
const MOST_COLUMNS = 100_000;
const TAB = 8;

/** A control character as something to see: `^G`, `U+202E`. */
function symbol(character) {
  const code = character.codePointAt(0);
  if (code < 0x20 || code === 0x7f) return `^${String.fromCharCode(code ^ 0x40)}`;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Text without anything that is not to be seen. */
export function harmless(text) {
  return text.replace(HARMFUL, symbol);
}

/** Text in parts, and which of them stand for what is not to be seen. */
function* parts(text) {
  let at = 0;
  for (const { 0: character, index } of text.matchAll(HARMFUL)) {
    if (index > at) yield { text: text.slice(at, index), control: false };
    yield { text: symbol(character), control: true };
    at = index + character.length;
  }
  if (at < text.length) yield { text: text.slice(at), control: false };
}

/**
 * A line's spans, {text, style, channel, note, control}, and the styles after it. `pieces` are {channel, text, note}; a
 * `control` span stands for a control character.
 */
export function parse(pieces, styles = START) {
  if (pieces.every(({ text }) => !MOVES.test(text))) {
    const spans = pieces.flatMap(({ channel, text, note }) =>
      [...parts(text)].map((part) => ({ ...part, style: styles[channel], channel, note })));
    return { spans: joined(spans), styles };
  }
  const line = new Line(styles);
  for (const piece of pieces) line.write(piece);
  return { spans: line.spans(), styles: line.styles };
}

/** The styles after a line: what `parse` says of them, without the work where nothing changes them. */
export function stylesAfter(pieces, styles) {
  return pieces.some(({ text }) => text.includes("\x1b[")) ? parse(pieces, styles).styles : styles;
}

/** What can be read of a line, without styles. */
export function plain(text) {
  if (!MOVES.test(text)) return harmless(text);
  return parse([{ channel: "stdout", text }]).spans.map((span) => span.text).join("");
}

/** A line that is being written: a cell for each character. */
class Line {
  constructor(styles) {
    this.styles = { ...styles };
    this.cells = [];
    this.column = 0;
  }

  write({ channel, text, note }) {
    let at = 0;
    this.note = note;
    while (at < text.length) {
      const character = String.fromCodePoint(text.codePointAt(at));
      if (character === "\x1b") {
        at += this.#escape(text, at, channel);
        continue;
      }
      at += character.length;
      if (character === "\r") this.column = 0;
      else if (character === "\x08") this.column = Math.max(this.column - 1, 0);
      else if (character === "\t") this.#tab(channel);
      else for (const part of parts(character)) this.#put(part, channel);
    }
  }

  #put(part, channel) {
    this.#fill();
    this.cells[this.column] = { ...part, channel, style: this.styles[channel], note: this.note };
    this.column += 1;
  }

  #tab(channel) {
    const stop = (Math.floor(this.column / TAB) + 1) * TAB;
    while (this.column < stop) {
      if (this.cells[this.column]) this.column += 1;
      else this.#put({ text: " ", control: false }, channel);
    }
  }

  /** A sequence's length; what it asks for is done if it stays within the line. */
  #escape(text, at, channel) {
    ESCAPE.lastIndex = at;
    const [whole, parameters, between, final] = ESCAPE.exec(text);
    if (final !== undefined && !between) this.#control(parameters, final, channel);
    return whole.length;
  }

  #control(parameters, final, channel) {
    const number = Number.parseInt(parameters, 10) || 0;
    const distance = Math.max(number, 1);
    if (final === "m") this.styles[channel] = styleAfter(this.styles[channel], parameters);
    else if (final === "K") this.#erase(number);
    else if (final === "G") this.column = distance - 1;
    else if (final === "C") this.column += distance;
    else if (final === "D") this.column = Math.max(this.column - distance, 0);
    this.column = Math.min(this.column, MOST_COLUMNS);
  }

  #erase(which) {
    if (which === 0) this.cells.length = Math.min(this.cells.length, this.column);
    else if (which === 2) this.cells.length = 0;
    else if (which === 1) for (let i = 0; i <= this.column && i < this.cells.length; i++) this.cells[i] = undefined;
  }

  /** Blanks up to the column. */
  #fill() {
    for (let i = this.cells.length; i < this.column; i++) this.cells[i] = undefined;
  }

  spans() {
    return joined(Array.from(this.cells, (cell) => cell ?? { text: " ", control: false, style: PLAIN, channel: "stdout" }));
  }
}

/** Neighbours that look the same made one. */
function joined(spans) {
  const found = [];
  for (const { text, ...look } of spans) {
    const last = found.at(-1);
    if (last && ["style", "channel", "note", "control"].every((key) => last[key] === look[key])) last.text.push(text);
    else found.push({ text: [text], ...look });
  }
  return found.map((span) => ({ ...span, text: span.text.join("") })).filter((span) => span.text);
}

const SETS = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: REVERSE, 9: STRIKE, 21: UNDERLINE };
const CLEARS = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: REVERSE, 29: STRIKE };

/** The style after an SGR sequence with these parameters. A colour is its number, 0 to 255, or [red, green, blue]. */
export function styleAfter(style, parameters) {
  let { fg, bg, flags } = style;
  const codes = parameters.split(";");
  for (let i = 0; i < codes.length; i++) {
    const [first, ...parts] = codes[i].split(":");
    const code = Number(first);
    if (code === 0) [fg, bg, flags] = [null, null, 0];
    else if (code === 4 && parts[0] === "0") flags &= ~UNDERLINE;
    else if (SETS[code]) flags |= SETS[code];
    else if (CLEARS[code]) flags &= ~CLEARS[code];
    else if (code === 38 || code === 48 || code === 58) {
      const { colour, used } = parts.length ? { colour: extended(parts), used: 0 } : following(codes, i + 1);
      if (colour !== undefined && code === 38) fg = colour;
      if (colour !== undefined && code === 48) bg = colour;
      i += used;
    } else if (code === 39) fg = null;
    else if (code === 49) bg = null;
    else if (code >= 30 && code <= 37) fg = code - 30;
    else if (code >= 40 && code <= 47) bg = code - 40;
    else if (code >= 90 && code <= 97) fg = code - 90 + 8;
    else if (code >= 100 && code <= 107) bg = code - 100 + 8;
  }
  return same(style, { fg, bg, flags });
}

/** A colour in the parameters that follow, `5;n` or `2;r;g;b`, and how many of them it takes. */
function following(codes, at) {
  const used = { 5: 2, 2: 4 }[codes[at]] ?? 0;
  return { colour: extended(codes.slice(at, at + used)), used };
}

/** The colour that `5, n` or `2, r, g, b` (or `2, space, r, g, b`) means; undefined for none. */
function extended([kind, ...values]) {
  const numbers = (kind === "2" ? values.slice(values.length > 3 ? 1 : 0).slice(0, 3) : values.slice(0, 1)).map(Number);
  if (numbers.length !== { 5: 1, 2: 3 }[kind] || numbers.some((n) => !(n >= 0 && n <= 255))) return undefined;
  return kind === "5" ? numbers[0] : Object.freeze(numbers);
}

function same(before, after) {
  const like = String(before.fg) === String(after.fg) && String(before.bg) === String(after.bg);
  return like && before.flags === after.flags ? before : Object.freeze(after);
}
