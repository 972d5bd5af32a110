// Time travel: a date is picked in the reader's zone, and asked for in UTC.
import { element } from "./elements.js";
import { follow } from "./live.js";
import { writeTimes, zone } from "./time.js";

const form = document.getElementById("moment");
const when = document.getElementById("when");
const asked = document.getElementById("at");
const two = (count) => String(count).padStart(2, "0");

function local(date) {
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function go(date) {
  asked.value = date.toISOString();
  form.requestSubmit();
}

// The past, which takes a while to be read: what the page lacks is asked for, and put in its place.
async function readOn(place) {
  let main = null;
  try {
    const answer = await fetch(place.dataset.rest);
    main = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  } catch {
    return fail(place, "The server does not answer. Is it running?");
  }
  const wrong = main?.querySelector("#at-wrong, h2")?.textContent ?? "The server has no answer.";
  const rest = main?.querySelector("#moment")?.closest("section");
  if (!rest || main.querySelector("#at-wrong")) return fail(place, wrong);
  const parts = [];
  while (rest.nextElementSibling) parts.push(document.adoptNode(rest.nextElementSibling));
  place.replaceWith(...parts);
  for (const part of parts) writeTimes(part);
}

function fail(place, text) {
  const said = element("p", "banner bad", text);
  said.setAttribute("role", "alert");
  place.replaceWith(said);
}

for (const place of document.querySelectorAll("[data-own-zone]")) place.textContent = zone();
const shown = /^\d+$/.test(asked.value) ? NaN : Date.parse(asked.value);
if (!Number.isNaN(shown)) when.value = local(new Date(shown));
when.addEventListener("change", () => {
  if (when.value) asked.value = new Date(when.value).toISOString();
});
for (const button of form.querySelectorAll("[data-ago]")) {
  button.addEventListener("click", () => go(new Date(Date.now() - Number(button.dataset.ago) * 3600_000)));
}
const reading = document.getElementById("reading");
if (reading) readOn(reading);
follow("/webui/pulse", {});
