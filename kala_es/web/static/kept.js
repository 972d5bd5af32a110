// What a reader's browser keeps for him. Where it may keep nothing, a page does without.

/** What was kept; null for nothing. */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Keep a text; null lets go of it. */
export function keep(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // it is kept until the page is left
  }
}
