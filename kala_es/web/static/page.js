// What every page has: the choice of colours, moments in the reader's zone, what `say` tells.
import { keep } from "./kept.js";
import { keepTimes } from "./time.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const WORDS = { system: "System", light: "Light", dark: "Dark" };

function chosenTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

function showTheme(button) {
  const theme = chosenTheme();
  button.querySelector(".theme-word").textContent = WORDS[theme];
  button.setAttribute("aria-label", `Colours: ${WORDS[theme]}. Change to ${WORDS[NEXT[theme]]}.`);
}

function turnTheme(button) {
  const theme = NEXT[chosenTheme()];
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    keep("kala.theme", null);
  } else {
    document.documentElement.dataset.theme = theme;
    keep("kala.theme", theme);
  }
  showTheme(button);
}

const button = document.getElementById("theme");
showTheme(button);
button.addEventListener("click", () => turnTheme(button));
keepTimes(document);
