// A line of output as a row: its number, a mark for stderr, its text in colours, what is searched for marked in it.

import { BOLD, ITALIC, parse, STRIKE, UNDERLINE } from "./ansi.js";
import { GROUND, look, STDERR_GROUND } from "./colours.js";
import { element } from "./elements.js";
import { number } from "./words.js";

const MOST_CHARS = 4_000;

/** A new, empty row. */
export function newRow(number) {
  const row = element("div", "line");
  const link = element("a", "line-number", String(number));
  link.href = `#L${number}`;
  link.tabIndex = -1;
  row.append(link, element("span", "line-text"));
  return row;
}

/** Write a line into its row; `line` undefined: it is not here yet. `attempt` names the attempt that begins with it. */
export function writeRow(row, line, { query, attempt }) {
  const text = row.lastElementChild;
  row.classList.toggle("waits", !line);
  if (!line) return text.replaceChildren("…");
  const { spans } = parse(line.pieces, line.styles);
  const { shown, left } = limited(spans);
  row.classList.toggle("stderr", spans.some((span) => span.channel === "stderr" && !span.note));
  const parts = (query ? marked(shown, query) : shown).map(spanElement);
  if (row.classList.contains("stderr")) parts.unshift(element("span", "hidden", "stderr: "));
  if (attempt) parts.unshift(element("span", "line-note", `attempt ${attempt}`));
  if (line.skipped) parts.unshift(element("span", "line-note", `${number(line.skipped)} bytes before this`));
  if (left || line.cut) {
    const much = line.cut ? "and more" : `${number(left)} more characters`;
    parts.push(element("span", "line-note", `… ${much}; the download has them`));
  }
  text.replaceChildren(...parts);
}

/** The first spans, and how many characters are left out. */
function limited(spans) {
  let room = MOST_CHARS;
  const all = spans.reduce((sum, span) => sum + span.text.length, 0);
  const shown = [];
  for (const span of spans) {
    if (room <= 0) break;
    shown.push(span.text.length > room ? { ...span, text: span.text.slice(0, room) } : span);
    room -= span.text.length;
  }
  return { shown, left: Math.max(all - MOST_CHARS, 0) };
}

/** The spans, cut where what is searched for begins and ends. */
function marked(spans, query) {
  const whole = spans.map((span) => span.text).join("").toLowerCase();
  const places = [];
  for (let at = whole.indexOf(query); at >= 0; at = whole.indexOf(query, at + query.length)) places.push(at);
  if (!places.length) return spans;
  const edges = places.flatMap((at) => [at, at + query.length]);
  let begins = 0;
  return spans.flatMap((span) => {
    const ends = begins + span.text.length;
    const cuts = [begins, ...edges.filter((edge) => edge > begins && edge < ends), ends];
    const parts = cuts.slice(1).map((end, i) => ({
      ...span,
      text: span.text.slice(cuts[i] - begins, end - begins),
      hit: places.some((at) => at <= cuts[i] && end <= at + query.length),
    }));
    begins = ends;
    return parts;
  });
}

function spanElement({ text, style, channel, note, control, hit }) {
  const kind = note ? "line-note" : control ? "control" : channel === "stderr" ? "of-stderr" : "";
  const made = element(hit ? "mark" : "span", hit ? "" : kind, text);
  if (note || control || hit) return made;
  const { text: colour, ground } = look(style, channel === "stderr" ? STDERR_GROUND : GROUND);
  if (colour) made.style.color = `rgb(${colour.join(" ")})`;
  if (ground) made.style.backgroundColor = `rgb(${ground.join(" ")})`;
  if (style.flags & BOLD) made.style.fontWeight = "bold";
  if (style.flags & ITALIC) made.style.fontStyle = "italic";
  const lines = [style.flags & UNDERLINE && "underline", style.flags & STRIKE && "line-through"].filter(Boolean);
  if (lines.length) made.style.textDecoration = lines.join(" ");
  return made;
}
