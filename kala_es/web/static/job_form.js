// The form for a job. The job is one object: a field writes its own key of it, the JSON beside the form all of it, and
// each shows what the other did. It is saved by the API; what that refuses is said at the field it names.
import { call, Refusal, ask, say, whyNot } from "./ask.js";
import { jobPage } from "./elements.js";
import { addRow, get, read, set, write } from "./job_fields.js";
import { explainSchedule } from "./schedule.js";

const form = document.getElementById("job-form");
const json = document.getElementById("json");
const fields = [...form.querySelectorAll("[data-field]")];
const fieldSide = form.querySelector(".groups-form");
const { purpose } = form.dataset;
const unlike = `new-${randomKey()}`; // the id of a job that there is not
let first = {}; // what the form began with
let job = {};
let saved = false;
let checking = 0;
let tag = ""; // of the definition that this form is about to replace
let sent = { body: "", key: "" };
let refusedJob = ""; // as saving was refused, if it was

// The two sides

function writeJson() {
  json.value = JSON.stringify(job, null, 2);
  json.removeAttribute("aria-invalid");
  document.getElementById("wrong-json").textContent = "";
}

function writeFields() {
  for (const field of fields) write(field, get(job, field.dataset.field));
}

function fieldChanged(field) {
  set(job, field.dataset.field, read(field));
  writeJson();
  changed(field.dataset.field);
}

function jsonChanged() {
  const wrong = document.getElementById("wrong-json");
  try {
    const said = JSON.parse(json.value);
    if (said === null || typeof said !== "object" || Array.isArray(said)) throw new SyntaxError("it must be an object");
    job = said;
    writeFields();
    json.removeAttribute("aria-invalid");
    wrong.textContent = "";
    changed("");
  } catch (error) {
    json.setAttribute("aria-invalid", "true");
    wrong.textContent = error instanceof SyntaxError ? `Not JSON yet: ${error.message}` : "Not a job: a value is of another kind than its field.";
  }
  fieldSide.inert = json.hasAttribute("aria-invalid"); // a field would write its job over what is being mended here
}

/** Something is another; `key` is what, "" for anything. */
function changed(key) {
  showKind();
  showCounts();
  if (["", "schedule", "timezone", "parent_jobs", "starts_at", "expires_at", "dst_gap", "dst_fold", "id"].includes(key)) {
    explainSchedule(job, form.dataset.job, refuseSchedule);
  }
  clearTimeout(checking);
  checking = setTimeout(check, 500);
}

/** The job's kind; who names an executor need not say that it is 2. */
function kindOf() {
  if (Number(job.type ?? 0) === 1) return "remote";
  return Number(job.type ?? 0) === 2 || job.executor ? "named" : "local";
}

function showKind() {
  const kind = kindOf();
  for (const field of fields) field.hidden = Boolean(field.dataset.only) && field.dataset.only !== kind && get(job, field.dataset.field) === undefined;
}

function showCounts() {
  for (const group of form.querySelectorAll("[data-group]")) {
    const within = fields.filter((field) => group.contains(field));
    const count = within.filter((field) => get(job, field.dataset.field) !== undefined).length;
    group.querySelector(".set-count").textContent = count ? `${count} set` : "";
  }
}

// What is wrong

function wrongPlace(field) {
  return document.getElementById(`wrong-${field.dataset.field.replaceAll(".", "-")}`);
}

function clear(field) {
  wrongPlace(field).textContent = "";
  for (const input of field.querySelectorAll('[aria-invalid="true"]')) input.removeAttribute("aria-invalid");
}

/** The field that a refusal names: `notify[0].to` belongs to notify. */
function fieldNamed(name) {
  const fits = (key) => name === key || name.startsWith(`${key}.`) || name.startsWith(`${key}[`);
  const found = fields.filter((field) => fits(field.dataset.field));
  return found.sort((a, b) => b.dataset.field.length - a.dataset.field.length)[0] ?? null;
}

/** Say a refusal at its field; the field, or null when it names none of them. */
function refuse(name, reason) {
  const field = fieldNamed(name.replace("template_delimiters", "TemplateDelimiters"));
  if (!field) return null;
  field.hidden = false;
  wrongPlace(field).textContent = name === field.dataset.field ? reason : `${name}: ${reason}`;
  field.querySelector("input, textarea, select")?.setAttribute("aria-invalid", "true");
  return field;
}

function refuseSchedule(error) {
  if (!error && JSON.stringify(job) === refusedJob) return; // what saving it was told stands
  const field = error && fieldNamed(error.field);
  for (const each of ["schedule", "timezone"]) clear(fieldNamed(each));
  if (field) refuse(error.field, bare(error) + (error.column ? ` (at character ${error.column})` : ""));
}

/** The reason alone: the API's sentence begins with what the form says by its place. */
function bare(error) {
  return error.message.replace("Error occurred when initializing the job: ", "").replace(`${error.field}: `, "");
}

function plan(dry) {
  const id = job.id || (purpose === "edit" ? form.dataset.job : unlike);
  const { id: _, ...declared } = job;
  const remote = purpose !== "edit" && kindOf() === "remote"; // or its other side would be asked at each key
  return { jobs: { [id]: declared }, managed_by: job.managed_by || "form", dry_run: dry, begun: remote };
}

/** Ask the API what it would say of the job as it is now; nothing changes. */
async function check() {
  if (json.hasAttribute("aria-invalid")) return;
  const asked = JSON.stringify(job);
  let step;
  try {
    step = (await call("POST", "/api/v1/job/apply/", plan(true))).plan[0];
  } catch {
    return; // saving will say it
  }
  if (asked !== JSON.stringify(job)) return;
  const schedule = ["schedule", "timezone"].map(fieldNamed);
  for (const field of fields) if (!schedule.includes(field)) clear(field);
  if (step.action === "refused" && !wrongPlace(fieldNamed("schedule")).textContent) refuse(step.field, step.reason);
  showChanges(step);
}

function showChanges(step) {
  const keys = Object.keys(step.fields ?? {}).filter((key) => key !== "managed_by" || job.managed_by);
  const place = document.getElementById("changes");
  if (purpose !== "edit") return;
  place.textContent = step.action === "unchanged" || !keys.length ? "Nothing is changed yet." : `Changed: ${keys.join(", ")}`;
}

// Saving

function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The job as it is by now: its declaration and its tag; null when it is there no more. Throws what `call` throws. */
async function asItIs() {
  try {
    return await call("GET", form.dataset.declaration);
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return null;
    throw error;
  }
}

/** Ask whether what came meanwhile is to be replaced, too. */
function mayReplace(now) {
  const loses = now ? [`${differing(now.job, first).join(", ")} would be what this form says.`] : ["It is not there any more; saving will be refused."];
  loses.push("What was changed meanwhile stays in the job's changes, and can be reverted to.");
  return ask({ title: "This job was changed since this form was opened.", loses, action: "Save mine" });
}

function differing(now, then) {
  return [...new Set([...Object.keys(now), ...Object.keys(then)])].filter((key) => JSON.stringify(now[key]) !== JSON.stringify(then[key]));
}

/** Replace the job, unless it has another definition by now (the server tells) that the reader wants to keep. */
async function replace() {
  for (;;) {
    try {
      return await call("PUT", `/api/v1/job/${encodeURIComponent(form.dataset.job)}/`, job, { "If-Match": `"${tag}"` });
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 412)) throw error;
    }
    const now = await asItIs();
    if (now && !differing(now.job, job).length) return null; // it was replaced, and the answer was lost
    if (!(await mayReplace(now))) throw new Refusal(412, { error: "the job was changed meanwhile; what you entered is still here" });
    if (now) tag = now.tag;
  }
}

/** The key of a request to create this job: asked again, it is the same request, and makes no second job. */
function keyOf(body) {
  if (sent.body !== body) sent = { body, key: randomKey() };
  return sent.key;
}

async function create() {
  const body = JSON.stringify(job);
  try {
    return await call("POST", "/api/v1/job/", body, { "Idempotency-Key": keyOf(body), "If-None-Match": "*" });
  } catch (error) {
    if (error instanceof Refusal && error.status === 412) error.field = "id";
    throw error;
  }
}

/** Save the job; its id. */
async function save() {
  if (purpose !== "edit") return (await create()).id;
  await replace();
  return form.dataset.job;
}

function showRefusal(error) {
  for (const field of fields) clear(field);
  refusedJob = JSON.stringify(job);
  const field = error instanceof Refusal ? refuse(error.field, bare(error)) : null;
  const banner = document.getElementById("refused");
  banner.hidden = false;
  banner.textContent = field ? `Not saved. ${field.querySelector("label, .label").textContent}: ${bare(error)}` : `Not saved: ${whyNot(error)}`;
  if (!field) return banner.focus();
  field.closest("[data-group]").open = true;
  (field.querySelector("input, textarea, select, button") ?? banner).focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (json.hasAttribute("aria-invalid")) return json.focus();
  const button = document.getElementById("save");
  button.disabled = true;
  document.getElementById("refused").hidden = true;
  clearTimeout(checking);
  try {
    const id = await save();
    saved = true;
    location.assign(jobPage(id));
  } catch (error) {
    showRefusal(error);
  } finally {
    button.disabled = false;
  }
});

// What is entered

form.addEventListener("input", (event) => {
  if (event.target === json) return jsonChanged();
  const field = event.target.closest("[data-field]");
  if (!field) return;
  if (event.target.getAttribute("list") === "job-ids") suggest(event.target.value);
  fieldChanged(field);
});

form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add], [data-remove]");
  if (!button) return;
  const field = button.closest("[data-field]");
  if ("add" in button.dataset) {
    const inner = button.closest("[data-kind]");
    if (inner.dataset.kind === "targets") inner.querySelector("[data-which]").value = "these";
    addRow(inner).querySelector("input, textarea").focus();
  } else {
    const next = button.closest("[data-rows]").parentElement.querySelector("[data-add]");
    button.closest("[data-row]").remove();
    next.focus();
  }
  fieldChanged(field);
});

addEventListener("beforeunload", (event) => {
  const isTouched = json.hasAttribute("aria-invalid") || JSON.stringify(job) !== JSON.stringify(first);
  if (!saved && isTouched) event.preventDefault();
});

function option(value) {
  const made = document.createElement("option");
  made.value = value;
  return made;
}

let suggesting = 0;

/** Ids of jobs that have a text in them, for the inputs that name one. */
function suggest(text) {
  clearTimeout(suggesting);
  suggesting = setTimeout(async () => {
    try {
      const { jobs } = await call("GET", `/api/v1/job/?limit=20&q=${encodeURIComponent(text)}`);
      document.getElementById("job-ids").replaceChildren(...Object.values(jobs).map((each) => Object.assign(option(each.id), { label: each.name })));
    } catch (error) {
      say(whyNot(error), { bad: true });
    }
  }, 200);
}

document.getElementById("zones").replaceChildren(...(Intl.supportedValuesOf?.("timeZone") ?? []).map(option));

// What the form begins with

/** Another job like one: with an id of its own, and nobody manages it. */
function another({ id: _, managed_by: __, ...said }) {
  return { ...said, name: `${said.name} (copy)` };
}

async function begin() {
  const { owner } = form.dataset;
  if (purpose === "new") first = owner ? { owner } : {};
  else {
    const now = await call("GET", form.dataset.declaration);
    first = purpose === "edit" ? now.job : another(now.job);
    tag = now.tag;
  }
  job = structuredClone(first);
  writeFields();
  writeJson();
  showKind();
  showCounts();
  document.getElementById("entered").disabled = false; // what was entered before would be lost
  explainSchedule(job, form.dataset.job, refuseSchedule);
}

begin().catch((error) => {
  const banner = document.getElementById("refused");
  banner.hidden = false;
  banner.textContent = `The job cannot be shown: ${whyNot(error)}`;
});
document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
