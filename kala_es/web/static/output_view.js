// A window on many lines: only the rows that are seen (and some around them) are in the page.
//
// 1. All rows are equally high. The place is `top`, the first line that is seen, from 0, with a fraction.
// 2. A browser's elements have a greatest height. Of more lines the scroll bar stands for shares of them: a small movement
//    moves by pixels all the same, a large one by shares, and when it rests the bar is put where it belongs.
// 3. Following means that the last line is in sight; whoever scrolls up ends it, whoever reaches the end begins it.

import { newRow, writeRow } from "./output_row.js";

const GREATEST_HEIGHT = 8_000_000;
const AROUND = 12;
const REST_MS = 150;

/** `lines` is a LineStore; `onmiss(first, last)` is told of lines that are seen and not here, `onfollow(on)` of rule 3. */
export class OutputView {
  following = true;
  query = "";
  current = 0;
  #pane;
  #lines;
  #spacer = document.createElement("div");
  #rows = document.createElement("div");
  #shown = new Map();
  #height = 18;
  #count = 0;
  #top = 0;
  #expected = 0;
  #frame = 0;
  #rest = 0;
  #on;

  constructor(pane, lines, { onmiss, onfollow }) {
    this.#pane = pane;
    this.#lines = lines;
    this.#on = { onmiss, onfollow };
    this.#spacer.className = "output-spacer";
    this.#rows.className = "output-rows";
    pane.replaceChildren(this.#spacer, this.#rows);
    this.#height = Number.parseFloat(getComputedStyle(this.#rows).lineHeight) || 18;
    pane.addEventListener("scroll", () => this.#scrolled());
    pane.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.update()).observe(pane);
  }

  /** Show other lines from now on. */
  show(lines) {
    this.#lines = lines;
    this.#shown.forEach(({ row }) => row.remove());
    this.#shown.clear();
    this.#count = this.current = 0;
    this.#pane.scrollLeft = 0;
    this.update();
  }

  /** The lines have changed: there are `count` of them, or those that there were when it was paused. */
  update(count = this.#count) {
    this.#count = count;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#fit();
      this.#place(this.following ? this.#last : this.#top);
    });
  }

  /** The first line in sight, from 1. */
  get first() {
    return Math.floor(this.#top) + 1;
  }

  /** Bring a line into sight, a third from above. */
  go(line) {
    this.follow(false);
    this.#fit();
    const [first, seen] = [this.#top, this.#pane.clientHeight / this.#height];
    const there = line - 1 >= first && line <= first + seen;
    this.#place(there ? this.#top : line - 1 - Math.floor(seen / 3));
  }

  follow(on) {
    if (this.following === on) return;
    this.following = on;
    this.#on.onfollow(on);
    if (on) this.update();
  }

  get #last() {
    return Math.max(this.#count - this.#pane.clientHeight / this.#height, 0);
  }

  get #room() {
    return Math.max(this.#pane.scrollHeight - this.#pane.clientHeight, 0);
  }

  get #isScaled() {
    return this.#count * this.#height > GREATEST_HEIGHT;
  }

  #fit() {
    const height = `${Math.min(this.#count * this.#height, GREATEST_HEIGHT)}px`;
    if (this.#spacer.style.height !== height) this.#spacer.style.height = height;
  }

  #place(top) {
    this.#top = Math.min(Math.max(top, 0), this.#last);
    const share = this.#last ? this.#top / this.#last : 0;
    const wanted = this.#isScaled ? share * this.#room : this.#top * this.#height;
    if (Math.abs(this.#pane.scrollTop - wanted) >= 1) this.#pane.scrollTop = wanted;
    this.#expected = this.#pane.scrollTop;
    this.#draw();
  }

  /** Home and End, at once: a browser's own way to the end is too slow for output that grows. */
  #key(event) {
    if ((event.key !== "Home" && event.key !== "End") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.follow(event.key === "End");
    this.#place(event.key === "End" ? this.#last : 0);
  }

  #scrolled() {
    const at = this.#pane.scrollTop;
    const moved = at - this.#expected;
    if (Math.abs(moved) < 1) return;
    this.#expected = at;
    const near = Math.abs(moved) < 3 * this.#pane.clientHeight;
    if (!this.#isScaled) this.#top = at / this.#height;
    else if (at <= 0 || at >= this.#room - 1 || !near) this.#top = this.#room ? (at / this.#room) * this.#last : 0;
    else this.#top += moved / this.#height;
    this.#top = Math.min(Math.max(this.#top, 0), this.#last);
    if (moved < 0 && at < this.#room - 1) this.follow(false);
    else if (this.#top >= this.#last - 1.5) this.follow(true);
    if (this.#isScaled) {
      clearTimeout(this.#rest);
      this.#rest = setTimeout(() => this.#place(this.#top), REST_MS);
    }
    this.#draw();
  }

  #draw() {
    const seen = this.#pane.clientHeight / this.#height;
    const first = Math.max(Math.floor(this.#top) - AROUND, 0) + 1;
    const last = Math.min(Math.ceil(this.#top + seen) + AROUND, this.#count);
    const missing = this.#lines.look(first, last);
    for (const [number, { row }] of this.#shown) {
      if (number < first || number > last) {
        row.remove();
        this.#shown.delete(number);
      }
    }
    let next = this.#rows.firstChild;
    for (let number = first; number <= last; number++) {
      const row = this.#row(number);
      if (row === next) next = next.nextSibling;
      else this.#rows.insertBefore(row, next);
    }
    const offset = this.#pane.scrollTop + (first - 1 - this.#top) * this.#height;
    this.#rows.style.transform = `translateY(${offset}px)`;
    if (missing) this.#on.onmiss(...missing);
  }

  /** The row of a line, written anew when the line, the search or its place has changed. */
  #row(number) {
    const shown = this.#shown.get(number) ?? { row: newRow(number), line: null, state: "" };
    const line = this.#lines.get(number);
    const attempt = line && beginning(line, this.#lines.get(number - 1));
    const state = `${line?.changes} ${attempt} ${this.query}`;
    if (shown.line !== line || shown.state !== state) writeRow(shown.row, line, { query: this.query, attempt });
    shown.row.classList.toggle("current", number === this.current);
    Object.assign(shown, { line, state });
    this.#shown.set(number, shown);
    return shown.row;
  }
}

/** The number of the attempt that begins with a line, from the second on; 0 for none. */
function beginning(line, before) {
  const attempt = line.pieces.at(-1)?.attempt ?? 1;
  const earlier = before?.pieces.at(-1)?.attempt ?? attempt;
  return attempt > earlier ? attempt : 0;
}
