// The page of a run: its state as it changes, what can be done with it, and its output.

import { ask, call, Refusal, say, whyNot } from "./ask.js";
import { element, runPage } from "./elements.js";
import { show } from "./live.js";
import { OutputViewer } from "./output.js";
import { RunStream } from "./run_stream.js";
import { lasting, timeElement } from "./time.js";

const page = document.getElementById("run");
const { api, stream, after, startApi, started, now, usual, name } = page.dataset;
const skew = Date.now() - new Date(now);
const part = (what) => page.querySelector(`[data-run-part="${what}"]`);
const MOST_ROWS = 400;
const NAMES = {
  started: "RunStarted", "attempt-failed": "AttemptFailed", "attempt-started": "AttemptStarted",
  "cancel-requested": "CancelRequested", "status-reported": "StatusReported", finished: "RunFinished",
};

function cell(className, label, ...children) {
  const made = element("td", className, ...children);
  made.dataset.label = label;
  return made;
}

function badge(word) {
  return element("span", `badge ${word || "running"}`, (word || "running").replace("-", " "));
}

// What the server says of an end, too: kala_es/web/pages/run_story.py.
function ending(data) {
  return [data.outcome.replace("-", " "), how(data)].filter(Boolean).join(", ");
}

function how({ exit_code: code, signal, reason }) {
  const end = code !== null && code !== undefined && code >= 0 ? `exit code ${code}` : signal ? `signal ${signal}` : "";
  return [end, reason === `exit status ${code}` ? "" : reason].filter(Boolean).join(", ");
}

function sentence(data) {
  switch (data.state) {
    case "attempt-failed": {
      const next = data.retry_at ? "; to be tried again at" : data.retrying ? "; tried again at once" : "";
      return `attempt ${data.attempt}: ${ending(data)}${next}`;
    }
    case "attempt-started": return `attempt ${data.attempt} began`;
    case "cancel-requested": return "its end was asked for";
    case "status-reported": return `the status “${data.status}” was reported`;
    case "finished": return `${ending(data)}, after ${data.attempts} attempt${data.attempts === 1 ? "" : "s"}`;
    default: return "";
  }
}

function addEvent({ id, data }) {
  if (!NAMES[data.state] || part("events").querySelector(`[data-position="${id}"]`)) return;
  const row = element(
    "tr", "", cell("number", "Position", String(id)), cell("nowrap", "When", timeElement(data.at)),
    cell("", "Event", element("code", "", NAMES[data.state])),
    element("td", "", sentence(data), ...(data.retry_at ? [" ", timeElement(data.retry_at)] : [])),
  );
  row.dataset.position = id;
  add("events", row);
}

/** Another row of a table. Of a run with very many attempts those that came first while one looked are let go. */
function add(table, row) {
  const { rows } = part(table);
  part(table).append(row);
  if (rows.length > MOST_ROWS) rows[1].remove();
}

function attemptRow(number, began) {
  const there = part("attempts").querySelector(`[data-attempt="${number}"]`);
  if (there) return there;
  const row = element(
    "tr", "", element("th", "number", String(number)), cell("nowrap", "Began", timeElement(began)),
    cell("nowrap", "Took", "…"), cell("", "Outcome", badge("")), cell("", "Why"),
  );
  row.firstChild.scope = "row";
  Object.assign(row.dataset, { attempt: number, began });
  add("attempts", row);
  part("attempt-count").textContent = number;
  return row;
}

/** A moment in milliseconds, with the microseconds that a Date does not keep. */
function exact(iso) {
  const fraction = Number(/\.[0-9]+/.exec(iso)?.[0] ?? 0) * 1000;
  return Math.floor(Date.parse(iso) / 1000) * 1000 + fraction;
}

function endAttempt(number, data) {
  const row = attemptRow(number, data.at);
  const [, , took, outcome, why] = row.children;
  took.replaceChildren(lasting(exact(data.at) - exact(row.dataset.began)));
  outcome.replaceChildren(badge(data.outcome));
  why.replaceChildren(how(data));
}

function setState(word) {
  part("state").replaceChildren(badge(word));
  document.title = document.title.replace(/^[^·]*/, `${word.replace("-", " ")} `);
}

let over = page.dataset.live !== "true";

/** A change of the run's state, as its stream tells it. */
function change({ id, data }) {
  addEvent({ id, data });
  if (data.state === "attempt-failed") {
    endAttempt(data.attempt, data);
    if (data.retrying && !data.retry_at) attemptRow(data.attempt + 1, data.at);
    if (data.retry_at) setState("waiting");
  } else if (data.state === "attempt-started") {
    attemptRow(data.attempt, data.at);
    setState("running");
  } else if (data.state === "cancel-requested") {
    part("cancel").disabled = true;
    setState("cancelling");
  } else if (data.state === "finished") end(data);
}

function end(data) {
  over = true;
  if (data.outcome === "succeeded") endAttempt(data.attempts, data);
  setState(data.outcome);
  part("why").textContent = data.outcome === "succeeded" ? "" : ending(data);
  part("why").hidden = data.outcome === "succeeded";
  part("cancel").hidden = true;
  part("redact")?.removeAttribute("hidden");
  part("took").textContent = "Took";
  part("ended").replaceChildren(timeElement(data.at));
  showElapsed(exact(data.at));
}

function showElapsed(until) {
  const elapsed = until - exact(started);
  part("elapsed").textContent = lasting(elapsed);
  const bar = part("bar");
  if (bar) bar.value = Math.min(elapsed, Number(usual));
  part("late")?.toggleAttribute("hidden", elapsed <= Number(usual) * 1.5);
}

// What can be done

async function cancel() {
  const agreed = await ask({
    title: "Cancel this run?",
    loses: [
      "It is asked to end now (TERM), and ended five seconds later if it has not (KILL). What it is doing is lost.",
      "It is recorded as cancelled: it is not tried again, and nothing that waits for its success runs.",
      "What it has printed stays. It can be run again, from its beginning.",
    ],
    action: "Cancel the run",
  });
  if (!agreed) return;
  try {
    await send("DELETE", api);
    say("Its end is asked for.");
  } catch (error) {
    say(whyNot(error), { bad: true });
  }
}

async function runAgain() {
  const loses = ["A new run begins now, by hand, with the definition that the job has today. What depends on the job runs after it."];
  if (!over) loses.unshift("This run is still in flight: the new one runs beside it, or is refused if they must not overlap.");
  if (!(await ask({ title: `Run ${name} again?`, loses, action: "Run again", danger: false }))) return;
  try {
    const answer = await send("POST", startApi, { Prefer: "respond-async" });
    const run = decodeURIComponent(answer.headers.get("Location").split("/").at(-2));
    location.assign(runPage(run));
  } catch (error) {
    say(whyNot(error), { bad: true });
  }
}

async function redact() {
  const reason = await ask({
    title: "Erase the output of this run?",
    loses: [
      "All that it printed is erased from the log, at once and for ever; nothing brings it back.",
      "That it ran, how it ended, and how much it printed stay; so does who erased it, and for which reason.",
      "Exports and backups that were made before have it still. A secret that was printed has to be changed in any case.",
      "On a large log this takes a while: its file is written anew.",
    ],
    action: "Erase the output",
    reason: "Reason",
  });
  if (!reason) return;
  const button = part("redact");
  button.disabled = true;
  say("The output is being erased…", { stays: true });
  try {
    await call("POST", `${api}redact/`, { reason });
    location.reload();
  } catch (error) {
    say(whyNot(error), { bad: true });
  } finally {
    button.disabled = false;
  }
}

async function send(method, address, headers = {}) {
  const answer = await fetch(address, { method, headers });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => null));
  return answer;
}

part("cancel").addEventListener("click", cancel);
part("again")?.addEventListener("click", runAgain);
part("redact")?.addEventListener("click", redact);

// What it prints, and what becomes of it

const place = document.getElementById("output");
const viewer = place ? new OutputViewer(place) : null;

if (!over) {
  const told = { live: "on", reconnecting: "lost", over: "off", gone: "off" };
  new RunStream(stream, {
    after: Number(after),
    onframe(frame) {
      viewer?.take(frame);
      if (frame.event !== "output") change(frame);
    },
    onstate(state) {
      show(told[state]);
      viewer?.tell(state);
    },
  }).follow();
  const ticking = setInterval(() => (over ? clearInterval(ticking) : showElapsed(new Date())), 1000);
}
