// The lines of a run's output that a viewer has at hand: pages of them, the newest ones and those that were looked at.
//
// 1. The newest lines are always here, for the stream goes on with them, and so are those that are looked at. Others are
//    let go when there are too many, those first that were not looked at for longest; they can be asked for again.
// 2. Lines count from 1. The last one may be unfinished: what comes next is written into it.
// 3. A character that is cut in two by a piece's end is put together; what is no UTF-8 is U+FFFD.
// 4. Of a line that is very long only the beginning is kept, or, where it was written over again and again, the end.

import { START, stylesAfter } from "./ansi.js";

const PAGE = 250;
const LINE_CHARS = 65_536;
const LINE_COST = 200;

/** The text of pieces, from their exact bytes where they are given; each channel is decoded by itself. */
export class Decoders {
  #of = { stdout: fresh(), stderr: fresh() };

  decode({ channel, text, base64 }) {
    const decoder = this.#of[channel];
    if (base64 === undefined) return decoder.decode() + text;
    return decoder.decode(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)), { stream: true });
  }
}

function fresh() {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** Lines that pieces make: the first may go on one that is there, and the last is `open` when it has no end yet. */
export function cut(pieces, decoders) {
  const lines = [];
  let open = false;
  const write = (piece) => {
    if (!open) lines.push(newLine());
    add(lines.at(-1), piece);
    open = true;
  };
  for (const piece of pieces) {
    const { channel, attempt, dropped } = piece;
    if (dropped) write({ channel, attempt, text: `[${dropped.toLocaleString("en")} bytes left out]`, note: "gap" });
    const parts = decoders.decode(piece).split("\n");
    parts.forEach((text, i) => {
      const ends = i < parts.length - 1;
      if (text || ends) write({ channel, attempt, text });
      if (ends) open = false;
    });
  }
  return { lines, open };
}

function newLine() {
  return { pieces: [], styles: START, size: 0, cut: false, changes: 0 };
}

/** Write a piece at a line's end. */
function add(line, piece) {
  line.changes += 1;
  if (line.cut) return;
  const last = line.pieces.at(-1);
  if (last && last.channel === piece.channel && last.attempt === piece.attempt && !last.note && !piece.note) {
    last.text += piece.text;
  } else line.pieces.push(piece);
  line.size += piece.text.length;
  if (line.size > LINE_CHARS) shorten(line);
}

function shorten(line) {
  dropOverwritten(line);
  if (line.size <= LINE_CHARS) return;
  let room = LINE_CHARS;
  line.pieces = line.pieces.map((piece) => {
    const text = piece.text.slice(0, room);
    room -= text.length;
    return { ...piece, text };
  });
  line.size = LINE_CHARS;
  line.cut = true;
}

/** Let go what a carriage return went back over. */
function dropOverwritten(line) {
  const { pieces } = line;
  for (let i = pieces.length - 1; i >= 0; i--) {
    const { text } = pieces[i];
    const at = text.length > 1 ? text.lastIndexOf("\r", text.length - 2) : -1;
    if (at < 0) continue;
    line.styles = stylesAfter([...pieces.slice(0, i), { ...pieces[i], text: text.slice(0, at) }], line.styles);
    line.pieces = [{ ...pieces[i], text: text.slice(at) }, ...pieces.slice(i + 1)];
    line.size = line.pieces.reduce((sum, piece) => sum + piece.text.length, 0);
    return;
  }
}

/** The lines at hand. `lines` is how many there are in all, `position` where in the log the newest ends. */
export class LineStore {
  lines = 0;
  position = 0;
  #pages = new Map();
  #decoders = new Decoders();
  #open = false;
  #size = 0;
  #clock = 0;
  #looked = 0;
  #budget;

  constructor(budget) {
    this.#budget = budget;
  }

  /** Begin with the newest lines: an answer to a request for the last so many. */
  begin(answer) {
    const { lines, open } = cut(answer.pieces, this.#decoders);
    this.lines = answer.lines;
    this.position = answer.position;
    if (answer.skipped && lines.length) lines[0].skipped = answer.skipped;
    this.#take(answer.first, lines);
    this.#open = open;
  }

  /** Lines that were asked for. Those that are here are let be: they may have more. */
  put(answer) {
    const { lines } = cut(answer.pieces, new Decoders());
    if (answer.cut && lines.length) lines.at(-1).cut = true;
    this.#take(answer.first, lines);
    lines.forEach((_, i) => (this.#page(answer.first + i).used = ++this.#clock));
    this.#letGo();
  }

  /** What a stream tells; it is passed over when it is here already. */
  append(position, piece) {
    if (position <= this.position) return;
    this.position = position;
    const { lines, open } = cut([piece], this.#decoders);
    if (!lines.length) return; // the beginning of a character
    if (this.#open) this.#goOn(lines.shift());
    const first = this.lines + 1;
    this.lines += lines.length;
    this.#take(first, lines);
    this.#open = open;
    this.#letGo();
  }

  #goOn(more) {
    const line = this.get(this.lines);
    const before = line.size;
    for (const piece of more.pieces) add(line, piece);
    this.#weigh(this.lines, line.size - before);
  }

  #take(first, lines) {
    let before = this.get(first - 1);
    lines.forEach((line, i) => {
      const number = first + i;
      const there = this.get(number);
      if (!there) {
        line.styles = before ? stylesAfter(before.pieces, before.styles) : START;
        this.#page(number).lines[(number - 1) % PAGE] = line;
        this.#weigh(number, line.size + LINE_COST);
      }
      before = there ?? line;
    });
  }

  #page(number) {
    const key = Math.floor((number - 1) / PAGE);
    let page = this.#pages.get(key);
    if (!page) {
      page = { lines: new Array(PAGE), size: 0, used: 0 };
      this.#pages.set(key, page);
    }
    return page;
  }

  #weigh(number, size) {
    this.#page(number).size += size;
    this.#size += size;
  }

  /** A line by its number; undefined when it is not at hand. */
  get(number) {
    return number > 0 ? this.#pages.get(Math.floor((number - 1) / PAGE))?.lines[(number - 1) % PAGE] : undefined;
  }

  /** Note that these lines are looked at; those of them that are not at hand, as [first, last], or null. */
  look(first, last) {
    let [from, to] = [0, 0];
    this.#looked = this.#clock;
    for (let number = Math.max(first, 1); number <= Math.min(last, this.lines); number++) {
      const page = this.#pages.get(Math.floor((number - 1) / PAGE));
      if (page) page.used = ++this.#clock;
      if (!this.get(number)) [from, to] = [from || number, number];
    }
    return from ? [from, to] : null;
  }

  #letGo() {
    const newest = Math.floor((this.lines - 1) / PAGE) - 1;
    while (this.#size > this.#budget) {
      const old = [...this.#pages].filter(([key, page]) => key < newest && page.used <= this.#looked).sort(([, a], [, b]) => a.used - b.used)[0];
      if (!old) return;
      this.#pages.delete(old[0]);
      this.#size -= old[1].size;
    }
  }
}
