"use strict";
// Sorts the table by a column: by number where all its cells are numbers.
for (const head of document.querySelectorAll("th button")) {
  head.addEventListener("click", () => {
    const cell = head.parentElement, table = cell.closest("table");
    const ascending = cell.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const value = (row) => row.cells[cell.cellIndex].dataset.value ?? "";
    const rows = [...table.tBodies[0].rows];
    const filled = rows.filter((row) => value(row) !== "");
    const numeric = filled.every((row) => !Number.isNaN(Number(value(row))));
    const order = (a, b) => numeric
      ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b));
    filled.sort((a, b) => (ascending ? order(a, b) : order(b, a)));
    // Rows without a value stay last.
    table.tBodies[0].append(...filled, ...rows.filter((row) => value(row) === ""));
  });
}
// Points at a trial in every chart and in the table at once.
const parts = [...document.querySelectorAll("[data-trial]")];
const numbers = (part) => part.dataset.trial.split(" ");
function show(trials) {
  document.body.classList.toggle("has-on", trials.length > 0);
  for (const part of parts) {
    part.classList.toggle("on", numbers(part).some((one) => trials.includes(one)));
  }
}
for (const part of parts) {
  part.addEventListener("pointerenter", () => show(numbers(part)));
  part.addEventListener("pointerleave", () => show([]));
}
