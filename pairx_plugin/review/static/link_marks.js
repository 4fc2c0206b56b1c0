// One link as it is drawn: a line, two rings as large as a cell, two numbers; colour is never the only sign.

import { inside, toPoint } from "./geometry.js";
import { set, svg } from "./elements.js";
import { say } from "./words.js";

const HUES = 5;
const DASHES = [null, [2.6, 1.1], [0.01, 1.9]]; // stroke and gap in widths of the line
const DISTINCT = HUES * DASHES.length;
const PLATE = 9; // half the height of a number's plate, in pixels of an ordinary screen
const TURNS = [0, 0.6, -0.6, 1.2, -1.2, 1.9, -1.9, Math.PI];

/** Return the hue of a link by its rank from 1; those after the last pattern share one without hue. */
export const hueOf = (rank) => (rank > DISTINCT ? "none" : String((rank - 1) % HUES));

/** Return the marks of one link, without places yet. */
export function makeMark(link, words) {
  const line = ["outer", "casing", "core"].map((part) => svg("path", { class: part, fill: "none" }));
  const away = [link.inside0 === false, link.inside1 === false];
  const rings = [0, 1].map((side) => svg("g", { class: `ring${away[side] ? " outside" : ""}` },
    ...["outer", "casing", "core"].map((part) => svg("ellipse", { class: part, fill: "none" })),
    ...(away[side] ? ["outer", "casing", "core"].map((part) => svg("path", { class: `cross ${part}`, fill: "none" })) : []), svg("ellipse", { class: "reach" })));
  // Numbers are drawn above all rings, so they are no part of the link's own group; readers hear the group's name.
  const plates = [0, 1].map(() => svg("g", { class: "plate", "data-rank": link.rank, "data-hue": hueOf(link.rank), "aria-hidden": "true" }, svg("rect", { rx: 4 }), svg("text", { "text-anchor": "middle", "dominant-baseline": "central" }, String(link.rank))));
  const group = svg("g", {
    class: "link",
    "data-rank": link.rank,
    "data-hue": hueOf(link.rank),
    tabindex: "0",
    role: "button",
    "aria-pressed": "false",
    "aria-label": [say("LINK_LABEL", { rank: link.rank, place_0: words?.place_0 ?? "", place_1: words?.place_1 ?? "", pose: words?.pose ?? "" }), words?.inside ? say("LINK_INSIDE", { inside: words.inside }) : ""].filter(Boolean).join("; "),
  }, svg("g", { class: "line" }, ...line), ...rings);
  return { link, group, line, rings, plates };
}

/** Put the marks of all links where the panes and looks say; they grow with the letters of the page. */
export function placeMarks(marks, panes, looks, grid) {
  const unit = Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16);
  const taken = [[], []];
  const ends = marks.map(({ link }) => [toPoint(link.kpts0, panes[0], looks[0]), toPoint(link.kpts1, panes[1], looks[1])]);
  const radii = [0, 1].map((side) => [
    Math.max(6.5 * unit, (panes[side].w * looks[side].zoom) / grid[side][1] / 2),
    Math.max(6.5 * unit, (panes[side].h * looks[side].zoom) / grid[side][0] / 2),
  ]);
  const bows = bowsOf(ends);
  for (const side of [0, 1]) for (const pair of ends) taken[side].push({ x: pair[side][0], y: pair[side][1], r: 5 });
  marks.forEach((mark, index) => placeOne(mark, ends[index], panes, radii, taken, bows[index] * unit, unit));
}

/** Return by how many pixels each line is bent, so that lines on one another can be told apart. */
function bowsOf(ends) {
  const bows = ends.map(() => 0);
  ends.forEach(([a, b], index) => {
    const near = ends.map(([c, d], other) => ({ other, close: Math.abs(lift(a, b, c)) < 8 && Math.abs(lift(a, b, d)) < 8 })).filter(({ close }) => close);
    const place = near.findIndex(({ other }) => other === index);
    if (near.length > 1) bows[index] = (place - (near.length - 1) / 2) * 16;
  });
  return bows;
}

/** Return how far a point lies beside the line from a to b. */
function lift(a, b, point) {
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  return ((point[0] - a[0]) * (b[1] - a[1]) - (point[1] - a[1]) * (b[0] - a[0])) / length;
}

function placeOne(mark, ends, panes, radii, taken, bow, unit) {
  const seen = [0, 1].map((side) => inside(ends[side], panes[side]));
  const angle = Math.atan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0]);
  const starts = [rim(ends[0], radii[0], angle), rim(ends[1], radii[1], angle + Math.PI)];
  const width = unit * (mark.link.rank > DISTINCT ? 1.6 : mark.link.rank > HUES ? 2.4 : 3);
  const dash = mark.link.rank > DISTINCT ? null : DASHES[Math.floor((mark.link.rank - 1) / HUES)];
  const middle = [(ends[0][0] + ends[1][0]) / 2 + Math.sin(angle) * bow, (ends[0][1] + ends[1][1]) / 2 - Math.cos(angle) * bow];
  const d = `M${fixed(starts[0])}Q${fixed(middle)} ${fixed(starts[1])}`;
  const extra = { outer: 3.6, casing: 2, core: 0 };
  for (const path of mark.line) {
    const part = path.getAttribute("class");
    set(path, { d, "stroke-width": width + unit * extra[part], "stroke-dasharray": dash ? dash.map((value) => value * (width + 2.4 * unit)).join(" ") : null, "stroke-linecap": dash && dash[0] < 1 ? "round" : "butt" });
  }
  mark.group.classList.toggle("half", seen[0] !== seen[1]);
  mark.group.classList.toggle("away", !seen[0] && !seen[1]);
  for (const side of [0, 1]) {
    set(mark.rings[side], { visibility: seen[side] ? "visible" : "hidden" });
    set(mark.plates[side], { visibility: seen[side] ? "visible" : "hidden" });
    for (const cross of mark.rings[side].querySelectorAll(".cross")) set(cross, { d: crossed(ends[side], radii[side]) });
    for (const ellipse of mark.rings[side].querySelectorAll("ellipse")) {
      const reach = ellipse.getAttribute("class") === "reach";
      set(ellipse, { cx: ends[side][0], cy: ends[side][1], rx: reach ? Math.max(12, radii[side][0]) : radii[side][0], ry: reach ? Math.max(12, radii[side][1]) : radii[side][1] });
    }
    if (seen[side]) placePlate(mark.plates[side], mark.link.rank, ends[side], radii[side], angle + (side ? 0 : Math.PI), panes[side], taken[side], unit);
  }
}

/** Put a number beside its ring, away from its line if there is room, where it covers nothing else. */
function placePlate(plate, rank, end, radius, away, pane, taken, unit) {
  const half = [unit * (rank > 9 ? 11 : 8.5), unit * PLATE];
  let best = null;
  for (const turn of TURNS) {
    const angle = away + turn;
    const x = end[0] + Math.cos(angle) * (radius[0] + half[0] + 1);
    const y = end[1] + Math.sin(angle) * (radius[1] + half[1] + 1);
    const out = Math.max(0, pane.x + half[0] - x, x + half[0] - pane.x - pane.w) + Math.max(0, pane.y + half[1] - y, y + half[1] - pane.y - pane.h);
    const covers = taken.reduce((sum, item) => sum + Math.max(0, half[0] + item.r - Math.abs(x - item.x)) * Math.max(0, half[1] + item.r - Math.abs(y - item.y)), 0);
    const cost = covers + out * 60 + Math.abs(turn) * 4;
    if (!best || cost < best.cost) best = { x, y, cost };
  }
  taken.push({ x: best.x, y: best.y, r: half[0] });
  set(plate.children[0], { x: best.x - half[0], y: best.y - half[1], width: 2 * half[0], height: 2 * half[1] });
  set(plate.children[1], { x: best.x, y: best.y + 0.5 });
}

/** Two strokes from rim to rim of a ring: such an end lies outside of the animal. */
function crossed([x, y], [rx, ry]) {
  const [dx, dy] = [rx * Math.SQRT1_2, ry * Math.SQRT1_2];
  return `M${fixed([x - dx, y - dy])}L${fixed([x + dx, y + dy])}M${fixed([x - dx, y + dy])}L${fixed([x + dx, y - dy])}`;
}

function rim(end, radius, angle) {
  const length = 1 / Math.hypot(Math.cos(angle) / radius[0], Math.sin(angle) / radius[1]);
  return [end[0] + Math.cos(angle) * length, end[1] + Math.sin(angle) * length];
}

const fixed = (point) => point.map((value) => value.toFixed(1)).join(",");
