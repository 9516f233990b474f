"use strict";
// The page is complete without this script; it adds sorting, and opens what is linked to or printed.

for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(table, headers, column));
  });
}

function sort(table, headers, column) {
  const header = headers[column];
  const first = header.dataset.first ?? "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  const direction = header.getAttribute("aria-sort") === first ? other : first;
  headers.forEach((each) => each.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const value = (row) => row.cells[column].dataset.value;
  // Array.sort is stable, so equal rows keep the order in which they stood.
  body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b), sign)));
}

function compare(a, b, sign) {
  const [x, y] = [Number(a), Number(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return sign * (x - y);
  if (a === "nan" || b === "nan") return (a === "nan") - (b === "nan"); // no data stands last, whatever the direction
  return sign * a.localeCompare(b);
}

function open(target) {
  if (target instanceof HTMLDetailsElement) target.open = true;
}

const linked = () => open(document.getElementById(decodeURIComponent(location.hash.slice(1))));
window.addEventListener("hashchange", linked);
linked();
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(open));
