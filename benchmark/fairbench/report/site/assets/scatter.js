"use strict";
// Two numbers of every row against each other: average or training cost, and the worst class.
//
//     scatter(table, 600, "log")          // an <svg>; the horizontal axis may be logarithmic

/** A dot for every row with intervals in both directions; the front, whose rows no other one beats, is a line. */
function scatter(table, width, type) {
  const points = lines(table).map(({ name, cells }) => {
    const [[x], [x1, x2], [y], [y1, y2]] = cells.map(numbers);
    const front = cells[4].textContent === "no";
    return { name, title: told(table, cells.slice(0, 4), name), x, x1, x2, y, y1, y2, front };
  });
  const lowest = { x: type === "log" ? 0 : fence(points.map(({ x }) => x)), y: fence(points.map(({ y }) => y)) };
  for (const point of points) point.outside = point.x < lowest.x || point.y < lowest.y;
  const near = (axis) => points.filter((point) => point[axis] >= lowest[axis]);
  const domain = (axis) => spread(d3.extent(near(axis).flatMap((point) => [point[`${axis}1`], point[`${axis}2`]])));
  const [, across, , along] = [...table.tHead.rows[0].cells].map((header) => header.textContent);
  const colour = ({ front }) => (front ? ACCENT : QUIET);
  const corners = d3.sort(points.filter(({ front }) => front), ({ x }) => x);
  const axis = { tickSize: 0, color: QUIET, labelArrow: "none", labelAnchor: "center" };
  const ticks = type === "log" ? roundTicks(domain("x")) : width / 90;
  const factor = type === "log" && { tickFormat: (cost) => `${+cost.toPrecision(3)}×` };
  return Plot.plot({
    width, height: Math.round(Math.max(320, Math.min(560, 0.62 * width))),
    marginLeft: 50, marginBottom: 50, marginTop: 14, marginRight: 18, inset: 10,
    x: { type, domain: domain("x"), nice: type !== "log", clamp: true },
    y: { domain: domain("y"), nice: true, clamp: true },
    r: { type: "identity" },
    symbol: { type: "identity" },
    marks: [
      Plot.gridX({ ...GRID, ticks }),
      Plot.gridY({ ...GRID, ticks: 6 }),
      Plot.axisX({ ...axis, ticks, label: across, ...factor }),
      Plot.axisY({ ...axis, ticks: 6, label: along }),
      Plot.ruleY(points, { y: "y", x1: "x1", x2: "x2", stroke: colour, strokeOpacity: 0.3 }),
      Plot.ruleX(points, { x: "x", y1: "y1", y2: "y2", stroke: colour, strokeOpacity: 0.3 }),
      Plot.line(corners, { x: "x", y: "y", stroke: ACCENT, strokeWidth: 1.5, strokeDasharray: "5 4" }),
      Plot.dot(points, {
        x: "x", y: "y", fill: colour, stroke: GROUND, className: "point",
        r: ({ outside }) => (outside ? 7 : 4.5), symbol: ({ outside }) => (outside ? "triangle2" : "circle"),
      }),
      Plot.text(points, {
        x: "x", y: "y", text: ({ name, outside }) => (outside ? `${name} (off the scale)` : name), textAnchor: "start",
        fill: ({ front }) => (front ? ACCENT : INK), stroke: GROUND, strokeWidth: 3, className: "names", render: placed,
      }),
      Plot.tip(points, Plot.pointer({ ...TIP, x: "x", y: "y", title: "title" })),
    ],
  });
}

/** Below it a value would press all others together: Tukey's outer fence, but at least 15 points. */
function fence(values) {
  const [low, high] = [d3.quantile(values, 0.25), d3.quantile(values, 0.75)];
  return low - 3 * Math.max(high - low, 5);
}

/** An axis needs some length, even if all values are alike. */
const spread = ([low, high]) => (high > low ? [low, high] : [0.9 * low, 1.1 * high || 1]);

/** Of a logarithmic axis: 1, 2 and 5 of every decade, or more where it spans little more than one. */
function roundTicks([low, high]) {
  const decades = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
  const ticks = (digits) => decades.flatMap((decade) => digits.map((digit) => digit * 10 ** decade))
    .filter((tick) => tick >= low && tick <= high);
  const few = ticks([1, 2, 5]);
  return few.length > 4 ? few : ticks([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]);
}
