// The colours the reader chose, before anything is painted. A classic script: it has to run before the body.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("kala.theme");
  } catch {
    return; // this browser keeps nothing
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
