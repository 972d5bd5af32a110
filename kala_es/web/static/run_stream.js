// A run's live stream, read with fetch: each frame once, in order, also over a server that goes away and comes back.
//
// 1. What was told last is said when it reconnects (Last-Event-ID), so nothing is missed and nothing comes twice.
// 2. The page has its turn: after some milliseconds of work the others go first. A stream that is read slowly waits.
// 3. A hidden tab gives its connection back (live.js), and goes on where it was when it is looked at.
// 4. A stream that is silent for longer than its heartbeat is given up and opened again.

const SILENCE_MS = 40_000;
const WORK_MS = 12;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;

/** Frames out of a text/event-stream, as far as it has come. Pure but for what it remembers of the last one. */
export class FrameParser {
  #rest = "";

  /** The frames that are whole by now: {id, event, data}. */
  *feed(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").filter((line) => line && !line.startsWith(":")).map((line) => {
          const colon = line.indexOf(":");
          return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
        }),
      );
      if (fields.data !== undefined) yield { id: Number(fields.id), event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

/** Follow a stream to its end. `onframe` is given each frame, `onstate` "live", "reconnecting", "over" or "gone". */
export class RunStream {
  #url;
  #last;
  #onframe;
  #onstate;
  #abort = null;
  #closed = false;

  constructor(url, { after, onframe, onstate }) {
    this.#url = url;
    this.#last = after;
    this.#onframe = onframe;
    this.#onstate = onstate;
  }

  async follow() {
    let wait = FIRST_WAIT_MS;
    document.addEventListener("visibilitychange", () => document.hidden && this.#abort?.abort());
    while (!this.#closed) {
      const before = this.#last;
      while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      const told = await this.#read().catch(() => "reconnecting");
      if (this.#closed) return;
      this.#onstate(told);
      if (told !== "reconnecting") return;
      wait = this.#last > before ? FIRST_WAIT_MS : Math.min(wait * 1.5, LONGEST_WAIT_MS);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  close() {
    this.#closed = true;
    this.#abort?.abort();
  }

  async #read() {
    this.#abort = new AbortController();
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(this.#last) };
    const answer = await fetch(this.#url, { headers, cache: "no-store", signal: this.#abort.signal });
    if (answer.status === 204) return "over";
    if (answer.status === 404) return "gone";
    if (!answer.ok) return "reconnecting";
    this.#onstate("live");
    return await this.#frames(answer.body.pipeThrough(new TextDecoderStream()).getReader());
  }

  async #frames(reader) {
    const parser = new FrameParser();
    let turn = performance.now();
    for (;;) {
      const silent = setTimeout(() => this.#abort.abort(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silent));
      if (done) return "reconnecting";
      for (const frame of parser.feed(value)) {
        this.#last = frame.id;
        this.#onframe(frame);
        if (frame.event === "end") return "over";
        if (performance.now() - turn > WORK_MS) {
          await new Promise((resolve) => setTimeout(resolve));
          turn = performance.now();
        }
      }
    }
  }
}
