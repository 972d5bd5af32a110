// Moments and lengths of time as people read them. A <time datetime> is written in the reader's zone; its title has UTC
// and, with `data-zone`, the job's zone. `data-form`: "moment" (date and time), "clock" (time of day), "since" (in 5 min,
// 3 h ago; kept up to date), "both" (short, in the reader's zone and in the
// job's), "hour" (short, in the reader's zone), "hour-second" (the same, to the second).

const ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function formatter(zone, options) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options });
}

const DATE = { year: "numeric", month: "short", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { day: "2-digit", month: "short" };
const MINUTE = { hour: "2-digit", minute: "2-digit" };
const NAMED = { timeZoneName: "short" };
const cache = new Map();

function written(moment, zone, options) {
  const key = zone + Object.keys(options).join();
  if (!cache.has(key)) cache.set(key, formatter(zone, options));
  return cache.get(key).format(moment);
}

/** The reader's zone, by its IANA name. */
export function zone() {
  return ZONE;
}

/** A moment with date, time and zone, in a zone (the reader's if not given). */
export function full(moment, inZone = ZONE) {
  return written(moment, inZone, { ...DATE, ...CLOCK, ...NAMED });
}

/** Time of day. */
export function clock(moment, inZone = ZONE) {
  return written(moment, inZone, CLOCK);
}

/** A moment relative to now: "in 5 min", "3 h ago". */
export function since(moment, now = Date.now()) {
  const seconds = Math.round((moment.getTime() - now) / 1000);
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  const count = Math.trunc(Math.abs(seconds) / length);
  return seconds > 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
}

/** A length of time in its two largest units, as the server writes it. */
export function lasting(milliseconds) {
  const seconds = Math.max(milliseconds, 0) / 1000;
  const two = (count) => String(count).padStart(2, "0");
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

function inZone(moment, name) {
  try {
    return full(moment, name);
  } catch {
    return null; // a zone that this browser does not know
  }
}

function short(moment, name) {
  const sameDay = written(moment, name, DATE) === written(new Date(), name, DATE);
  return written(moment, name, sameDay ? { ...MINUTE, ...NAMED } : { ...DAY, ...MINUTE, ...NAMED });
}

function precise(moment) {
  const sameDay = written(moment, ZONE, DATE) === written(new Date(), ZONE, DATE);
  return written(moment, ZONE, sameDay ? { ...CLOCK, ...NAMED } : { ...DAY, ...CLOCK, ...NAMED });
}

function both(moment, element) {
  const name = element.dataset.zone;
  const own = short(moment, ZONE);
  if (!name || name === ZONE) return own;
  try {
    return `${own} · ${short(moment, name)}`;
  } catch {
    return own; // a zone that this browser does not know
  }
}

/** Write one <time>. */
export function writeTime(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const form = element.dataset.form ?? "moment";
  const text = { since: () => since(moment), clock: () => clock(moment), both: () => both(moment, element), hour: () => short(moment, ZONE), "hour-second": () => precise(moment) }[form];
  const said = text ? text() : full(moment);
  if (element.textContent !== said) element.textContent = said;
  const job = element.dataset.zone && element.dataset.zone !== ZONE ? inZone(moment, element.dataset.zone) : null;
  const lines = [full(moment), job && `${job} (the job's, ${element.dataset.zone})`, full(moment, "UTC")];
  element.title = [...new Set(lines.filter(Boolean))].join("\n");
}

/** Write every <time> under a node. */
export function writeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) writeTime(element);
}

/** The same, and keep those of the form "since" up to date. */
export function keepTimes(root) {
  writeTimes(root);
  setInterval(() => {
    if (document.hidden) return;
    for (const element of root.querySelectorAll('time[data-form="since"]')) writeTime(element);
  }, 1000);
}

/** A new <time> for a moment (ISO text). */
export function timeElement(iso, form = "moment", zone = "") {
  const element = document.createElement("time");
  element.dateTime = iso;
  element.dataset.form = form;
  if (zone) element.dataset.zone = zone;
  writeTime(element);
  return element;
}
