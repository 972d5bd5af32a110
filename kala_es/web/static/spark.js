// A job's last runs as bars: what job_parts.html draws, drawn anew from a patch.

const SVG = "http://www.w3.org/2000/svg";
const STEP = 6;
const WIDTH = 84;
const HEIGHT = 18;

/** An SVG element with attributes. */
export function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** Draw bars, each [outcome, height, what is said of it], into the svg. */
export function drawSpark(svg, bars, summary) {
  svg.setAttribute("aria-label", summary);
  svg.replaceChildren(
    ...bars.map(([outcome, height, said], index) => {
      const x = index * STEP + WIDTH - bars.length * STEP;
      const bar = shape("rect", { class: `bar ${outcome}`, x, y: HEIGHT - height, width: 4, height, rx: 1 });
      const title = shape("title", {});
      title.textContent = said;
      bar.append(title);
      return bar;
    }),
  );
}
