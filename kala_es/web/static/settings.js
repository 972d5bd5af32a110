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
  wrong.hidden = !until || until > new Date();
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

let planned = null; // whose plan is shown: {file, conflict}

async function send({ file, conflict }, dryRun) {
  const query = new URLSearchParams({ on_conflict: conflict, dry_run: String(dryRun) });
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

/** Show no plan, for what is to be taken in is another thing now. */
function forget() {
  planned = null;
  at("plan").hidden = true;
}

async function plan(form) {
  forget();
  at("import-wrong").hidden = true;
  const asked = (planned = { file: form.archive.files[0], conflict: at("conflict").value });
  try {
    const told = await send(asked, true);
    if (planned === asked) showPlan(told);
  } catch (error) {
    if (planned !== asked) return;
    at("import-wrong").textContent = whyNot(error);
    at("import-wrong").hidden = false;
  }
}

async function apply() {
  const asked = planned;
  const replaces = asked.conflict === "replace";
  const loses = replaces ? ["Definitions that are there are replaced; each job's history has the earlier one."] : [];
  if (!(await ask({ title: "Take these jobs in?", loses, action: "Take them in", danger: replaces }))) return;
  at("apply").disabled = true;
  try {
    const done = await send(asked, false);
    forget();
    say(`Taken in: ${counted(done.counts)}.`);
  } catch (error) {
    say(whyNot(error), { bad: true });
  } finally {
    at("apply").disabled = false;
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
for (const id of ["archive", "conflict"]) at(id).addEventListener("change", forget);
follow("/webui/pulse", {});
