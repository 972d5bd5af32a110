// The list of jobs: rows are patched where they stand; what is chosen can be enabled, disabled, run or deleted together.
import { ask, call, say, whyNot } from "./ask.js";
import { element } from "./elements.js";
import { follow } from "./live.js";
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
    loses: () => [
      "Their children that have no other parent are deleted, too.",
      "Runs in flight go on to their end; runs that are over stay readable.",
      "Deleted definitions can be brought back, with new counters.",
    ],
  },
};

function request(kind, api) {
  const start = api.indexOf("/job/") + "/job/".length;
  const named = (verb) => `${api.slice(0, start)}${verb}/${api.slice(start)}`;
  if (kind === "delete") return call("DELETE", api);
  return call("POST", named(kind), undefined, kind === "start" ? { Prefer: "respond-async" } : {});
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
          await request(kind, row.dataset.api);
          done.push(row);
        } catch (error) {
          failed.push(`${row.dataset.name}: ${whyNot(error)}`);
        }
      }
    }),
  );
  return { done, failed };
}

async function bringBack(gone, position) {
  let back = 0;
  for (const row of gone) {
    try {
      await call("POST", `${row.dataset.api}revert/`, { position });
      back += 1;
    } catch (error) {
      say(`${row.dataset.name}: ${whyNot(error)}`, { bad: true });
    }
  }
  if (back === gone.length) location.reload();
}

function title(kind, wanted) {
  const names = wanted.slice(0, NAMES_SHOWN).map((row) => row.dataset.name).join(", ");
  const more = wanted.length > NAMES_SHOWN ? ` and ${wanted.length - NAMES_SHOWN} more` : "";
  return `${KINDS[kind].verb} ${wanted.length === 1 ? "" : `${wanted.length} jobs: `}${names}${more}?`;
}

async function act(kind) {
  const wanted = chosen();
  const loses = KINDS[kind].loses();
  const verb = KINDS[kind].verb;
  const agreed =
    kind === "enable" || (await ask({ title: title(kind, wanted), loses, action: verb, danger: kind === "delete" }));
  if (!agreed) return;
  const position = Number(table.dataset.position);
  const { done, failed } = await carryOut(kind, wanted);
  for (const row of done) {
    row.querySelector(".choose").checked = false;
    if (kind === "delete") row.remove();
  }
  showChosen();
  const action = kind === "delete" && done.length ? { label: "Undo", run: () => bringBack(done, position) } : null;
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

function takeBeat(beat) {
  table.dataset.position = beat.position;
  for (const row of rows()) {
    const job = beat.rows[row.dataset.job];
    if (job === null) row.classList.add("is-gone");
    else if (job) patch(row, job);
  }
}

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
  writeTimes(table);
}
follow("/webui/pulse", { beat: (beat) => table && takeBeat(beat) });
