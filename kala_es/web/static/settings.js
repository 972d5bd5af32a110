// Pause and resume all jobs; import an archive, its plan first.
import { ask, call, Refusal, say, whyNot } from "./ask.js";
import { element } from "./elements.js";
import { follow } from "./live.js";
import { zone } from "./time.js";

const SHOWN = 500;
const at = (id) => document.getElementById(id);

function cell(text, className = "") {
  return element("td", className, text);
}

// The pause

async function pauseAll(form) {
  const wrong = form.querySelector("[data-wrong]");
  const until = form.until.value ? new Date(form.until.value) : null;
  wrong.hidden = !(until && until <= new Date());
  wrong.textContent = wrong.hidden ? "" : "must lie ahead";
  form.until.setAttribute("aria-invalid", String(!wrong.hidden));
  if (!wrong.hidden) return form.until.focus();
  const loses = ["Ticks start nothing meanwhile; each job's catch_up says what is made up later.", "Runs in flight go on."];
  if (!(await ask({ title: "Pause all jobs?", loses, action: "Pause all jobs" }))) return;
  const body = { reason: form.reason.value, until: until ? until.toISOString() : null };
  await change("/api/v1/pause/", body);
}

async function change(address, body) {
  try {
    await call("POST", address, body);
    location.reload();
  } catch (error) {
    say(whyNot(error), { bad: true });
  }
}

// The import

async function send(file, dryRun) {
  const query = new URLSearchParams({ on_conflict: at("conflict").value, dry_run: String(dryRun) });
  const headers = { "Content-Type": "application/octet-stream" };
  const answer = await fetch(`/api/v1/snapshot/?${query}`, { method: "POST", body: file, headers });
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, read);
  return read;
}

function counted(counts) {
  const words = Object.entries(counts).filter(([, count]) => count);
  return words.length ? words.map(([action, count]) => `${count} ${action}`).join(", ") : "nothing to do";
}

function fieldsOf(step) {
  if (step.reason) return `${step.field ? `${step.field}: ` : ""}${step.reason}`;
  const names = Object.entries(step.fields ?? {});
  return names.map(([name, [before, after]]) => (before === null ? name : `${name}: ${brief(before)} → ${brief(after)}`)).join(", ");
}

function brief(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function showPlan(plan) {
  const rows = plan.plan.slice(0, SHOWN).map((step) => {
    const action = cell(step.action, step.action === "refused" ? "bad" : "");
    return element("tr", "", cell(step.id), action, cell(fieldsOf(step), "soft"));
  });
  at("plan").querySelector("tbody").replaceChildren(...rows);
  const more = plan.plan.length > SHOWN ? `, the first ${SHOWN} are shown` : "";
  at("plan-counts").textContent = `The plan: ${counted(plan.counts)}${more}.`;
  at("plan").hidden = false;
}

async function plan(form) {
  at("plan").hidden = true;
  at("import-wrong").hidden = true;
  try {
    showPlan(await send(form.archive.files[0], true));
  } catch (error) {
    at("import-wrong").textContent = whyNot(error);
    at("import-wrong").hidden = false;
  }
}

async function apply() {
  const replaces = at("conflict").value === "replace";
  const loses = replaces ? ["Definitions that are there are replaced; each job's history has the earlier one."] : [];
  if (!(await ask({ title: "Take these jobs in?", loses, action: "Take them in", danger: replaces }))) return;
  try {
    const done = await send(at("archive").files[0], false);
    at("plan").hidden = true;
    say(`Taken in: ${counted(done.counts)}.`);
  } catch (error) {
    say(whyNot(error), { bad: true });
  }
}

function onSubmit(id, act) {
  at(id)?.addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.target);
  });
}

for (const place of document.querySelectorAll("[data-own-zone]")) place.textContent = zone();
onSubmit("pause", pauseAll);
onSubmit("import", plan);
at("resume")?.addEventListener("click", () => change("/api/v1/resume/"));
at("apply").addEventListener("click", apply);
for (const id of ["archive", "conflict"]) at(id).addEventListener("change", () => (at("plan").hidden = true));
follow("/webui/pulse", {});
