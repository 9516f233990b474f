"use strict";
// Names of points, written so that none covers another name or a dot; Observable Plot has no such placement.
//
//     Plot.text(points, { x: "x", y: "y", text: "name", render: placed })
//
// Every name takes the nearest free place around its dot, the crowded dots first, and a line leads to one that is far.
// A name that finds no place is left out; it is still in the table, and shown when the dot is pointed at.

const DISTANCES = [8, 14, 22, 32, 44, 58, 74, 92, 112, 136, 164];
const DIRECTIONS_AROUND = 16;
const LINE = 13; // height of a text, in pixels
const DOT = 5;
const NEAR = 15; // a name as close as this needs no line

/** A render transform of Plot's text mark. */
function placed(indices, scales, values, dimensions, context, next) {
  const index = [...indices];
  const { x: X, y: Y, text: names } = values;
  const { width, height, marginLeft, marginRight, marginTop, marginBottom } = dimensions;
  const inside = [marginLeft + 2, marginTop, width - marginRight, height - marginBottom - 2];
  const dots = index.map((i) => [X[i] - DOT, Y[i] - DOT, X[i] + DOT, Y[i] + DOT]);
  const crowding = (i) => index.filter((j) => Math.hypot(X[i] - X[j], Y[i] - Y[j]) < 60).length;
  const boxes = new Map();
  for (const i of [...index].sort((i, j) => crowding(j) - crowding(i) || i - j)) {
    const taken = [...dots, ...boxes.values()];
    const free = (box) => holds(inside, box) && !taken.some((other) => overlap(box, other));
    const box = around(X[i], Y[i], textWidth(names[i])).find(free);
    if (box) boxes.set(i, box);
  }
  const moved = { ...values, x: X.slice(), y: Y.slice() };
  for (const [i, [left, top]] of boxes) [moved.x[i], moved.y[i]] = [left, top + LINE / 2];
  const group = next(index.filter((i) => boxes.has(i)), scales, moved, dimensions, context);
  for (const [i, box] of boxes) {
    const [u, v] = nearest(box, X[i], Y[i]);
    if (Math.hypot(u - X[i], v - Y[i]) < NEAR) continue;
    const line = context.document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", `M${X[i]} ${Y[i]}L${u} ${v}`);
    line.setAttribute("fill", "none");
    line.setAttribute("stroke", "var(--quiet)");
    line.setAttribute("stroke-width", 0.75);
    group.prepend(line);
  }
  return group;
}

/** Boxes around a point, nearest first; right of it is best, then both sides at once to the left. */
function around(x, y, width) {
  return DISTANCES.flatMap((distance) => Array.from({ length: DIRECTIONS_AROUND }, (_, step) => {
    const angle = ((2 * Math.PI) / DIRECTIONS_AROUND) * Math.ceil(step / 2) * (step % 2 ? 1 : -1);
    const [across, up] = [Math.cos(angle), Math.sin(angle)];
    const left = x + distance * across - (width * (1 - across)) / 2;
    const top = y - distance * up - (LINE * (1 + up)) / 2;
    return [left, top, left + width, top + LINE];
  }));
}

const overlap = ([a, b, c, d], [e, f, g, h]) => a < g && e < c && b < h && f < d;
const holds = ([a, b, c, d], [e, f, g, h]) => a <= e && g <= c && b <= f && h <= d;
const nearest = ([a, b, c, d], x, y) => [Math.min(Math.max(x, a), c), Math.min(Math.max(y, b), d)];

const pen = document.createElement("canvas").getContext("2d");

/** In the font of the page, in pixels. */
function textWidth(text) {
  pen.font = `${FONT_SIZE}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width + 3;
}
