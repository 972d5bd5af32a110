// A run's output as the server has it: lines of it, and its bytes from the beginning on.

import { Refusal } from "./ask.js";

async function answered(answer) {
  if (answer.ok) return answer;
  throw new Refusal(answer.status, await answer.json().catch(() => null));
}

/** The output of a run, or of one of its channels. `address` is its place in the API. */
export class OutputSource {
  constructor(address, channel = "") {
    this.address = address;
    this.channel = channel;
  }

  /** Where the raw bytes are. */
  get raw() {
    return this.#at("", {});
  }

  /** At most `count` lines from `first` on. */
  lines(first, count, signal) {
    return this.#lines({ first, limit: count }, signal);
  }

  /** The last lines, at most so many. */
  newest(count, signal) {
    return this.#lines({ last: count }, signal);
  }

  /** Bytes from one on, at most so many; none at the end. */
  async bytes(from, most, signal) {
    const headers = { Range: `bytes=${from}-${from + most - 1}` };
    const answer = await fetch(this.raw, { headers, cache: "no-store", signal });
    if (answer.status === 416) return new Uint8Array();
    const content = new Uint8Array(await (await answered(answer)).arrayBuffer());
    return answer.status === 206 ? content : content.subarray(from, from + most);
  }

  async #lines(query, signal) {
    const answer = await fetch(this.#at("lines/", query), { cache: "no-store", signal });
    return await (await answered(answer)).json();
  }

  #at(rest, query) {
    const asked = new URLSearchParams({ ...query, ...(this.channel ? { channel: this.channel } : {}) }).toString();
    return this.address + rest + (asked ? `?${asked}` : "");
  }
}
