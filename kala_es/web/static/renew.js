// A page that reads itself anew, for what no beat of the pulse has told: the tab was away, the server was, or too much
// happened at once.
//
// 1. One request at a time, and none for REST_MS after it: many pages may be open, and all miss the same.
// 2. Nobody looks at a hidden tab, so it waits. So it does while a dialog asks, for what it asks about stays in sight.

import { writeTimes } from "./time.js";

const REST_MS = 10_000;
const SPREAD_MS = 2_000;
const AGAIN_MS = 1_000;

/** The page as the server has it now; null when it has none. */
export async function readAnew() {
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

/** Put elements of another page into the place of those that have their ids here. */
export function putById(page, ids) {
  for (const id of ids) {
    const fresh = page.getElementById(id);
    if (!fresh) continue;
    document.getElementById(id)?.replaceWith(document.adoptNode(fresh));
    writeTimes(fresh);
  }
}

/** `put(page)` takes what is of use from the page, `isBusy()` tells that it should not be done just now. */
export class Renewal {
  #put;
  #isBusy;
  #wanted = false;
  #timer = 0;
  #restsUntil = 0;

  constructor(put, isBusy = () => false) {
    this.#put = put;
    this.#isBusy = () => document.querySelector("dialog[open]") !== null || isBusy();
    document.addEventListener("visibilitychange", () => this.#plan());
  }

  /** Something was missed. */
  want() {
    this.#wanted = true;
    this.#plan();
  }

  #plan() {
    if (!this.#wanted || this.#timer || document.hidden) return;
    const wait = this.#isBusy() ? AGAIN_MS : Math.max(this.#restsUntil - Date.now(), 0);
    this.#timer = setTimeout(() => this.#renew(), wait);
  }

  async #renew() {
    if (!document.hidden && !this.#isBusy()) {
      this.#wanted = false;
      const page = await readAnew();
      this.#restsUntil = Date.now() + REST_MS + Math.random() * SPREAD_MS;
      if (page && !this.#isBusy()) this.#put(page);
      else this.#wanted = true;
    }
    this.#timer = 0;
    this.#plan();
  }
}

/** What a page was told so far: `of` is the element that says up to which position the page was made, and of what. */
export class Known {
  constructor(of) {
    this.take(of);
  }

  /** The page was made anew. */
  take(of) {
    this.position = Number(of.dataset.position);
    this.jobs = Number(of.dataset.jobs);
    this.paused = of.dataset.paused === "true";
  }

  /** Whether a beat tells all that has happened since; it is taken to have been heard. */
  follows(beat) {
    const whole = beat.since <= this.position && this.position <= beat.position && !beat.more;
    this.position = beat.position;
    return whole && beat.jobs === this.jobs && beat.paused === this.paused;
  }
}
