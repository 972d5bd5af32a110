// What a schedule means, said while it is written: in words, and by its next ticks in the reader's zone and the job's.
import { call, Refusal } from "./ask.js";
import { element } from "./elements.js";
import { full, timeElement, zone as here } from "./time.js";

const COUNT = 5;
const WAIT = 200;
const KEYS = ["timezone", "starts_at", "expires_at", "dst_gap", "dst_fold"];
let waiting = 0;
let asked = 0;

function show(words, ticks = []) {
  document.getElementById("explained-words").textContent = words;
  document.getElementById("explained-ticks").replaceChildren(...ticks);
}

function line(iso, zone, because) {
  const there = element("span", "tick-there", full(new Date(iso), zone || "UTC"));
  const elsewhere = (zone || "UTC") === here() ? [] : [" ", there];
  return element("li", "", timeElement(iso), ...elsewhere, because ? element("span", "moved", because) : null);
}

function address(job, id) {
  const query = new URLSearchParams({ expr: [].concat(job.schedule ?? "").join(" | "), count: COUNT });
  for (const key of KEYS) if (job[key]) query.set(key, job[key]);
  if (job.id || id) query.set("job", job.id || id);
  return `/api/v1/schedule/?${query}`;
}

async function explain(job, id, refused) {
  const mine = ++asked;
  if (job.parent_jobs?.length) return show("After its parents: it has no ticks of its own.");
  if (![].concat(job.schedule ?? "").join("").trim()) {
    refused(null);
    return show("Once, now.");
  }
  try {
    const told = await call("GET", address(job, id));
    if (mine !== asked) return;
    const why = new Map((told.moved ?? []).map((each) => [each.tick, each.because]));
    refused(null);
    show(`${told.words[0].toUpperCase()}${told.words.slice(1)}.`, told.next.map((each) => line(each, job.timezone, why.get(each))));
  } catch (error) {
    if (mine !== asked) return;
    show("");
    if (!(error instanceof Refusal)) throw error;
    if (error.field === "expr") error.field = "schedule";
    error.message = error.message.replace(/^expr: /, "");
    refused(error);
  }
}

/** Explain a job's schedule, a moment after the last key. `refused` is given the Refusal, or null when there is none. */
export function explainSchedule(job, id, refused) {
  clearTimeout(waiting);
  waiting = setTimeout(() => explain(job, id, refused), WAIT);
}
