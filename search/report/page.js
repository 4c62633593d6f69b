"use strict";

const tip = document.getElementById("tip");

function show(mark) {
  tip.textContent = mark.getAttribute("aria-label");
  tip.hidden = false;
  const shape = (mark.querySelector(".dot, .mean") ?? mark).getBoundingClientRect();
  const room = document.documentElement.clientWidth;
  const left = Math.min(Math.max(8, shape.left + shape.width / 2 - tip.offsetWidth / 2), room - tip.offsetWidth - 8);
  const above = shape.top - tip.offsetHeight - 10;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 8 ? above : shape.bottom + 10}px`;
}

function hide() {
  tip.hidden = true;
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

function move(event, all) {
  if (event.key === "Escape") hide();
  if (!(event.key in STEPS)) return;
  const here = all.indexOf(document.activeElement);
  const next = all[Math.min(Math.max(here + STEPS[event.key], 0), all.length - 1)];
  all[here].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  event.preventDefault();
}

for (const chart of document.querySelectorAll(".marks")) {
  const all = [...chart.children];
  chart.addEventListener("keydown", (event) => move(event, all));
  for (const mark of all) {
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", hide);
  }
}
addEventListener("scroll", () => {
  const focused = document.activeElement;
  if (!tip.hidden && focused.classList.contains("mark")) show(focused);
  else hide();
}, { passive: true });

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = getComputedStyle(root).colorScheme === "dark"
    || (getComputedStyle(root).colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
});
