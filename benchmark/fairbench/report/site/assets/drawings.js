"use strict";
// The kinds of pictures, each drawn by Observable Plot from the rows of a table at a given width in pixels:
//
//     drawings.ranks(table, 600)          // an <svg>
//
// Colours are variables of the page, so that a picture follows light, dark and print without being drawn again.

const FONT_SIZE = 12;
const INK = "var(--ink)";
const QUIET = "var(--quiet)";
const ACCENT = "var(--accent)";
const GROUND = "var(--raised)";
const TIP = { fill: GROUND, stroke: "var(--edge)", fontSize: FONT_SIZE, lineHeight: 1.25, lineWidth: 30 };
const GRID = { stroke: "var(--line)", strokeOpacity: 1 };
const percent = (share) => `${share} %`;

const drawings = {
  averages: (table, width) => scatter(table, width, "linear"),
  costs: (table, width) => scatter(table, width, "log"),

  /** Two bars for every row: the first and last rank that it may have. */
  ranks(table, width) {
    const found = lines(table).map(({ name, cells }, row) => {
      return { row, name, title: told(table, cells, name), ranks: cells.map(numbers) };
    });
    const { marginLeft, names } = nameAxis(found.map(({ name }) => name), width);
    const last = found.length;
    const ticks = d3.range(1, last + 1).filter((rank) => rank === 1 || rank % Math.ceil(last / (width / 34)) === 0);
    const bar = (key, stroke, dy) => Plot.ruleY(found, {
      y: "row", x1: ({ ranks }) => ranks[key][0] - 0.42, x2: ({ ranks }) => ranks[key].at(-1) + 0.42,
      stroke, strokeWidth: 5, dy, className: "bar",
    });
    return Plot.plot({
      width, marginLeft, marginTop: 30, marginBottom: 8, height: 38 + 22 * last,
      x: { domain: [0.5, last + 0.5] },
      y: { type: "band", domain: d3.range(last), padding: 0 },
      marks: [
        Plot.gridX(ticks, GRID),
        Plot.axisX(ticks, { anchor: "top", tickFormat: "d", tickSize: 0, label: null, color: QUIET }),
        names,
        bar(0, ACCENT, -3.5),
        bar(1, "var(--second)", 3.5),
        Plot.tip(found, Plot.pointerY({ ...TIP, x: ({ ranks }) => d3.mean(ranks[0]), y: "row", title: "title" })),
      ],
    });
  },

  /** A bar for every class and seed, its interval, and a tick where the clean accuracy is. */
  bars(table, width) {
    const headers = [...table.tHead.rows[0].querySelectorAll("th")];
    const seeds = headers.map((header) => header.textContent);
    const span = headers[0].colSpan;
    const classes = lines(table).map(({ name, cells }, row) => {
      const images = table.dataset.images ?? cells.shift().textContent;
      const own = seeds.map((_, k) => cells.slice(span * k, span * (k + 1))).filter(({ length }) => length === span);
      // The first cell of a seed begins with the attack that ranks and its interval; clean comes next, or in the last.
      const bars = own.map((found) => [...numbers(found[0]), ...numbers(found.at(-1))].slice(0, 4));
      const measured = bars.filter((values) => values.length === 4);
      return { row, name, bars: measured, images };
    });
    const thick = classes.length > 20 ? 4 : 8;
    const step = thick * seeds.length + (classes.length > 20 ? 5 : 10);
    const ticks = width < 500 ? 5 : 10;
    const { marginLeft, names } = nameAxis(classes.map(({ name }) => name), width);
    const title = ({ name, bars, images }) => [
      `${name}, ${images} images`,
      ...bars.map(([value, low, high, clean], k) => `${seeds[k]}: ${value} % (${low}–${high}), clean ${clean} %`),
    ].join("\n");
    return Plot.plot({
      width, marginLeft, marginTop: 30, marginBottom: 8, marginRight: 16, height: 38 + step * classes.length,
      x: { domain: [0, 100] },
      y: { type: "band", domain: d3.range(classes.length), padding: 0, round: false },
      marks: [
        Plot.gridX({ ...GRID, ticks }),
        Plot.axisX({ anchor: "top", ticks, tickFormat: percent, tickSize: 0, label: null, color: QUIET }),
        names,
        seeds.map((_, k) => {
          const rows = classes.filter(({ bars }) => bars.length > k);
          const value = (place) => ({ bars }) => bars[k][place];
          const inset = { insetTop: (step - thick * seeds.length) / 2 + thick * k + 0.5 };
          inset.insetBottom = step - inset.insetTop - thick + 1;
          const dy = inset.insetTop + thick / 2 - 0.5 - step / 2;
          return [
            Plot.barX(rows, { y: "row", x: value(0), fill: ACCENT, fillOpacity: 0.6, ...inset, className: "bar" }),
            Plot.ruleY(rows, { y: "row", x1: value(1), x2: value(2), stroke: INK, dy }),
            Plot.tickX(rows, { y: "row", x: value(3), stroke: QUIET, strokeWidth: 1.5, ...inset }),
          ];
        }),
        Plot.text(classes.filter(({ bars }) => !bars.length), {
          y: "row", x: 0, dx: 6, text: ["no test images"], textAnchor: "start", fill: QUIET,
        }),
        Plot.tip(classes.filter(({ bars }) => bars.length), Plot.pointerY({
          ...TIP, lineWidth: 50, y: "row", x: ({ bars }) => d3.mean(bars, ([value]) => value), title,
        })),
      ],
    });
  },

  /** Accuracy by epoch: every class thinly, their average, and the worst class of every epoch. */
  curves(table, width) {
    const first = Number(table.dataset.first);
    const series = [...table.tBodies[0].rows].map((line) => {
      const values = [...line.cells].slice(1).flatMap((cell) => cell.textContent.split(" ")).map(Number);
      const name = line.cells[0].textContent;
      return values.map((value, k) => ({ kind: line.dataset.kind, name, epoch: first + k, value }));
    });
    const points = series.flat();
    const of = (kind) => points.filter((point) => point.kind === kind);
    const line = (kind, options) => {
      return Plot.line(of(kind), { x: "epoch", y: "value", z: "name", className: kind, ...options });
    };
    const ends = series.map((values) => values.at(-1)).filter(({ kind, value }) => kind === "class" && value >= 0);
    const [low, high] = [d3.least(ends, (end) => end.value), d3.greatest(ends, (end) => end.value)];
    const named = low && low !== high ? [{ ...low, value: Math.min(low.value, high.value - 7) }, high] : ends;
    const marginRight = Math.min(0.3 * width, 16 + (d3.max(named, ({ name }) => textWidth(name)) ?? 0));
    return Plot.plot({
      width, height: Math.round(Math.min(340, 120 + 0.4 * width)),
      marginLeft: 48, marginRight, marginTop: 14, marginBottom: 40,
      x: { label: null },
      y: { domain: [0, 100] },
      marks: [
        Plot.gridY({ ...GRID, ticks: 5 }),
        Plot.axisY({ ticks: 5, tickFormat: percent, tickSize: 0, label: null, color: QUIET }),
        Plot.axisX({
          ticks: width / 90, tickFormat: "d", tickSize: 0, color: QUIET,
          label: "epoch", labelAnchor: "center", labelArrow: "none",
        }),
        line("class", { stroke: QUIET, strokeWidth: 1, strokeOpacity: 0.45 }),
        line("average", { stroke: INK, strokeWidth: 2 }),
        line("worst", { stroke: ACCENT, strokeWidth: 2 }),
        Plot.ruleX(table.dataset.selected ? [Number(table.dataset.selected)] : [], {
          stroke: "var(--alert)", strokeWidth: 1.5, strokeDasharray: "2 4",
        }),
        Plot.text(named, {
          x: "epoch", y: "value", text: "name", textAnchor: "start", dx: 6, fill: INK, className: "names",
          textOverflow: "ellipsis", lineWidth: (marginRight - 8) / FONT_SIZE,
        }),
        Plot.tip(points, Plot.pointer({
          ...TIP, x: "epoch", y: "value", title: ({ name, epoch, value }) => `${name}, epoch ${epoch}: ${value} %`,
        })),
      ],
    });
  },
};

/** Names of rows to the left of a picture, and the room that they take. */
function nameAxis(texts, width) {
  const marginLeft = Math.ceil(Math.min(0.38 * width, 12 + (d3.max(texts, textWidth) ?? 0)));
  const names = Plot.axisY({
    tickSize: 0, tickPadding: 8, label: null, color: INK, tickFormat: (row) => texts[row], textOverflow: "ellipsis",
    lineWidth: (marginLeft - 10) / FONT_SIZE,
  });
  return { marginLeft, names };
}

/** What is shown of a row that is pointed at: its cells with their headings. */
function told(table, cells, name) {
  const headings = [...table.tHead.rows[0].cells].slice(1);
  return [name, ...cells.map((cell, k) => `${headings[k].textContent}: ${cell.textContent}`)].join("\n");
}
