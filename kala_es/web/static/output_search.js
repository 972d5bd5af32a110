// Search through all of a run's output, also what is not at hand: it is read from its beginning, piece by piece, in the
// background, and let go again. What is found are the numbers of lines.
//
// 1. It goes on with what comes later, and says how far it is. After MOST_BYTES, or MOST_HITS, it says that it stopped.
// 2. Letter case does not count. What is searched is what is shown: text without control sequences.

import { plain } from "./ansi.js";

const PIECE = 1024 * 1024;
const MOST_BYTES = 1024 * 1024 * 1024;
const MOST_HITS = 20_000;
const LONGEST_LINE = 1024 * 1024;
const PATIENCE_MS = 500;

/** Lines out of bytes, numbered from 1; what follows the last line feed is kept for later. */
export class LineCounter {
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #rest = "";
  number = 1;

  /** The lines that are whole by now. */
  *feed(bytes) {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop().slice(-LONGEST_LINE);
    for (const line of lines) yield [this.number++, line];
  }

  /** The unfinished one. */
  get rest() {
    return [this.number, this.#rest];
  }
}

/** One search. `onchange` is told when there is something new; `hits` are the lines, in order. */
export class OutputSearch {
  hits = [];
  read = 0;
  size = 0;
  stopped = false;
  failed = false;
  #query;
  #source;
  #abort = new AbortController();
  #onchange;
  #wake = () => {};

  constructor(query, source, { size, onchange }) {
    this.#query = query.toLowerCase();
    this.#source = source;
    this.#onchange = onchange;
    this.size = size;
    this.#run().catch(() => {
      this.failed = !this.#abort.signal.aborted;
      onchange();
    });
  }

  /** There is so much output by now. */
  grow(size) {
    this.size = size;
    this.#wake();
  }

  close() {
    this.#abort.abort();
    this.#wake();
  }

  get done() {
    return this.read >= this.size || this.stopped;
  }

  async #run() {
    const lines = new LineCounter();
    const { signal } = this.#abort;
    while (!signal.aborted) {
      if (this.read >= Math.min(this.size, MOST_BYTES) || this.hits.length >= MOST_HITS) {
        this.stopped = this.read >= MOST_BYTES || this.hits.length >= MOST_HITS;
        this.#onchange();
        if (this.stopped) return;
        await new Promise((resolve) => (this.#wake = resolve));
        await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
        continue;
      }
      const bytes = await this.#source.bytes(this.read, PIECE, signal);
      if (!bytes.length) this.size = this.read;
      this.read += bytes.length;
      for (const [number, line] of lines.feed(bytes)) this.#look(number, line);
      this.#look(...lines.rest);
      this.#onchange();
    }
  }

  #look(number, line) {
    if (this.hits.at(-1) !== number && matches(line, this.#query)) this.hits.push(number);
  }
}

/** Whether what is shown of a line has the text, which is in lower case. */
export function matches(line, query) {
  return plain(line).toLowerCase().includes(query);
}

/** The first hit at or after a line, or at or before it; -1 for none. */
export function nearest(hits, line, forward) {
  let [low, high] = [0, hits.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (forward ? hits[middle] < line : hits[middle] <= line) low = middle + 1;
    else high = middle;
  }
  return forward ? (low < hits.length ? low : -1) : low - 1;
}
