// Why a tick became what it did, and why a run began: the API's answer in words.
import { call } from "./ask.js";
import { button, element, jobPage, link, runPage } from "./elements.js";
import { timeElement } from "./time.js";

const CHANGES = { JobCreated: "created", JobUpdated: "edited", JobEnabled: "enabled", JobDisabled: "disabled", JobPaused: "paused", JobResumed: "resumed", JobDeleted: "deleted" };
const MOST_TICKS = 10000;
const SHOWN = 20;
const SAID = {
  started: "It started a run.",
  skipped: "It was skipped: it started nothing.",
  missed: "It was missed: it started nothing, and that was found out later.",
  waiting: "It has come and has no answer yet.",
  coming: "It lies ahead.",
  "no tick": "It is no tick of the schedule that held then.",
  forgotten: "Its answer is kept no longer.",
  unanswered: "It never got an answer.",
};

const line = (...children) => element("p", "", ...children);

function heading(...children) {
  const made = element("h3", "", ...children);
  made.tabIndex = -1;
  return made;
}

const runLink = (run) => link(runPage(run), `run ${run.slice(0, 8)}`);
const jobLink = (job) => link(jobPage(job), job);

function begun(each) {
  if (each.cause === "manual") return `was started by hand${each.principal ? ` by ${each.principal}` : ""}`;
  if (each.cause === "schedule") return "was started by its schedule";
  if (each.cause === "catch-up") return "made up for ticks that had passed";
  if (each.cause === "parent") return "was started by another's success";
  if (each.cause === "on-failure") return "was started by another's failure";
  return "was imported";
}

function chainItem(each) {
  const item = element("li", "");
  item.append(runLink(each.run), " of ", jobLink(each.job), ` ${begun(each)}, `, timeElement(each.started_at));
  if (each.tick) item.append(", for the tick ", timeElement(each.tick));
  const ended = each.outcome ? `; ${each.outcome.replace("-", " ")}` : "; it is in flight";
  item.append(ended + (each.reason ? `: ${each.reason}` : "") + (each.attempts > 1 ? `, after ${each.attempts} attempts.` : "."));
  for (const failed of each.retried ?? []) {
    item.append(line(`Attempt ${failed.attempt} ${failed.outcome}: ${failed.reason}`));
  }
  return item;
}

function chain(links) {
  if (!links.length) return [];
  return [element("ol", "chain", ...links.map(chainItem))];
}

function changeLine(change) {
  const who = change.principal ? ` by ${change.principal}` : "";
  const why = change.reason ? `: ${change.reason}` : "";
  return line(`The job was ${CHANGES[change.type]}${who}, `, timeElement(change.time), `, at position ${change.position}${why}.`);
}

/** Ask the API of a tick, and put the answer into a place. Throws what `call` throws. */
export async function explainTick(page, tick, place) {
  const told = await call("GET", `${page}why/?tick=${encodeURIComponent(tick)}`);
  const parts = [heading(timeElement(told.tick)), line(SAID[told.outcome] ?? told.outcome)];
  if (told.reason) parts.push(line("Reason: ", told.reason, "."));
  if (told.moved) parts.push(line(told.moved, "."));
  if (told.change) parts.push(changeLine(told.change));
  if (told.made_up_by) parts.push(line("It was made up by ", runLink(told.made_up_by), "."));
  if (told.schedule !== null) {
    parts.push(line("The schedule then: ", told.schedule || "none", told.timezone ? `, ${told.timezone}.` : "."));
  }
  place.replaceChildren(...parts, ...chain(told.chain));
}

/** The same of a run. */
export async function explainRun(page, run, place) {
  const told = await call("GET", `${page}why/?run=${encodeURIComponent(run)}`);
  place.replaceChildren(heading("Run ", run.slice(0, 8)), ...chain(told.chain));
}

/** List the newest ticks of the last day that started nothing, each with a button that asks why. */
export async function listUnstarted(page, place) {
  const { ticks } = await call("GET", `${page}ticks/?limit=${MOST_TICKS}&to=${encodeURIComponent(new Date().toISOString())}`);
  const found = ticks.filter((each) => ["skipped", "missed", "waiting"].includes(each.outcome)).slice(-SHOWN).reverse();
  place.replaceChildren(...found.map(unstarted));
  if (!found.length) place.append("None: each of them started a run.");
}

function unstarted(each) {
  const badge = element("span", `badge ${each.outcome}`, each.outcome);
  const why = button("button plain small", "Why?");
  why.dataset.why = each.tick;
  return element("li", "", timeElement(each.tick), " ", badge, ` ${each.reason} `, why);
}
