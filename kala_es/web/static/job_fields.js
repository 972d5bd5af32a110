// The form's fields, by kind: what the job's JSON has for what is entered, and the reverse. `undefined` is "not given".
//
// A field is an element with `data-kind`. Rows are elements with `data-row`, made from the template beside them; what is
// within a row has `data-sub`, and is a field in its turn.

function inputOf(field) {
  return field.matches("input, textarea, select") ? field : field.querySelector("input, textarea, select");
}

function numberOf(text) {
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) && /^[-+.\de]+$/i.test(text.trim()) ? number : text;
}

const text = {
  read: (field) => inputOf(field).value || undefined,
  write: (field, value) => (inputOf(field).value = value ?? ""),
};

const number = {
  read: (field) => (inputOf(field).value.trim() === "" ? undefined : numberOf(inputOf(field).value)),
  write: (field, value) => (inputOf(field).value = value ?? ""),
};

const flag = {
  read(field) {
    const checked = inputOf(field).checked;
    return checked === (field.dataset.default === "true") ? undefined : checked;
  },
  write: (field, value) => (inputOf(field).checked = value ?? field.dataset.default === "true"),
};

const choice = {
  read(field) {
    const select = inputOf(field);
    if (select.selectedIndex === 0) return undefined;
    return "number" in select.dataset ? Number(select.value) : select.value;
  },
  write(field, value) {
    const select = inputOf(field);
    select.value = value ?? select.options[0].value;
  },
};

const numbers = {
  read(field) {
    const words = inputOf(field).value.split(/[\s,]+/).filter(Boolean);
    return words.length ? words.map(numberOf) : undefined;
  },
  write: (field, value) => (inputOf(field).value = Array.isArray(value) ? value.join(", ") : value ?? ""),
};

const occasions = {
  read: (field) => [...field.querySelectorAll("input:checked")].map((input) => input.value),
  write(field, value) {
    for (const input of field.querySelectorAll("input")) input.checked = (value ?? ["failure"]).includes(input.value);
  },
};

// Rows

function place(field) {
  return [...field.querySelectorAll("[data-rows]")].find((each) => each.closest("[data-kind]") === field);
}

function subs(row) {
  return [...row.querySelectorAll("[data-sub]")].filter((each) => each.closest("[data-row]") === row);
}

/** Another row of a field, empty; it is given back. */
export function addRow(field) {
  const rows = place(field);
  const template = rows.parentElement.querySelector(":scope > template");
  const row = template.content.querySelector("[data-row]").cloneNode(true);
  rows.append(row);
  for (const sub of subs(row)) write(sub, undefined);
  return row;
}

function readRows(field) {
  return [...place(field).children].map((row) => Object.fromEntries(subs(row).map((sub) => [sub.dataset.sub, read(sub)])));
}

function writeRows(field, values) {
  const rows = place(field);
  rows.replaceChildren();
  for (const value of values) {
    const row = addRow(field);
    for (const sub of subs(row)) write(sub, value?.[sub.dataset.sub]);
  }
}

const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const pairs = (value) => (isMap(value) ? Object.entries(value) : []);
const said = (object) => (Object.keys(object).length ? object : undefined);
const named = (rows) => rows.filter((row) => row.key !== undefined || row.value !== undefined);

const texts = {
  read(field) {
    const found = readRows(field).map((row) => row.value).filter(Boolean);
    return found.length ? found : undefined;
  },
  write: (field, value) => writeRows(field, (Array.isArray(value) ? value : []).map((each) => ({ value: each }))),
};

const map = {
  read: (field) => said(Object.fromEntries(named(readRows(field)).map((row) => [row.key ?? "", row.value ?? ""]))),
  write: (field, value) => writeRows(field, pairs(value).map(([key, each]) => ({ key, value: each }))),
};

const headers = {
  read(field) {
    const found = new Map();
    for (const { key = "", value = "" } of named(readRows(field))) found.set(key, [...(found.get(key) ?? []), value]);
    return said(Object.fromEntries(found));
  },
  write(field, value) {
    const rows = pairs(value).flatMap(([key, each]) => [].concat(each ?? []).map((one) => ({ key, value: one })));
    writeRows(field, rows);
  },
};

const processors = {
  read: (field) => said(Object.fromEntries(named(readRows(field)).map((row) => [row.key ?? "", row.value ?? {}]))),
  write: map.write,
};

const targets = {
  read(field) {
    const which = field.querySelector("[data-which]").value;
    if (which === "default") return undefined;
    return which === "nobody" ? [] : readRows(field).map((row) => JSON.parse(JSON.stringify({ to: "", ...row })));
  },
  write(field, value) {
    const which = Array.isArray(value) ? (value.length ? "these" : "nobody") : "default";
    field.querySelector("[data-which]").value = which;
    writeRows(field, Array.isArray(value) ? value : []);
  },
};

const KINDS = { text, lines: text, schedule: text, number, size: number, flag, choice, numbers, occasions, texts, map, headers, processors, targets };

/** What a field says, as the job's JSON has it. */
export function read(field) {
  return KINDS[field.dataset.kind].read(field);
}

/** Show a value in a field. */
export function write(field, value) {
  KINDS[field.dataset.kind].write(field, value);
}

/** The value at a key of a job; a dot goes into an inner object. */
export function get(job, key) {
  return key.split(".").reduce((inner, name) => (isMap(inner) ? inner[name] : undefined), job);
}

/** Put a value at a key; `undefined` takes it away, and the inner object with its last one. */
export function set(job, key, value) {
  const [first, ...rest] = key.split(".");
  if (rest.length) {
    const inner = isMap(job[first]) ? job[first] : {};
    set(inner, rest.join("."), value);
    value = said(inner);
  }
  if (value === undefined) delete job[first];
  else job[first] = value;
}
