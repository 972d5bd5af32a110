// The calendar goes by the reader's zone, which only the browser knows: it asks again when the address names none.
import { follow } from "./live.js";
import { zone } from "./time.js";

const place = document.getElementById("zone");
const address = new URL(location.href);
if (!place.dataset.given && zone() !== place.textContent) {
  address.searchParams.set("zone", zone());
  location.replace(address);
} else {
  document.querySelector("li.is-now")?.scrollIntoView({ block: "center" });
  follow("/webui/pulse", {});
}
