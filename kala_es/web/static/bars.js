// How long runs took, as bars: drawn from the rows of the table beside it, so that both say the same.
// What is over has its outcome's mark above its bar; colour alone tells nothing.
import { element } from "./elements.js";
import { shape } from "./spark.js";
import { full, lasting } from "./time.js";

const SLOT = 24;
const WIDTH = 14;
const HEIGHT = 120;
const TOP = 18;
const LEAST = 2;
const FEWEST = 20; // so many have room: a few bars are no giants
const SECOND = 1000;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500]
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * SECOND), [1, 2, 5, 10, 15, 30].map((n) => n * 60 * SECOND))
  .concat([1, 2, 4, 8, 12].map((n) => n * 3600 * SECOND), [1, 2, 5, 10, 20, 50, 100].map((n) => n * 86400 * SECOND));
// Each within 10 by 10 around 0,0.
const MARKS = {
  succeeded: "M-4 0L-1.2 3L4-3.5",
  failed: "M-3.5-3.5L3.5 3.5M3.5-3.5L-3.5 3.5",
  "timed-out": "M-3.5-4.5H3.5L-3.5 4.5H3.5Z",
  cancelled: "M-3.5-3.5H3.5V3.5H-3.5Z",
  lost: "M0-4.5L4.5 0L0 4.5L-4.5 0Z",
  running: "M-2.5-4L3.5 0L-2.5 4Z",
};

/** How long a row's run took, or has taken so far, in milliseconds. */
function took(row) {
  const until = row.dataset.ended ? Date.parse(row.dataset.ended) : Date.now();
  return Math.max(until - Date.parse(row.dataset.began), 0);
}

function bar(row, place, most) {
  const word = row.dataset.outcome || "running";
  const height = Math.min(Math.max(Math.round((took(row) / most) * HEIGHT), LEAST), HEIGHT);
  const x = place * SLOT + (SLOT - WIDTH) / 2;
  const y = TOP + HEIGHT - height;
  const title = shape("title", {});
  title.textContent = `${full(new Date(row.dataset.began))}: ${word.replace("-", " ")}, ${lasting(took(row))}`;
  const link = shape("a", { href: row.querySelector("a").getAttribute("href"), tabindex: "-1", class: `took-bar ${word}` });
  link.append(
    title,
    shape("rect", { class: "ground", x: place * SLOT, y: 0, width: SLOT, height: TOP + HEIGHT }),
    shape("rect", { class: "length", x, y, width: WIDTH, height, rx: 2 }),
    shape("path", { class: "mark", d: MARKS[word], transform: `translate(${x + WIDTH / 2} ${y - 9})` }),
  );
  return link;
}

function legend(word) {
  const mark = shape("svg", { class: `took-bar ${word}`, viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" });
  mark.append(shape("path", { class: "mark", d: MARKS[word] }));
  return element("li", "", mark, word.replace("-", " "));
}

/** Draw the rows, oldest first, into a figure; with none it is hidden. */
export function drawBars(figure, rows) {
  figure.hidden = rows.length === 0;
  if (!rows.length) return;
  const ended = rows.filter((row) => row.dataset.ended);
  const longest = Math.max(...(ended.length ? ended : rows).map(took)); // what goes on may take for ever
  const most = STEPS.find((step) => longest <= step) ?? longest;
  const width = Math.max(rows.length, FEWEST) * SLOT;
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${TOP + HEIGHT + 1}`, "aria-hidden": "true", focusable: "false" });
  for (const part of [0, 0.5, 1]) {
    const y = TOP + HEIGHT * (1 - part) + 0.5;
    drawing.append(shape("path", { class: "grid-line", d: `M0 ${y}H${width}` }));
  }
  drawing.append(...rows.map((row, place) => bar(row, place, most)));
  const labels = [most, most / 2, 0].map((each) => element("span", "", each ? lasting(each) : "0"));
  figure.querySelector(".durations-place").replaceChildren(element("p", "scale", ...labels), drawing);
  const words = [...new Set(rows.map((row) => row.dataset.outcome || "running"))];
  figure.querySelector(".marks").replaceChildren(...Object.keys(MARKS).filter((word) => words.includes(word)).map(legend));
}
