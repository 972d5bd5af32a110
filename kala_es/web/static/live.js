// An EventSource that comes back: after a restart of the server, after a refusal (503), after the tab was asleep.
// The word beside the navigation says whether the page is live. A browser has six connections to a server for all its
// tabs: one that is hidden gives its own back, and is told what it missed when it is looked at.

const WAITS = [1000, 2000, 5000, 10000];
const LOOK_MS = 10_000;
const ASLEEP_MS = 90_000; // browsers let the timers of a hidden tab run once a minute

export function show(state) {
  const place = document.getElementById("live");
  if (!place || place.dataset.state === state) return;
  place.dataset.state = state;
  place.querySelector(".live-word").textContent = { on: "Live", off: "Not live", lost: "Reconnecting" }[state];
}

/**
 * Follow a stream. `on` has a function for each event's name, given (data, event); `url(last)` is the address, given the
 * last id that was seen ("" at first), so that a reconnect misses nothing. `over()` tells that nothing more comes.
 * `returned(last)` is called when the server is back, or may be, and refuses the stream: its log may be another one.
 * Gives back a function that ends it.
 */
export function follow(url, on, { over = () => false, returned = () => {} } = {}) {
  let source = null;
  let timer = 0;
  let tries = 0;
  let last = "";
  let ended = false;
  let began = false;

  function open() {
    if (ended || document.hidden) return;
    close();
    source = new EventSource(typeof url === "function" ? url(last) : url);
    source.onopen = () => {
      tries = 0;
      show("on");
      if (began) returned(last);
      began = true;
    };
    source.onerror = () => {
      source.close();
      if (ended || over()) return end();
      show("lost");
      if (tries) returned(last);
      timer = setTimeout(open, WAITS[Math.min(tries++, WAITS.length - 1)]);
    };
    for (const [name, take] of Object.entries(on)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) last = event.lastEventId;
        take(event.data ? JSON.parse(event.data) : null, event);
        if (over()) end();
      });
    }
  }

  function close() {
    clearTimeout(timer);
    source?.close();
  }

  function end() {
    ended = true;
    close();
    show("off");
  }

  // A computer that was asleep may hold a connection that the other side has given up: it would be silent for ever.
  let looked = Date.now();
  setInterval(() => {
    const slept = Date.now() - looked > ASLEEP_MS;
    looked = Date.now();
    if (slept) open();
  }, LOOK_MS);
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && !ended && open());
  open();
  return end;
}

/**
 * Begin anew when the log is another one than that of the positions up to `seen`: a server in memory has restarted, or
 * has taken an archive for its log. What a stream has of it would be waited for in vain.
 */
export function checkLog(seen) {
  const source = new EventSource("/webui/pulse");
  source.onerror = () => source.close();
  source.addEventListener("beat", (event) => {
    source.close();
    if (JSON.parse(event.data).position < seen) location.reload();
  });
}
