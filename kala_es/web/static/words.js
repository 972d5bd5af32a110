// Counts and sizes as the server writes them (kala_es/web/pages/words.py). Pure.

const UNITS = ["KiB", "MiB", "GiB", "TiB"];

/** A count with thin gaps between its thousands. */
export function number(count) {
  return count.toLocaleString("en").replaceAll(",", "\u202f");
}

/** So many of something, which is given in the singular: `1 line`, `20 lines`. */
export function counted(count, one) {
  return `${number(count)} ${one}${count === 1 ? "" : "s"}`;
}

/** Bytes: `912 B`, `1.4 KiB`. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length);
  return `${(bytes / 1024 ** power).toFixed(1)} ${UNITS[power - 1]}`;
}
