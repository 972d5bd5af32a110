// The overview, kept up to date by the pulse: rows are patched where they stand, charts drawn anew.
import { ask, call, say, whyNot } from "./ask.js";
import { element, jobPage, link, runPage } from "./elements.js";
import { keep, recall } from "./kept.js";
import { follow } from "./live.js";
import { Known, putById, Renewal } from "./renew.js";
import { shape } from "./spark.js";
import { clock, lasting, short, timeElement, writeTimes, zoneName } from "./time.js";
import { number } from "./words.js";

const LOOKED = "kala.looked";
const LISTED = 10;
const HOUR = 3600_000;
const WIDTH = 960;
const KINDS = ["succeeded", "failed", "skipped"];
const at = (id) => document.getElementById(id);
const runApi = (job, run) => `/api/v1/job/${encodeURIComponent(job)}/executions/${encodeURIComponent(run)}/`;

let skew = 0; // the server's clock is so many milliseconds ahead of this one

// What runs

function flightRow(flight) {
  const row = at("flight-row").content.firstElementChild.cloneNode(true);
  row.dataset.run = flight.id;
  row.dataset.started = flight.started;
  row.dataset.cancel = runApi(flight.job, flight.id);
  const address = row.querySelector("a");
  address.href = runPage(flight.id);
  address.textContent = flight.name;
  return row;
}

function writeFlight(row, flight) {
  row.dataset.usual = flight.usual ?? "";
  row.dataset.waits = flight.retry_at ?? "";
  const parts = [flight.cause];
  if (flight.attempt > 1) parts.push(`attempt ${flight.attempt}`);
  if (flight.status === "cancelling") parts.push("cancelling");
  row.querySelector(".how").textContent = parts.join(" · ");
  const tail = row.querySelector(".tail");
  if (tail.textContent !== flight.tail) tail.textContent = flight.tail;
}

function writeElapsed() {
  const now = Date.now() + skew;
  for (const row of at("flights").tBodies[0].rows) {
    const passed = Math.max(now - Date.parse(row.dataset.started), 0);
    const usual = Number(row.dataset.usual) || 0;
    const place = row.querySelector(".elapsed");
    place.textContent = lasting(passed) + (usual ? ` of ${lasting(usual)}` : "");
    const over = usual > 0 && passed > 2 * usual;
    place.classList.toggle("bad", over);
    if (over) place.textContent += ", longer than usual";
    row.querySelector("progress").value = usual ? Math.min(100, (100 * passed) / usual) : 0;
  }
}

function takeFlights(beat) {
  const body = at("flights").tBodies[0];
  const known = new Map([...body.rows].map((row) => [row.dataset.run, row]));
  for (const [index, flight] of beat.flights.entries()) {
    const row = known.get(flight.id) ?? flightRow(flight);
    known.delete(flight.id);
    writeFlight(row, flight);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  }
  for (const row of known.values()) row.remove();
  at("flights").hidden = beat.flights.length === 0;
  at("no-flights").hidden = beat.flights.length > 0;
  const shown = beat.flights.length;
  at("more-running").textContent = beat.running > shown ? `the first ${shown} of ${number(beat.running)}` : "";
  writeElapsed();
}

async function cancel(row) {
  const name = row.querySelector("a").textContent;
  const loses = ["Its process is asked to end, then killed.", "What it printed so far is kept."];
  if (!(await ask({ title: `Cancel the run of ${name}?`, loses, action: "Cancel the run" }))) return;
  try {
    await call("DELETE", row.dataset.cancel);
    say(`The run of ${name} is being cancelled.`);
  } catch (error) {
    say(whyNot(error), { bad: true });
  }
}

// What failed

function failureItem(failure) {
  const badge = element("span", `badge ${failure.outcome}`, failure.outcome.replaceAll("-", " "));
  const sub = element("span", "sub", timeElement(failure.ended, "since"));
  if (failure.reason) sub.append(` · ${failure.reason}`);
  const item = element("li", "", link(runPage(failure.id), failure.name), badge, sub);
  item.dataset.ended = failure.ended;
  item.dataset.run = failure.id;
  return item;
}

function showFresh() {
  const looked = Math.min(Number(recall(LOOKED)) || 0, Date.now()); // what a browser keeps anybody may have changed
  const items = [...at("failures").children];
  const fresh = items.filter((item) => Date.parse(item.dataset.ended) > looked);
  for (const item of items) item.classList.toggle("is-old", !fresh.includes(item));
  const since = looked ? `since you looked, ${precise(looked)}` : "not seen yet";
  at("fresh-failures").textContent = fresh.length ? `${fresh.length} ${since}` : items.length ? "none since you looked" : "";
  at("looked").hidden = fresh.length === 0;
}

function precise(moment) {
  return short(new Date(moment), { seconds: true });
}

function takeFailures(failures) {
  at("failures").replaceChildren(...failures.map(failureItem));
  at("no-failures").hidden = failures.length > 0;
  showFresh();
}

// Runs per hour

function readHours() {
  return [...at("hours-table").querySelectorAll("tbody tr")].map((row) => [
    Date.parse(row.dataset.hour) / HOUR,
    ...[...row.cells].slice(1).map((cell) => Number(cell.textContent)),
  ]);
}

function drawHours(hours) {
  const svg = at("hours");
  const height = 150;
  const most = roundedUp(Math.max(...hours.map((hour) => hour[1] + hour[2] + hour[3])));
  const step = WIDTH / hours.length;
  const parts = [];
  for (const level of [0.5, 1]) {
    parts.push(shape("line", { class: "rule", x1: 0, x2: WIDTH, y1: height - level * (height - 8), y2: height - level * (height - 8) }));
  }
  for (const [index, [hour, ...counts]] of hours.entries()) {
    let y = height;
    const group = shape("g", {});
    const title = shape("title", {});
    const said = KINDS.map((kind, which) => `${counts[which]} ${kind}`).join(", ");
    title.textContent = `${short(new Date(hour * HOUR))}: ${said}`;
    group.append(title, shape("rect", { class: "column", x: index * step, y: 0, width: step, height }));
    for (const [which, count] of counts.entries()) {
      const tall = count ? Math.max((count / most) * (height - 8), 2) : 0;
      y -= tall;
      if (tall) group.append(shape("rect", { class: `bar ${KINDS[which]}`, x: index * step + 3, y, width: step - 6, height: tall }));
    }
    parts.push(group);
  }
  svg.replaceChildren(...parts);
  const labels = hours.filter((_, index) => index % 4 === 0 || index === hours.length - 1).map(([hour]) => element("span", "", clock(new Date(hour * HOUR)).slice(0, 5)));
  at("hours-axis").replaceChildren(...labels);
  at("hours-scale").replaceChildren(...[most, most / 2, 0].map((count) => element("span", "", number(count))));
  at("hours-zone").textContent = zoneName(new Date());
}

/** The least even number of those that people like that is not less. */
function roundedUp(count) {
  const power = 10 ** Math.floor(Math.log10(Math.max(count, 10) / 10));
  return [2, 4, 6, 8, 10, 12, 16, 20, 30, 40, 50, 60, 80, 100].map((step) => step * power).find((step) => step >= count);
}

function takeHours(hours) {
  const rows = hours.map(([hour, ...counts]) => {
    const iso = new Date(hour * HOUR).toISOString();
    const head = element("th", "", timeElement(iso, "hour"));
    head.scope = "row";
    const row = element("tr", "", head, ...counts.map((count) => element("td", "number", String(count))));
    row.dataset.hour = iso;
    return row;
  });
  at("hours-table").querySelector("tbody").replaceChildren(...rows);
  const sums = [1, 2, 3].map((which) => hours.reduce((sum, hour) => sum + hour[which], 0));
  at("count-ended").textContent = number(sums[0] + sums[1]);
  at("count-failed").textContent = number(sums[1]);
  at("count-failed").classList.toggle("bad", sums[1] > 0);
  at("hours-said").textContent =
    `${sums[0]} succeeded, ${sums[1]} failed, ${sums[2]} skipped or cancelled in the last 24 hours. The table has each hour.`;
  drawHours(hours);
}

// What comes

const MOST_MARKS = 60; // as many as are sent: there may be more
const MINUTE = 60_000;
const SPANS = [5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];
let marks = [];
let isCut = false;

/** How much of the time to come is shown: all ticks, or, when there are more of them, only what is known whole. */
function spanOf(last) {
  const whole = SPANS.findLast((length) => length <= last);
  return isCut && whole ? whole : (SPANS.find((length) => last <= length) ?? SPANS.at(-1));
}

function drawComing() {
  const now = Date.now() + skew;
  marks = marks.filter(([due]) => Date.parse(due) > now - 1000);
  const last = marks.length ? Date.parse(marks.at(-1)[0]) - now : 0;
  const span = spanOf(last);
  const height = 56;
  const stacked = new Map();
  const parts = [shape("line", { class: "base", x1: 0, x2: WIDTH, y1: height - 1, y2: height - 1 })];
  for (const [due, name, skipped] of marks) {
    if (Date.parse(due) - now > span) break;
    const place = Math.min(159, Math.max(0, Math.floor(((Date.parse(due) - now) / span) * 160)));
    const above = stacked.get(place) ?? 0;
    stacked.set(place, above + 1);
    if (above > 6) continue;
    const mark = shape("rect", { class: `mark ${skipped}`, x: place * 6 + 0.5, y: height - 8 - above * 7.5, width: 4, height: 6, rx: 1 });
    const title = shape("title", {});
    title.textContent = `${name}, ${precise(due)}`;
    mark.append(title);
    parts.push(mark);
  }
  at("coming-line").replaceChildren(...parts);
  const length = span < HOUR ? `${span / MINUTE} minutes` : span === HOUR ? "hour" : `${span / HOUR} hours`;
  at("coming-span").textContent = marks.length ? `the next ${length}, ${zoneName(new Date())}` : "";
  const labels = [0, 1, 2, 3, 4].map((part) => element("span", "", part ? clock(new Date(now + (span * part) / 4)).slice(0, 5) : "now"));
  at("coming-axis").replaceChildren(...labels);
}

function takeComing(ticks) {
  marks = ticks.map((tick) => [tick.due, tick.name, tick.paused ? "skipped" : ""]);
  isCut = marks.length >= MOST_MARKS;
  const items = ticks.slice(0, LISTED).map((tick) => {
    const sub = element("span", "sub", timeElement(tick.due, "since", tick.zone), " · ", timeElement(tick.due, "both", tick.zone));
    const badge = tick.paused ? [element("span", "badge paused", "will be skipped")] : [];
    return element("li", "", link(jobPage(tick.job), tick.name), ...badge, sub);
  });
  at("coming").replaceChildren(...items);
  at("no-coming").hidden = ticks.length > 0;
  drawComing();
}

// All together

function takeFigures(beat) {
  at("count-running").textContent = number(beat.running);
  at("count-enabled").textContent = number(beat.enabled);
  at("count-jobs").textContent = number(beat.jobs);
  at("count-position").textContent = number(beat.position);
  const good = beat.ready && beat.keeps_time;
  at("health").querySelector(".dot").className = `dot ${good ? "good" : "bad"}`;
  at("health-word").textContent = (beat.ready ? "Ready" : "Not ready") + (beat.keeps_time ? "" : ", no ticks");
}

let hourKey = "";
const known = new Known(at("above"));
const renewal = new Renewal((page) => {
  putById(page, ["above"]);
  known.take(at("above"));
  at("failures").replaceChildren(...page.getElementById("failures").children);
  at("no-failures").hidden = at("failures").children.length > 0;
  writeTimes(at("failures"));
  showFresh();
});

function takeBeat(beat) {
  if (!known.follows(beat)) renewal.want();
  skew = Date.parse(beat.now) - Date.now();
  takeFigures(beat);
  takeFlights(beat);
  const key = JSON.stringify(beat.hours);
  if (key !== hourKey) takeHours(beat.hours);
  hourKey = key;
  if (beat.failures) takeFailures(beat.failures);
  if (beat.coming) takeComing(beat.coming);
}

marks = JSON.parse(at("coming").dataset.marks);
isCut = marks.length >= MOST_MARKS;
drawHours(readHours());
drawComing();
showFresh();
writeTimes(document);
setInterval(() => document.hidden || writeElapsed(), 500);
setInterval(() => document.hidden || drawComing(), 5000);
at("flights").addEventListener("click", (event) => {
  if (event.target.closest("[data-cancel-run]")) cancel(event.target.closest("tr"));
});
at("looked").addEventListener("click", () => {
  keep(LOOKED, String(Date.now() + skew));
  showFresh();
});
at("as-table").addEventListener("click", () => {
  const shown = at("hours-table").hidden;
  at("hours-table").hidden = !shown;
  at("as-table").setAttribute("aria-expanded", String(shown));
});
follow("/webui/pulse", { beat: takeBeat });
