// Ask before something is lost, call the API, and say how it went. What is asked names things as they are: a character
// that would turn the direction of the text, or hide, is shown by its number.

import { harmless } from "./ansi.js";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * Ask in a dialog; a promise of true when the reader agrees. `loses` is a list of sentences: what will be lost, what
 * stays, whether it can be taken back. With `reason`, the label of a field, the promise is of what is entered there
 * (which must be something), or of false.
 */
export function ask({ title, loses = [], action, danger = true, reason = "" }) {
  const dialog = element("dialog", { class: "dialog", "aria-labelledby": "ask-title" });
  const no = element("button", { type: "button", class: "button", value: "no" }, "Keep it as it is");
  const yes = element("button", { type: "button", class: danger ? "button danger" : "button primary" }, action);
  const list = element("ul", { class: "loses" }, ...loses.map((text) => element("li", {}, harmless(text))));
  const input = element("input", { id: "ask-reason", class: "input wide", autocomplete: "off", maxlength: "1000" });
  const field = element("div", { class: "field" }, element("label", { for: "ask-reason" }, reason), input);
  dialog.append(
    element("h2", { id: "ask-title" }, harmless(title)),
    ...(loses.length ? [list] : []),
    ...(reason ? [field] : []),
    element("div", { class: "dialog-end" }, no, yes),
  );
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
  const note = element("div", { class: bad ? "note bad" : "note" }, element("span", {}, harmless(text)));
  const away = element("button", { type: "button", class: "button plain small", "aria-label": "Close" }, "✕");
  away.addEventListener("click", () => note.remove());
  if (action) {
    const button = element("button", { type: "button", class: "button small" }, action.label);
    button.addEventListener("click", () => {
      note.remove();
      action.run();
    });
    note.append(button);
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
