// Moments and lengths of time as people read them. A <time datetime> is written in the reader's zone; its title has UTC
// and, with `data-zone`, that zone, too. `data-form` says how it is written (FORMS).

const ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const DATE = { year: "numeric", month: "short", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { day: "2-digit", month: "short" };
const MINUTE = { hour: "2-digit", minute: "2-digit" };
const YEAR = { year: "numeric" };
const NAME = { timeZoneName: "short" };
const LANGUAGES = ["en-GB", "en-US", "en-AU", "en-NZ", "en-IN", "en-ZA"]; // each has words for the zones of its own people
const OFFSET = /^GMT[-+]/;
const formatters = new Map();
const languages = new Map();

function formatter(language, zone, options) {
  const key = [language, zone, ...Object.keys(options)].join();
  if (!formatters.has(key)) formatters.set(key, new Intl.DateTimeFormat(language, { timeZone: zone, hourCycle: "h23", ...options }));
  return formatters.get(key);
}

function written(moment, zone, options) {
  return formatter("en-GB", zone, options).format(moment);
}

function nameIn(language, moment, zone) {
  return formatter(language, zone, NAME).formatToParts(moment).find((part) => part.type === "timeZoneName").value;
}

/** What a zone is called at a moment: `CET`, `EST`; `GMT+9` where none of the languages has a word for it. */
export function zoneName(moment, inZone = ZONE) {
  if (!languages.has(inZone)) {
    languages.set(inZone, LANGUAGES.find((language) => !OFFSET.test(nameIn(language, moment, inZone))) ?? LANGUAGES[0]);
  }
  return nameIn(languages.get(inZone), moment, inZone);
}

function named(moment, inZone, options) {
  return `${written(moment, inZone, options)} ${zoneName(moment, inZone)}`;
}

/** The reader's zone, by its IANA name. */
export function zone() {
  return ZONE;
}

/** A moment with date, time and zone, in a zone (the reader's if not given). */
export function full(moment, inZone = ZONE) {
  return named(moment, inZone, { ...DATE, ...CLOCK });
}

/** Time of day. */
export function clock(moment, inZone = ZONE) {
  return written(moment, inZone, CLOCK);
}

/** A moment in the reader's zone, and no more of its date than is needed: none of today's unless it is `dated`. */
export function short(moment, { seconds = false, dated = false } = {}) {
  const isNow = (options) => written(moment, ZONE, options) === written(new Date(), ZONE, options);
  const date = isNow(DATE) && !dated ? {} : isNow(YEAR) ? DAY : DATE;
  return named(moment, ZONE, { ...date, ...(seconds ? CLOCK : MINUTE) });
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

/** The same, and what another zone's clocks show then; their date, too, where it is another one. */
function both(moment, other, options) {
  const own = short(moment, options);
  if (!other) return own;
  const isSameDay = written(moment, ZONE, DATE) === written(moment, other, DATE);
  return `${own} · ${named(moment, other, isSameDay ? MINUTE : { ...DAY, ...MINUTE })}`;
}

/** How a moment is written; `other` is a zone that is not the reader's, "" for none. */
const FORMS = {
  moment: (moment) => full(moment),
  clock: (moment, other) => clock(moment, other || ZONE), // where the page says by whose clocks
  since: (moment) => since(moment), // in 5 min, 3 h ago; kept up to date
  both: (moment, other) => both(moment, other), // in the reader's zone and in the other
  dated: (moment, other) => both(moment, other, { dated: true }), // the same, always with the date
  hour: (moment) => short(moment),
  "hour-second": (moment) => short(moment, { seconds: true }),
};

/** A zone that is not the reader's; "" for none, and for one that this browser does not know. */
function otherZone(name) {
  try {
    return name && name !== ZONE && formatter("en-GB", name, NAME) ? name : "";
  } catch {
    return "";
  }
}

/** Write one <time>. */
export function writeTime(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const other = otherZone(element.dataset.zone);
  const said = FORMS[element.dataset.form ?? "moment"](moment, other);
  if (element.textContent !== said) element.textContent = said;
  const lines = [full(moment), other && `${full(moment, other)} (${other})`, full(moment, "UTC")];
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
