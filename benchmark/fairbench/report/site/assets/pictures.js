"use strict";
// Every picture is drawn from the table behind it, which is then folded; there is no second copy of the numbers.
//
//     <figure class="picture" data-drawing="ranks"> ... <details open> ... <table> ... </details></figure>
//
// A picture is as wide as its place, so that text keeps its size on a phone, and is drawn again when that changes.

/** Rows of a table: name and other cells. */
function lines(table) {
  return [...table.tBodies[0].rows].map(({ cells: [first, ...cells] }) => ({ name: first.textContent, cells }));
}

/** Numbers of a cell: more exactly in its data, or those that are written there; none for a dash. */
function numbers(cell) {
  return ((cell.dataset.value ?? cell.textContent).match(/\d+(\.\d+)?/g) ?? []).map(Number);
}

function picture(figure) {
  const details = figure.querySelector("details");
  const table = details.querySelector("table");
  const label = figure.querySelector("b")?.textContent ?? figure.getAttribute("aria-label");
  const place = document.createElement("div");
  place.className = "drawing";
  const save = document.createElement("button");
  save.type = "button";
  save.className = "plain save";
  save.textContent = "Save as SVG";
  save.addEventListener("click", () => download(place.firstElementChild, label));
  details.before(place, save);
  let drawn = 0;

  function draw() {
    const width = Math.floor(place.clientWidth - 2 * parseFloat(getComputedStyle(place).paddingLeft));
    if (width === drawn || width < 100) return;
    drawn = width;
    const svg = drawings[figure.dataset.drawing](table, width);
    // Plot labels parts of a picture, which is one image here; only an element with a role may have a label.
    for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${label}; the numbers stand in the table below.`);
    place.replaceChildren(svg);
  }

  details.open = false;
  draw();
  new ResizeObserver(draw).observe(place);
}

/** For slides and papers: with the colours and the font of the page as they are now, since a file has no variables. */
function download(svg, label) {
  const copy = svg.cloneNode(true);
  const { color, fontFamily } = getComputedStyle(svg);
  const { backgroundColor } = getComputedStyle(svg.parentElement);
  Object.assign(copy.style, { color, fontFamily, backgroundColor, fontSize: `${FONT_SIZE}px` });
  const page = getComputedStyle(document.documentElement);
  const source = new XMLSerializer().serializeToString(copy);
  const text = source.replace(/var\((--[a-z]+)\)/g, (variable, name) => page.getPropertyValue(name).trim() || variable);
  const link = document.createElement("a");
  link.href = `data:image/svg+xml,${encodeURIComponent(text)}`;
  link.download = `${label.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.svg`;
  link.click();
}

document.querySelectorAll("figure[data-drawing]").forEach(picture);
