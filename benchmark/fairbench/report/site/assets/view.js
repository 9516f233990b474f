"use strict";
// Rankings can be sorted, searched, filtered and narrowed to some columns; the view is kept in the address, so that it
// can be linked to:
//
//     #board-digits-full-1c0f62e9?sort=cost&order=ascending&search=kd&family=fairness&hide=seeds,flags
//
// DataTables does it. Ours is what rows are found by, which holds for the other tables of a board as well, and the
// address. Without a script the table is complete, in the order of the ranks.

const views = new Map();
const DIRECTIONS = { asc: "ascending", desc: "descending" };

// Numbers and words, each in their order; no data stands last, whatever the direction.
DataTable.type("measured", {
  order: { asc: (a, b) => compared(a, b, 1), desc: (a, b) => compared(a, b, -1) },
});

function compared(a, b, sign) {
  if (a === "nan" || b === "nan") return (a === "nan") - (b === "nan");
  const [x, y] = [Number(a), Number(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
}

/** Makes a ranking interactive; what it returns shows the view that an address describes. */
function view(board, ranking) {
  const form = board.querySelector("form.view");
  const filters = [...form.querySelectorAll("select")];
  const boxes = [...form.querySelectorAll("[name=column]")];
  const headers = [...ranking.tHead.rows[0].cells];
  const columns = headers.map(({ dataset, textContent }) => ({
    name: dataset.column,
    ariaTitle: textContent.trim(),
    orderSequence: dataset.first === "ascending" ? ["asc", "desc"] : ["desc", "asc"],
    type: "measured",
  }));
  const table = new DataTable(ranking, {
    autoWidth: false,
    columns,
    info: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    order: [[0, "asc"]],
    orderDescReverse: false, // equal rows stay in the order of their ranks
    orderMulti: false, // an address holds one column
    paging: false,
  });
  const others = [...board.querySelectorAll("tbody[data-words]")];
  let showing = false;

  function found({ dataset }) {
    const words = form.search.value.toLowerCase().split(/\s+/);
    return words.every((word) => dataset.words.includes(word))
      && filters.every(({ name, value }) => !value || dataset[name] === value);
  }
  table.search.fixed("view", (text, data, index) => found(table.row(index).node()));

  function apply() {
    for (const box of boxes) table.column(`${box.value}:name`).visible(box.checked);
    for (const body of others) body.hidden = !found(body);
    table.draw();
    const { recordsDisplay: shown, recordsTotal: all } = table.page.info();
    form.querySelector("output").value = shown === all ? "" : `${shown} of ${all} ranked rows shown`;
  }

  function address() {
    const parameters = new URLSearchParams();
    const [column, direction] = table.order()[0];
    if (column !== 0 || direction !== "asc") {
      parameters.set("sort", columns[column].name);
      parameters.set("order", DIRECTIONS[direction]);
    }
    for (const { name, value } of [form.search, ...filters]) if (value) parameters.set(name, value);
    const hide = boxes.filter((box) => !box.checked).map((box) => box.value);
    if (hide.length) parameters.set("hide", hide.join(","));
    const query = parameters.toString();
    return query ? `#${board.id}?${query}` : `#${board.id}`;
  }

  /** Whoever writes an address may write anything: what we do not know is as if it were not there. */
  function show(parameters) {
    const known = columns.findIndex(({ name }) => name === parameters.get("sort"));
    const column = Math.max(known, 0);
    const [direction] = Object.entries(DIRECTIONS).find(([, name]) => name === parameters.get("order")) ?? [];
    form.search.value = parameters.get("search") ?? "";
    for (const select of filters) {
      const wanted = parameters.get(select.name);
      select.value = [...select.options].some(({ value }) => value === wanted) ? wanted : "";
    }
    const hide = (parameters.get("hide") ?? "").split(",");
    for (const box of boxes) box.checked = !hide.includes(box.value);
    showing = true;
    table.order([[column, direction ?? columns[column].orderSequence[0]]]);
    apply();
    showing = false;
  }

  // DataTables sorts by Enter; a button answers to the space bar as well.
  ranking.tHead.addEventListener("keydown", (event) => {
    if (event.key !== " " || !event.target.matches("[role=button]")) return;
    event.preventDefault();
    event.target.click();
  });
  const keep = () => history.replaceState(null, "", address());
  table.on("order", () => showing || keep());
  form.addEventListener("input", () => {
    apply();
    keep();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector(".reset").addEventListener("click", () => {
    show(new URLSearchParams());
    keep();
  });
  form.hidden = false;
  return show;
}

/** Shows the board that the address names in the view that it describes. */
function linked() {
  const [id, query = ""] = location.hash.slice(1).split("?", 2);
  if (!views.has(id)) return;
  views.get(id)(new URLSearchParams(query));
  // A browser does not find an address with a query by itself.
  if (query) document.getElementById(id).scrollIntoView();
}

for (const board of document.querySelectorAll("section.board")) {
  const ranking = board.querySelector("table.ranking");
  if (ranking) views.set(board.id, view(board, ranking));
}
window.addEventListener("hashchange", linked);
linked();
