// Ask before something is lost, call the API, and say how it went. What is asked names things as they are: a character
// that would turn the direction of the text, or hide, is shown by its number.

import { harmless } from "./ansi.js";
import { button, element } from "./elements.js";

/**
 * Ask in a dialog; a promise of true when the reader agrees. `loses` is a list of sentences: what will be lost, what
 * stays, whether it can be taken back. With `reason`, the label of a field, the promise is of what is entered there
 * (which must be something), or of false.
 */
export function ask({ title, loses = [], action, danger = true, reason = "" }) {
  const no = button("button", "Keep it as it is");
  const yes = button(danger ? "button danger" : "button primary", action);
  const heading = element("h2", "", harmless(title));
  const list = element("ul", "loses", ...loses.map((text) => element("li", "", harmless(text))));
  const input = element("input", "input wide");
  const field = element("label", "field", element("span", "label", reason), input);
  const end = element("div", "dialog-end", no, yes);
  const dialog = element("dialog", "dialog", heading, loses.length ? list : null, reason ? field : null, end);
  Object.assign(input, { id: "ask-reason", autocomplete: "off", maxLength: 1000 });
  heading.id = "ask-title";
  dialog.setAttribute("aria-labelledby", heading.id);
  document.body.append(dialog);
  return new Promise((answer) => {
    let agreed = false;
    yes.addEventListener("click", () => {
      agreed = reason ? input.value.trim() : true;
      input.setAttribute("aria-invalid", String(!agreed));
      if (agreed) dialog.close();
      else input.focus();
    });
    input.addEventListener("keydown", (event) => event.key === "Enter" && yes.click());
    no.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(agreed);
    });
    dialog.showModal();
    (reason ? input : no).focus();
  });
}

/** Tell what happened, where a screen reader hears it. `action` is {label, run}: an undo, say. It `stays` if it is bad, has an action, or shall. */
export function say(text, { bad = false, action = null, stays = false } = {}) {
  const place = document.getElementById("said");
  const note = element("div", bad ? "note bad" : "note", element("span", "", harmless(text)));
  const away = button("button plain small", "✕");
  away.setAttribute("aria-label", "Close");
  away.addEventListener("click", () => note.remove());
  if (action) {
    const act = button("button small", action.label);
    act.addEventListener("click", () => {
      note.remove();
      action.run();
    });
    note.append(act);
  }
  note.append(away);
  place.replaceChildren(note);
  if (!bad && !action && !stays) setTimeout(() => note.remove(), 6000);
}

/** A refusal of the API's: its status, its sentence, and the field that is wrong, if any. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.error || `the server answered ${status}`);
    this.status = status;
    this.field = body?.field ?? "";
    this.column = body?.column ?? null;
  }
}

/** Call the API. Gives the JSON of the answer, null for none. Throws Refusal, or TypeError when nobody answers. */
export async function call(method, address, body, headers = {}) {
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const answer = await fetch(address, { method, headers: { "Content-Type": "application/json", ...headers }, ...sent });
  const text = await answer.text();
  let read = null;
  try {
    read = text ? JSON.parse(text) : null;
  } catch {
    read = { error: text };
  }
  if (!answer.ok) throw new Refusal(answer.status, read);
  return read;
}

/** What to say of an error that `call` threw. */
export function whyNot(error) {
  return error instanceof Refusal ? error.message : "The server does not answer. Is it running?";
}
