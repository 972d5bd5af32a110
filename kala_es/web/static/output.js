// The viewer of a run's output: follow, pause, search, one channel or both, line numbers that are links.
//
// 1. It begins with the newest lines, which come with the position that they go up to; what the stream tells after that
//    is added. Lines that come into sight and are not here are asked for.
// 2. Pausing holds the view still, and nothing else: what comes meanwhile is there when it goes on.
// 3. Of a channel alone, lines have the numbers that they have in that channel.

import { Refusal } from "./ask.js";
import { LineStore } from "./output_lines.js";
import { nearest, OutputSearch } from "./output_search.js";
import { OutputSource } from "./output_source.js";
import { OutputView } from "./output_view.js";
import { counted, number, size } from "./words.js";

const NEWEST = 500;
const AHEAD = 250;
const BEFORE = 100;
const KEPT_CHARS = 24 * 1024 * 1024;
const HELD_CHARS = 4 * 1024 * 1024;
const AGAIN_MS = 1_000;
const TYPING_MS = 300;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class OutputViewer {
  #root;
  #source;
  #store = new LineStore(KEPT_CHARS);
  #view;
  #loading = null;
  #held = [];
  #heldChars = 0;
  #bytes = 0;
  #attempt;
  #frozen = 0;
  #missed = 0;
  #fetching = false;
  #search = null;
  #hit = 0;
  #typing = 0;

  constructor(root) {
    this.#root = root;
    this.#attempt = Number(root.dataset.attempt);
    this.#source = new OutputSource(root.dataset.address);
    const on = { onmiss: (first) => this.#miss(first), onfollow: (following) => this.#press("follow", following) };
    this.#view = new OutputView(this.#part("pane"), this.#store, on);
    this.#listen();
    this.#load();
  }

  /** A frame of the run's stream: output, or a change of state, which may begin another attempt. */
  take({ id, event, data }) {
    if (event !== "output") {
      if (data.state === "attempt-failed" && data.retrying && !data.retry_at) this.#attempt = data.attempt + 1;
      if (data.state === "attempt-started") this.#attempt = data.attempt;
      return;
    }
    const piece = { ...data, attempt: this.#attempt };
    if (!this.#loading) this.#append(id, piece);
    else this.#hold(id, piece);
  }

  /** Say how the stream is: "live", "reconnecting", "over" or "gone". */
  tell(state) {
    const texts = { reconnecting: "The connection is lost; reconnecting…", gone: "There is no such run any more." };
    this.#note("stream", texts[state] ?? "");
  }

  #part(name) {
    return this.#root.querySelector(`[data-part="${name}"]`);
  }

  #press(name, on) {
    this.#part(name).setAttribute("aria-pressed", String(on));
  }

  #note(about, text) {
    const place = this.#part("notes");
    const there = place.querySelector(`[data-about="${about}"]`);
    if (!text) return there?.remove();
    const note = there ?? document.createElement("p");
    note.dataset.about = about;
    if (note.textContent !== text) note.textContent = text;
    if (!there) place.append(note);
  }

  #listen() {
    this.#part("follow").addEventListener("click", () => this.#view.follow(!this.#view.following));
    this.#part("pause").addEventListener("click", () => this.#pause(!this.#frozen));
    for (const button of this.#root.querySelectorAll("[data-channel]")) {
      button.addEventListener("click", () => this.#choose(button.dataset.channel));
    }
    const field = this.#part("query");
    field.addEventListener("input", () => this.#typed());
    field.addEventListener("keydown", (event) => this.#key(event));
    this.#part("next").addEventListener("click", () => this.#step(true));
    this.#part("previous").addEventListener("click", () => this.#step(false));
    this.#part("pane").addEventListener("click", (event) => this.#pick(event));
    addEventListener("hashchange", () => this.#goToHash());
    addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
      event.preventDefault();
      field.focus();
    });
  }

  // The lines

  async #load() {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const store = new LineStore(KEPT_CHARS);
    const answer = await this.#newest(loading.signal);
    if (!answer || loading.signal.aborted) return;
    store.begin(answer);
    this.#loading = null;
    this.#store = store;
    this.#bytes = answer.bytes;
    this.#view.show(store);
    for (const [id, piece] of this.#held.splice(0)) this.#append(id, piece);
    this.#heldChars = 0;
    this.#changed();
    this.#goToHash();
    if (!this.#search) this.#begin(); // what was typed before this module was here, or comes from going back
  }

  /** The newest lines, once they can be had; null when they cannot be. */
  async #newest(signal) {
    while (!signal.aborted) {
      try {
        const answer = await this.#source.newest(NEWEST, signal);
        this.#note("lines", "");
        if (this.#heldChars <= HELD_CHARS) return answer;
        this.#held = [];
        this.#heldChars = 0;
      } catch (error) {
        if (signal.aborted || this.#failed(error)) return null;
        await pause(AGAIN_MS);
      }
    }
    return null;
  }

  #hold(id, piece) {
    this.#heldChars += piece.text.length;
    if (this.#heldChars <= HELD_CHARS) this.#held.push([id, piece]);
  }

  #append(id, piece) {
    const { channel } = this.#source;
    if (id <= this.#store.position || (channel && channel !== piece.channel)) return;
    this.#bytes += piece.base64 ? atob(piece.base64).length : new TextEncoder().encode(piece.text).length;
    this.#store.append(id, piece);
    this.#changed();
  }

  #changed() {
    this.#part("size").textContent = `${counted(this.#store.lines, "line")}, ${size(this.#bytes)}`;
    this.#part("none").hidden = this.#store.lines > 0;
    this.#part("pane").hidden = !this.#store.lines;
    this.#search?.grow(this.#bytes);
    if (this.#frozen) {
      const more = this.#store.lines - this.#frozen;
      this.#note("pause", more ? `Paused; ${counted(more, "line")} more by now.` : "Paused.");
    } else this.#view.update(this.#store.lines);
  }

  /** Whether an answer says that there is nothing to have; then it is shown. Else it is worth another try. */
  #failed(error) {
    const gone = error instanceof Refusal && (error.status === 404 || error.status === 410);
    if (gone) {
      this.#part("viewer").hidden = true;
      this.#search?.close();
    }
    this.#note("lines", gone ? `Not shown: ${error.message}.` : "The server does not answer; asking again…");
    return gone;
  }

  /** Ask for lines that are in sight: some before them, too, when that is not much. */
  async #miss(first) {
    if (this.#fetching || this.#loading) return;
    this.#fetching = true;
    const { store, source } = { store: this.#store, source: this.#source };
    const begin = this.#missed === first ? first : Math.max(first - BEFORE, 1);
    this.#missed = first;
    try {
      store.put(await source.lines(begin, AHEAD + BEFORE));
      this.#note("lines", "");
    } catch (error) {
      if (!this.#failed(error)) await pause(AGAIN_MS);
    }
    this.#fetching = false;
    this.#view.update();
  }

  #pause(on) {
    this.#frozen = on ? this.#store.lines : 0;
    this.#press("pause", on);
    this.#note("pause", on ? "Paused." : "");
    this.#view.update(this.#store.lines);
  }

  #choose(channel) {
    if (channel === this.#source.channel) return;
    for (const button of this.#root.querySelectorAll("[data-channel]")) {
      button.setAttribute("aria-pressed", String(button.dataset.channel === channel));
    }
    this.#source = new OutputSource(this.#root.dataset.address, channel);
    const link = this.#part("download");
    link.href = this.#source.raw;
    link.download = link.dataset.name + (channel ? `.${channel}` : "") + ".log";
    history.replaceState(null, "", location.pathname + location.search);
    if (this.#frozen) this.#pause(false);
    this.#view.follow(true);
    this.#load().then(() => this.#begin());
  }

  // A line by its address

  #pick(event) {
    const link = event.target.closest("a.line-number");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    this.#goToHash();
  }

  #goToHash() {
    const line = Number(/^#L([0-9]{1,15})$/.exec(location.hash)?.[1] ?? 0);
    if (line && !this.#loading) this.#go(Math.min(line, this.#store.lines));
  }

  #go(line) {
    this.#view.current = line;
    this.#view.go(line);
  }

  // Search

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#begin(), TYPING_MS);
  }

  /** Search for what is in the field. */
  #begin() {
    clearTimeout(this.#typing);
    this.#typing = 0;
    this.#search?.close();
    const query = this.#part("query").value;
    this.#search = null;
    this.#hit = 0;
    this.#view.query = query.toLowerCase();
    if (query) {
      const search = new OutputSearch(query, this.#source, { size: this.#bytes, onchange: () => this.#found(search) });
      this.#search = search;
    }
    this.#tellHits();
    this.#view.update();
  }

  #found(search) {
    if (search !== this.#search) return;
    this.#tellHits();
    this.#onfound?.();
  }

  #onfound = null;

  #key(event) {
    if (event.key === "Escape") {
      event.target.value = "";
      this.#begin();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.#typing) this.#begin();
      this.#step(!event.shiftKey);
    }
  }

  /** The next hit, or the previous one; after the last the first. Before any is found, the first that will be. */
  #step(forward) {
    const hits = this.#search?.hits ?? [];
    this.#onfound = hits.length || !this.#search ? null : () => this.#search?.hits.length && this.#step(forward);
    if (!hits.length) return;
    const from = this.#hit ? this.#hit + (forward ? 1 : -1) : this.#view.first;
    const at = nearest(hits, from, forward);
    this.#hit = at < 0 ? hits.at(forward ? 0 : -1) : hits[at];
    this.#go(this.#hit);
    this.#tellHits();
  }

  #tellHits() {
    const search = this.#search;
    const ready = Boolean(search?.hits.length);
    this.#part("next").disabled = this.#part("previous").disabled = !ready;
    this.#part("hits").textContent = search ? this.#hitsText(search) : "";
  }

  #hitsText(search) {
    const count = search.hits.length;
    const at = this.#hit ? `${number(nearest(search.hits, this.#hit, true) + 1)} of ` : "";
    const found = count ? at + counted(count, "line") : "No line";
    if (search.failed) return `${found}; the search was interrupted`;
    if (search.stopped) return `${found} in the first ${size(search.read)}; no further`;
    return search.done ? found : `${found}; ${Math.floor((search.read / search.size) * 100)} % searched`;
  }
}
