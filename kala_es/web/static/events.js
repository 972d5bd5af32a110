// The live log: new events are put on top as they become durable; while it is paused they are counted.
import { element, jobPage, link, runPage } from "./elements.js";
import { checkLog, follow } from "./live.js";
import { timeElement } from "./time.js";

const MOST_ROWS = 400;
const MOST_NAMES = 1_000;
const ELSEWHERE = new Set(["position", "type", "job", "run", "at", "base64"]);
const table = document.getElementById("events");
const body = table.tBodies[0];
const hold = document.getElementById("hold");
const mostChars = Number(table.dataset.most);
const names = new Map();
let waiting = [];
let held = false;
let drawing = 0;

function flat(value) {
  if (value === null) return "none";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.map(flat).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([key, inner]) => `${key}: ${flat(inner)}`).join(", ");
  return String(value);
}

function text(value) {
  const line = flat(value).split(/\s+/).filter(Boolean).join(" ");
  return line.length <= mostChars ? line : `${line.slice(0, mostChars - 3)}...`;
}

function nameOf(event) {
  const said = event.spec?.name;
  if (said) names.set(event.job, said);
  if (names.size > MOST_NAMES) names.delete(names.keys().next().value);
  return names.get(event.job) ?? event.job;
}

function row(event) {
  const fields = element("td", "fields");
  if (event.run) fields.append(link(runPage(event.run), `run ${event.run.slice(0, 8)}`), " ");
  for (const [key, value] of Object.entries(event)) {
    if (!ELSEWHERE.has(key)) fields.append(element("span", "pair", element("span", "muted", key), ` ${text(value)}`), " ");
  }
  const job = element("td", "");
  if (event.job) job.append(link(jobPage(event.job), nameOf(event)));
  return element(
    "tr",
    "is-new",
    element("td", "number muted", String(event.position)),
    element("td", "nowrap", timeElement(event.at, "hour-second")),
    element("td", "nowrap", element("span", `kind ${event.type}`, event.type)),
    job,
    fields,
  );
}

function draw() {
  drawing = 0;
  if (held || !waiting.length) return;
  const rows = waiting.slice(-MOST_ROWS).reverse().map(row);
  waiting = [];
  body.prepend(...rows);
  while (body.rows.length > MOST_ROWS) body.deleteRow(-1);
  document.getElementById("no-events").hidden = true;
}

function take(event) {
  if (table.dataset.kind === "" && event.type === "OutputChunk") return;
  document.getElementById("head-position").textContent = event.position.toLocaleString("en").replaceAll(",", "\u202f");
  waiting.push(event);
  if (waiting.length > MOST_ROWS) waiting.shift();
  if (held) showHeld();
  else if (!drawing) drawing = setTimeout(draw, 200);
}

function showHeld() {
  document.getElementById("held").hidden = !held;
  const more = waiting.length === MOST_ROWS ? " or more" : "";
  document.getElementById("held-count").textContent = `Paused; ${waiting.length}${more} new`;
}

function turn() {
  held = !held;
  hold.setAttribute("aria-pressed", String(held));
  showHeld();
  draw();
}

function address(last) {
  const query = new URLSearchParams({ after: last || table.dataset.head });
  const { kind, job } = table.dataset;
  if (kind === "") query.set("output", "none");
  else if (kind !== "all") query.set("type", kind);
  if (job) query.set("job", job);
  return `/api/v1/events/?${query}`;
}

for (const known of body.querySelectorAll('a[href^="/webui/jobs/"]')) {
  names.set(decodeURIComponent(known.getAttribute("href").split("/")[3]), known.textContent);
}
if (table.dataset.live) {
  const types = [...document.querySelectorAll("select[name=type] option")].map((option) => option.value).filter((type) => type && type !== "all");
  const returned = (last) => checkLog(Number(last || table.dataset.head));
  follow(address, Object.fromEntries(types.map((type) => [type, take])), { returned });
  hold.addEventListener("click", turn);
}
