// An EventSource that comes back: after a restart of the server, after a refusal (503), after the tab was asleep.
// The word beside the navigation says whether the page is live.

const WAITS = [1000, 2000, 5000, 10000];

export function show(state) {
  const place = document.getElementById("live");
  if (!place || place.dataset.state === state) return;
  place.dataset.state = state;
  place.querySelector(".live-word").textContent = { on: "Live", off: "Not live", lost: "Reconnecting" }[state];
}

/**
 * Follow a stream. `on` has a function for each event's name, given (data, event); `url(last)` is the address, given the
 * last id that was seen ("" at first), so that a reconnect misses nothing. `over()` tells that nothing more comes.
 * Gives back a function that ends it.
 */
export function follow(url, on, { over = () => false, reconnected = () => {} } = {}) {
  let source = null;
  let timer = 0;
  let tries = 0;
  let last = "";
  let ended = false;
  let began = false;

  function open() {
    if (ended) return;
    source = new EventSource(typeof url === "function" ? url(last) : url);
    source.onopen = () => {
      tries = 0;
      show("on");
      if (began) reconnected();
      began = true;
    };
    source.onerror = () => {
      source.close();
      if (ended || over()) return end();
      show("lost");
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

  function end() {
    ended = true;
    clearTimeout(timer);
    source?.close();
    show("off");
  }

  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && !ended && open());
  open();
  return end;
}
