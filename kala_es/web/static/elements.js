// Elements as the pages' modules make them, and where pages are.

/** An element with children, texts among them; those that are null or empty are left out. */
export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

/** A button with a text, or what else it shows. */
export function button(className, ...children) {
  const made = element("button", className, ...children);
  made.type = "button";
  return made;
}

/** A link with a text. */
export function link(address, text) {
  const made = element("a", "", text);
  made.href = address;
  return made;
}

/** The page of a job. */
export const jobPage = (id) => `/webui/jobs/${encodeURIComponent(id)}/`;

/** The page of a run. */
export const runPage = (id) => `/webui/runs/${encodeURIComponent(id)}/`;
