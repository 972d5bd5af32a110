// The way back to an earlier definition: what it would change is shown first, then the API is asked.
import { call, say, whyNot } from "./ask.js";

for (const button of document.querySelectorAll("[data-revert]")) {
  const dialog = button.nextElementSibling;
  const go = dialog.querySelector("[data-go]");
  button.addEventListener("click", () => dialog.showModal());
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      const { page, revert, tag } = button.dataset; // what is shown is what changes, or nothing does
      await call("POST", `${page}revert/`, { position: Number(revert) }, tag ? { "If-Match": `"${tag}"` } : { "If-None-Match": "*" });
      location.assign(page);
    } catch (error) {
      dialog.close();
      say(whyNot(error), { bad: true });
    } finally {
      go.disabled = false;
    }
  });
}
