"use strict";
// The page is complete without this script. It adds sorting, search, filters and a choice of columns to a ranking,
// keeps that view in the address so that it can be linked to, copies BibTeX, and unfolds everything for print.
//
//     #board-digits-full-1c0f62e9?sort=cost&order=ascending&search=kd&family=fairness&hide=seeds,flags

const views = new Map();

for (const board of document.querySelectorAll("section.board")) {
  const table = board.querySelector("table.ranking");
  if (table) views.set(board.id, view(board, table));
}

/** Makes a ranking interactive; what it returns shows the view that an address describes. */
function view(board, table) {
  const form = board.querySelector("form.view");
  const headers = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const filtered = [...board.querySelectorAll("[data-words]")];
  const filters = [...form.querySelectorAll("select")];
  const boxes = [...form.querySelectorAll("[name=column]")];
  const cell = (row, name) => row.cells[headers.findIndex((header) => header.dataset.column === name)];
  const first = (name) => headers.find((header) => header.dataset.column === name).dataset.first;
  let sorted = { column: "rank", order: "ascending" };

  function apply() {
    headers.forEach((header) => header.removeAttribute("aria-sort"));
    cell(table.tHead.rows[0], sorted.column).setAttribute("aria-sort", sorted.order);
    const sign = sorted.order === "ascending" ? 1 : -1;
    const value = (row) => cell(row, sorted.column).dataset.value;
    // Sorting is stable, so equal rows stay in the order of their ranks.
    table.tBodies[0].append(...[...rows].sort((a, b) => compare(value(a), value(b), sign)));

    const words = form.search.value.toLowerCase().split(/\s+/);
    for (const row of filtered) {
      const found = words.every((word) => row.dataset.words.includes(word));
      row.hidden = !found || filters.some(({ name, value }) => value && row.dataset[name] !== value);
    }
    for (const box of boxes) {
      for (const row of table.rows) cell(row, box.value).hidden = !box.checked;
    }
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").value = shown === rows.length ? "" : `${shown} of ${rows.length} ranked rows shown`;
  }

  function address() {
    const parameters = new URLSearchParams();
    if (sorted.column !== "rank" || sorted.order !== "ascending") {
      parameters.set("sort", sorted.column);
      parameters.set("order", sorted.order);
    }
    for (const { name, value } of [form.search, ...filters]) if (value) parameters.set(name, value);
    const hide = boxes.filter((box) => !box.checked).map((box) => box.value);
    if (hide.length) parameters.set("hide", hide.join(","));
    const query = parameters.toString();
    return query ? `#${board.id}?${query}` : `#${board.id}`;
  }

  function changed() {
    apply();
    history.replaceState(null, "", address());
  }

  /** Whoever writes an address may write anything: what we do not know is as if it were not there. */
  function show(parameters) {
    const order = parameters.get("order");
    const known = headers.some((header) => header.dataset.column === parameters.get("sort"));
    const column = known ? parameters.get("sort") : "rank";
    sorted = { column, order: ["ascending", "descending"].includes(order) ? order : first(column) };
    form.search.value = parameters.get("search") ?? "";
    for (const select of filters) {
      const wanted = parameters.get(select.name);
      select.value = [...select.options].some(({ value }) => value === wanted) ? wanted : "";
    }
    const hide = (parameters.get("hide") ?? "").split(",");
    for (const box of boxes) box.checked = !hide.includes(box.value);
    apply();
  }

  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const column = header.dataset.column;
      const turned = sorted.order === "ascending" ? "descending" : "ascending";
      sorted = { column, order: sorted.column === column ? turned : first(column) };
      changed();
    });
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector(".reset").addEventListener("click", () => {
    show(new URLSearchParams());
    changed();
  });
  form.hidden = false;
  return show;
}

function compare(a, b, sign) {
  const [x, y] = [Number(a), Number(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return sign * (x - y);
  if (a === "nan" || b === "nan") return (a === "nan") - (b === "nan"); // no data stands last, whatever the direction
  return sign * a.localeCompare(b);
}

/** Shows the board that the address names in the view that it describes. */
function linked() {
  const [id, query = ""] = location.hash.slice(1).split("?", 2);
  if (!views.has(id)) return;
  views.get(id)(new URLSearchParams(query));
  // A browser does not find an address with a query by itself.
  if (query) document.getElementById(id).scrollIntoView();
}

for (const button of document.querySelectorAll("button.copy")) {
  const text = button.parentElement.querySelector("pre");
  const status = button.parentElement.querySelector("[role=status]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent); // absent where a site is served without encryption
      status.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(text);
      status.textContent = "Not allowed to copy; it is selected.";
    }
  });
}

window.addEventListener("hashchange", linked);
linked();
window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not(.columns)")) folded.open = true;
});
