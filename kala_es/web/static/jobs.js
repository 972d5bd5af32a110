// The list of jobs: rows are patched where they stand; what is chosen can be enabled, disabled, run or deleted together.
import { ask, call, say, whyNot } from "./ask.js";
import { element, jobPage } from "./elements.js";
import { follow } from "./live.js";
import { Known, putById, Renewal } from "./renew.js";
import { writeTimes, timeElement } from "./time.js";
import { drawSpark } from "./spark.js";

const table = document.getElementById("jobs");
const bulk = document.getElementById("bulk");
const AT_A_TIME = 4;
const NAMES_SHOWN = 8;
const KINDS = {
  start: { done: "started", verb: "Run", loses: () => [] },
  enable: { done: "enabled", verb: "Enable", loses: () => [] },
  disable: {
    done: "disabled",
    verb: "Disable",
    loses: () => ["Their ticks start nothing until they are enabled again.", "Runs in flight go on to their end."],
  },
  delete: {
    done: "deleted",
    verb: "Delete",
    loses: (wanted) => [
      childrenSaid(wanted) || "Their children that have no other parent are deleted, too.",
      "Runs in flight go on to their end; runs that are over stay readable.",
      "Children that have other parents, too, stay, and will not wait for these any more, also when they are brought back.",
      "Deleted definitions can be brought back, with new counters and not paused.",
    ],
  },
};

function request(kind, { api, delete: gone }) {
  const start = api.indexOf("/job/") + "/job/".length;
  const named = (verb) => `${api.slice(0, start)}${verb}/${api.slice(start)}`;
  if (kind === "delete") return call("DELETE", gone ?? api);
  return call("POST", named(kind), undefined, kind === "start" ? { Prefer: "respond-async" } : {});
}

/** The jobs that go with these when they are deleted, but are not among them; `count` also has those without a name. */
function goingWith(wanted) {
  const told = wanted.map((row) => JSON.parse(row.dataset.doomed ?? '{"count":0,"jobs":[]}'));
  const named = new Map(told.flatMap(({ jobs }) => jobs).map((job) => [job.id, job]));
  for (const row of wanted) named.delete(row.dataset.job);
  const unnamed = told.reduce((sum, { count, jobs }) => sum + count - jobs.length, 0);
  return { jobs: [...named.values()], unnamed };
}

function childrenSaid(wanted) {
  const { jobs, unnamed } = goingWith(wanted);
  const more = jobs.length - NAMES_SHOWN + unnamed;
  const names = jobs.slice(0, NAMES_SHOWN).map((job) => job.name).join(", ");
  return jobs.length ? `Children go with them: ${names}${more > 0 ? ` and ${more} more` : ""}; so do others that have no other parent.` : "";
}

let busy = false;

/** What is asked for is asked for once: the buttons rest until all is answered. */
function setBusy(is) {
  busy = is;
  for (const button of bulk.querySelectorAll("button")) button.disabled = is;
}

function rows() {
  return [...table.tBodies[0].rows];
}

function chosen() {
  return rows().filter((row) => row.querySelector(".choose").checked);
}

function showChosen() {
  const count = chosen().length;
  bulk.hidden = count === 0;
  document.getElementById("chosen").textContent = `${count} chosen`;
  const all = document.getElementById("all");
  all.checked = count > 0 && count === rows().length;
  all.indeterminate = count > 0 && !all.checked;
  for (const row of rows()) row.classList.toggle("is-chosen", row.querySelector(".choose").checked);
}

async function carryOut(kind, wanted) {
  const waiting = [...wanted];
  const failed = [];
  const done = [];
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (let row = waiting.shift(); row; row = waiting.shift()) {
        try {
          await request(kind, row.dataset);
          done.push(row);
        } catch (error) {
          const isGone = kind === "delete" && error.status === 404; // it went with its parent
          if (isGone) done.push(row);
          else failed.push(`${row.dataset.name}: ${whyNot(error)}`);
        }
      }
    }),
  );
  return { done, failed };
}

/** The position right before a job was deleted, null if it was not: what it was then is what comes back, whatever this page knew of it. */
async function lastPosition(page, after) {
  const { history } = await call("GET", `${page}history/?after=${after}`);
  const deleted = history.findLast((change) => change.type === "JobDeleted");
  return deleted ? deleted.position - 1 : null;
}

/** Bring a job back that was deleted after a position; not in the place of one that somebody has made meanwhile. */
async function bringOneBack({ job }, after) {
  const position = await lastPosition(jobPage(job), after);
  if (position !== null) await call("POST", `${jobPage(job)}revert/`, { position }, { "If-None-Match": "*" });
}

/** Bring jobs back, {job, name}: again and again those that are refused, for who has parents comes after them. */
async function bringBack(gone, after) {
  let [left, refused] = [gone, []];
  setBusy(true);
  do {
    [left, refused] = [[], left];
    for (const each of refused) {
      await bringOneBack(each, after).catch((error) => left.push({ ...each, why: whyNot(error) }));
    }
  } while (left.length && left.length < refused.length);
  setBusy(false);
  if (!left.length) return location.reload();
  say(left.map(({ name, why }) => `${name}: ${why}`).join(" "), { bad: true });
  renewal.want();
}

function title(kind, wanted) {
  const names = wanted.slice(0, NAMES_SHOWN).map((row) => row.dataset.name).join(", ");
  const more = wanted.length > NAMES_SHOWN ? ` and ${wanted.length - NAMES_SHOWN} more` : "";
  return `${KINDS[kind].verb} ${wanted.length === 1 ? "" : `${wanted.length} jobs: `}${names}${more}?`;
}

async function act(kind) {
  const wanted = chosen();
  const loses = KINDS[kind].loses(wanted);
  const verb = KINDS[kind].verb;
  const agreed =
    kind === "enable" || (await ask({ title: title(kind, wanted), loses, action: verb, danger: kind === "delete" }));
  if (!agreed) return;
  const { position } = known;
  setBusy(true);
  const { done, failed } = await carryOut(kind, wanted).finally(() => setBusy(false));
  const children = goingWith(done).jobs.map(({ id, name }) => ({ job: id, name }));
  const gone = [...done.map((row) => row.dataset), ...children];
  for (const row of done) {
    row.querySelector(".choose").checked = false;
    if (kind === "delete") row.remove();
  }
  showChosen();
  const action = kind === "delete" && done.length ? { label: "Undo", run: () => bringBack(gone, position) } : null;
  const said = `${done.length} ${done.length === 1 ? "job" : "jobs"} ${KINDS[kind].done}.`;
  say([said, ...failed].join(" "), { bad: failed.length > 0, action });
}

function patch(row, job) {
  const badge = row.querySelector(".state .badge");
  badge.className = `badge state-${job.state}`;
  badge.textContent = job.state;
  const next = row.querySelector(".next");
  const zone = next.querySelector("[data-zone]")?.dataset.zone ?? row.dataset.zone ?? "";
  row.dataset.zone = zone;
  if (job.disabled || !job.next) {
    next.replaceChildren(element("span", "muted", job.disabled ? "not while disabled" : "none"));
  } else {
    next.replaceChildren(timeElement(job.next, "since", zone), element("span", "sub", timeElement(job.next, "both", zone)));
  }
  if (job.last) row.querySelector(".last").replaceChildren(timeElement(job.last, "since"));
  drawSpark(row.querySelector(".spark"), job.bars, job.summary);
}

// What is told

const known = new Known(document.getElementById("above"));
let newest = null;

function takeBeat(beat) {
  newest = beat;
  if (!known.follows(beat)) renewal.want();
  if (table) patchAll(beat);
}

function patchAll(beat) {
  for (const row of rows()) {
    const job = Object.hasOwn(beat.rows, row.dataset.job) ? beat.rows[row.dataset.job] : undefined;
    if (job === null) row.classList.add("is-gone");
    else if (job) patch(row, job);
  }
}

/** The list as it is now, in the place of that which was: what was chosen stays so, and the focus where it was. */
function putRows(page) {
  const fresh = page.getElementById("jobs");
  if (!table) {
    if (fresh && !document.activeElement?.closest("#filters")) location.reload();
    return;
  }
  const marked = new Set(chosen().map((row) => row.dataset.job));
  const focused = document.activeElement?.closest("#jobs tbody tr") ? document.activeElement : null;
  const [job, isBox] = [focused?.closest("tr").dataset.job, focused?.matches(".choose")];
  table.tBodies[0].replaceChildren(...(fresh?.tBodies[0].rows ?? [])); // an undo may still be offered: no reload
  for (const row of rows()) {
    row.querySelector(".choose").checked = marked.has(row.dataset.job);
    if (row.dataset.job === job) row.querySelector(isBox ? ".choose" : "a").focus();
  }
  writeTimes(table);
  showChosen();
}

function put(page) {
  putById(page, ["above", "tabs", "pages"]);
  known.take(document.getElementById("above"));
  putRows(page);
  if (newest && newest.position > known.position) takeBeat(newest);
}

const renewal = new Renewal(put, () => busy);
const origin = document.querySelector("[data-origin]");
if (origin) origin.textContent = location.origin;
if (table) {
  table.addEventListener("change", (event) => {
    if (event.target.id === "all") for (const row of rows()) row.querySelector(".choose").checked = event.target.checked;
    showChosen();
  });
  bulk.addEventListener("click", (event) => {
    const button = event.target.closest("[data-bulk]");
    if (button) act(button.dataset.bulk);
  });
  showChosen();
}
follow("/webui/pulse", { beat: takeBeat });
