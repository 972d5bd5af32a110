// The colours the reader chose, before anything is painted. A classic script: it has to run before the body.
"use strict";
(() => {
  const chosen = localStorage.getItem("kala.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
