// A job's page: its buttons, its runs as they go on, its coming ticks, and why a tick became what it did.
import { ask, call, say, whyNot } from "./ask.js";
import { drawBars } from "./bars.js";
import { element, runPage } from "./elements.js";
import { checkLog, follow } from "./live.js";
import { readAnew } from "./renew.js";
import { full, lasting, writeTime, zone } from "./time.js";
import { explainRun, explainTick, listUnstarted } from "./why.js";

const job = document.getElementById("job").dataset;
const runs = document.getElementById("runs");
const RUNNING_TYPES = ["RunStarted", "AttemptFailed", "AttemptStarted", "CancelRequested", "RunFinished"];
const CHANGE_TYPES = { JobUpdated: "edited", JobEnabled: "enabled", JobDisabled: "disabled", JobPaused: "paused", JobResumed: "resumed", JobDeleted: "deleted" };
let mine = false; // whether what comes next was done on this page

// What the buttons do

function action(kind) {
  return `/api/v1/job/${kind}/${encodeURIComponent(job.job)}/`;
}

async function carryOut(work, button) {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    mine = false;
    say(whyNot(error), { bad: true });
  } finally {
    button.disabled = false;
  }
}

async function start() {
  await call("POST", action("start"), "", { Prefer: "respond-async" });
  say("Started.");
}

async function change(kind) {
  mine = true;
  await call("POST", action(kind), "");
  location.assign(job.page);
}

/** Who would go with the job if it were deleted now: children may have come while the page was open. */
async function doomedNow() {
  const page = await readAnew();
  return JSON.parse(page?.getElementById("job")?.dataset.doomed ?? job.doomed);
}

async function remove() {
  const { count, jobs: doomed, losing } = await doomedNow();
  const running = document.querySelectorAll('#runs tbody tr[data-outcome=""]').length;
  const loses = ["Its schedule and definition go: no tick starts a run of it any more."];
  if (count) {
    const names = doomed.map((each) => each.name).join(", ");
    const more = count > doomed.length ? ` and ${count - doomed.length} more` : "";
    loses.push(`${count === 1 ? "Its child goes" : `Its ${count} children go`} with it: ${names}${more}.`);
  }
  if (losing) loses.push(`${losing === 1 ? "A child stays that has" : `${losing} children stay that have`} other parents, and will not wait for this one any more, also when it is brought back.`);
  if (running) loses.push("A run in flight goes on to its end; one that waits for its next attempt is given up.");
  loses.push("Its runs and their output stay readable, by their links.");
  loses.push("The log keeps its definition: it can be brought back from its page, with new counters and not paused.");
  if (!(await ask({ title: `Delete ${job.name}?`, loses, action: "Delete" }))) return;
  mine = true;
  await call("DELETE", job.delete);
  const took = doomed.map((each) => each.id).filter((each) => !each.includes(","));
  location.assign(job.page + (took.length ? `?took=${encodeURIComponent(took.join(","))}` : ""));
}

const ACTS = { start, enable: () => change("enable"), disable: () => change("disable"), resume: () => change("resume"), delete: remove };
for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => carryOut(ACTS[button.dataset.act], button));
}

// Its runs

function rowOf(run) {
  return runs.tBodies[0].querySelector(`tr[data-run="${CSS.escape(run)}"]`);
}

function writeMoment(element, iso) {
  element.dateTime = iso;
  writeTime(element);
}

function addRow(event) {
  const row = document.getElementById("run-row").content.firstElementChild.cloneNode(true);
  Object.assign(row.dataset, { run: event.run, began: event.at, ended: "", outcome: "" });
  row.querySelector("a").href = runPage(event.run);
  writeMoment(row.querySelector("time"), event.at);
  row.querySelector(".word").textContent = event.covers ? `${event.cause} for ${event.covers.count} ticks` : event.cause;
  Object.assign(row.querySelector("button").dataset, { why: event.tick ?? "", whyRun: event.run });
  runs.hidden = false;
  document.getElementById("no-runs")?.remove();
  runs.tBodies[0].prepend(row);
  while (runs.tBodies[0].rows.length > Number(job.most)) runs.tBodies[0].lastElementChild.remove();
  return row;
}

function writeOutcome(row, word) {
  const badge = row.querySelector(".badge");
  badge.className = `badge ${word || "running"}`;
  badge.textContent = (word || "running").replace("-", " ");
}

function writeAttempts(row, count) {
  row.querySelector(".attempts").textContent = count > 1 ? `, ${count} attempts` : "";
}

function writeTook(row) {
  const until = row.dataset.ended ? Date.parse(row.dataset.ended) : Date.now();
  row.querySelector(".took").textContent = lasting(until - Date.parse(row.dataset.began));
}

function take(event) {
  if (event.type === "RunStarted") {
    if (!rowOf(event.run)) addRow(event);
    later(renewTicks);
  }
  const row = rowOf(event.run);
  if (!row) return;
  if (event.type === "AttemptFailed" && event.retrying) row.querySelector(".reason").textContent = event.reason ?? "";
  if (event.type === "AttemptStarted") writeAttempts(row, event.attempt);
  if (event.type === "AttemptFailed" && event.retrying && !event.retry_at) writeAttempts(row, event.attempt + 1);
  if (event.type === "CancelRequested") row.querySelector(".badge").textContent = "cancelling";
  if (event.type === "RunFinished") {
    Object.assign(row.dataset, { ended: event.at, outcome: event.outcome });
    writeOutcome(row, event.outcome);
    writeAttempts(row, event.attempts);
    row.querySelector(".reason").textContent = event.reason ?? "";
  }
  writeTook(row);
  later(redraw);
}

// What many events ask for is done once, a moment after the first of them.
const waiting = new Map();

function later(work, milliseconds = 250) {
  if (!waiting.has(work)) waiting.set(work, setTimeout(() => (waiting.delete(work), work()), milliseconds));
}

function redraw() {
  drawBars(document.getElementById("durations"), [...runs.tBodies[0].rows].reverse());
}

function tick() {
  const live = runs.tBodies[0].querySelectorAll('tr[data-outcome=""]');
  for (const row of live) writeTook(row);
  if (live.length) redraw();
}

// Its coming ticks

async function renewTicks() {
  try {
    const next = await call("GET", `${job.page}next/?count=8`);
    const why = new Map((next.moved ?? []).map((each) => [each.tick, each.because]));
    document.getElementById("coming").replaceChildren(...next.next.map((each) => tickLine(each, why.get(each))));
    document.getElementById("none-coming").hidden = next.next.length > 0;
  } catch (error) {
    say(whyNot(error), { bad: true });
  }
}

function tickLine(iso, because) {
  const here = document.createElement("time");
  here.dataset.zone = job.zone;
  writeMoment(here, iso);
  const there = element("span", "tick-there", full(new Date(iso), job.zone));
  return element("li", "", here, " ", there, because ? element("span", "moved", because) : null);
}

// What goes on

function changed(event) {
  if (mine) return;
  const banner = document.getElementById("changed");
  banner.querySelector("span").textContent = `This job was ${CHANGE_TYPES[event.type]} meanwhile.`;
  banner.hidden = false;
}

function listen() {
  const on = {};
  for (const type of RUNNING_TYPES) on[type] = take;
  for (const type of Object.keys(CHANGE_TYPES)) on[type] = changed;
  const filter = `job=${encodeURIComponent(job.job)}&type=${Object.keys(on).join(",")}`;
  const returned = (last) => checkLog(Number(last || job.position));
  follow((last) => `/api/v1/events/?${filter}&after=${last || job.position}`, on, { returned });
}

// Why

const whyForm = document.getElementById("why-form");
const answer = document.getElementById("why-answer");

async function askWhy(tick) {
  const wrong = document.getElementById("why-wrong");
  wrong.textContent = "";
  whyForm.tick.removeAttribute("aria-invalid");
  try {
    await explainTick(job.page, tick, answer);
  } catch (error) {
    answer.replaceChildren();
    wrong.textContent = whyNot(error);
    whyForm.tick.setAttribute("aria-invalid", "true");
  }
}

whyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = whyForm.tick.value.trim();
  const local = /(z|[+-]\d\d:\d\d)$/i.test(said) ? null : new Date(said.replace(" ", "T"));
  askWhy(local && !Number.isNaN(local.getTime()) ? local.toISOString() : said);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-why]");
  if (!button) return;
  document.getElementById("why").scrollIntoView({ block: "nearest" });
  if (button.dataset.why) {
    whyForm.tick.value = button.dataset.why;
    await askWhy(button.dataset.why);
  } else {
    await explainRun(job.page, button.dataset.whyRun, answer).catch((error) => say(whyNot(error), { bad: true }));
  }
  answer.querySelector("h3")?.focus();
});

document.getElementById("coming").classList.toggle("same-zone", job.zone === zone());
redraw();
setInterval(() => document.hidden || tick(), 1000);
if (job.live) listen();
document.getElementById("list-unstarted").addEventListener("click", (event) => {
  carryOut(() => listUnstarted(job.page, document.getElementById("unstarted")), event.currentTarget);
});
const asked = new URLSearchParams(location.search).get("why");
if (asked) {
  whyForm.tick.value = asked;
  askWhy(asked);
}
