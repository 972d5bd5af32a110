// Time travel: a date is picked in the reader's zone, and asked for in UTC.
import { follow } from "./live.js";
import { zone } from "./time.js";

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

for (const place of document.querySelectorAll("[data-own-zone]")) place.textContent = zone();
const shown = /^\d+$/.test(asked.value) ? NaN : Date.parse(asked.value);
if (!Number.isNaN(shown)) when.value = local(new Date(shown));
when.addEventListener("change", () => {
  if (when.value) asked.value = new Date(when.value).toISOString();
});
for (const button of form.querySelectorAll("[data-ago]")) {
  button.addEventListener("click", () => go(new Date(Date.now() - Number(button.dataset.ago) * 3600_000)));
}
follow("/webui/pulse", {});
