// Where things are: two panes in a frame, what part of a photograph a pane shows, and partners of places.
// A place is [x, y] in shares of a photograph, a point [x, y] in pixels of the frame.

const GAP = 12;
const NARROW = 640; // pixels of a frame that holds no two photographs beside each other
const GAIN = 2; // times as large as beside each other the smaller one must get, to stand above the other
export const MOST = 12; // times that a photograph can be enlarged

/**
 * Return two panes {x, y, w, h} as large as the frame allows, and its height.
 * Side by side where there is room; one above the other on a narrow screen, and where one photograph is so much longer
 * than the other that side by side little would be left of either.
 */
export function layOut(width, most, aspects, swapped) {
  const above = stack(width, most, aspects);
  const beside = Math.min(most, (width - GAP) / (aspects[0] + aspects[1]));
  const smallest = (sizes) => Math.min(...sizes.map(({ w, h }) => w * h));
  const row = aspects.map((aspect) => ({ w: beside * aspect, h: beside }));
  const stacked = width < NARROW || smallest(above) > GAIN * smallest(row);
  const sizes = stacked ? above : row;
  const [first, second] = swapped ? [1, 0] : [0, 1];
  const panes = [];
  if (stacked) {
    panes[first] = { x: (width - sizes[first].w) / 2, y: 0, ...sizes[first] };
    panes[second] = { x: (width - sizes[second].w) / 2, y: sizes[first].h + GAP, ...sizes[second] };
    return { panes, height: sizes[0].h + sizes[1].h + GAP, stacked };
  }
  panes[first] = { x: (width - GAP - sizes[0].w - sizes[1].w) / 2, y: 0, ...sizes[first] };
  panes[second] = { x: panes[first].x + panes[first].w + GAP, y: 0, ...sizes[second] };
  return { panes, height: beside, stacked };
}

/** Return the sizes of two photographs one above the other: as large as each other, as far as the width allows. */
function stack(width, most, aspects) {
  const room = most - GAP;
  const side = room / aspects.reduce((sum, aspect) => sum + 1 / Math.sqrt(aspect), 0);
  const long = aspects.findIndex((aspect) => side * Math.sqrt(aspect) > width);
  const heights = aspects.map((aspect) => side / Math.sqrt(aspect));
  if (long >= 0) {
    heights[long] = width / aspects[long];
    heights[1 - long] = Math.min(room - heights[long], width / aspects[1 - long]);
  }
  return heights.map((h, index) => ({ w: h * aspects[index], h }));
}

/** Return both panes on top of each other, for looking at one and the other in turn. */
export function layOver(width, most, aspects) {
  const panes = aspects.map((aspect) => {
    const h = Math.min(most, width / aspect);
    return { x: (width - h * aspect) / 2, y: 0, w: h * aspect, h };
  });
  return { panes, height: Math.max(panes[0].h, panes[1].h), stacked: false };
}

/** A look at a photograph: how much it is enlarged, and which place stands in the middle. */
export const whole = () => ({ zoom: 1, x: 0.5, y: 0.5 });

/** Return a look that shows nothing but photograph. */
export function within(look) {
  const zoom = Math.min(MOST, Math.max(1, look.zoom));
  const margin = 0.5 / zoom;
  const clamp = (value) => Math.min(1 - margin, Math.max(margin, value));
  return { zoom, x: clamp(look.x), y: clamp(look.y) };
}

export const toPoint = (place, pane, look) => [
  pane.x + ((place[0] - look.x) * look.zoom + 0.5) * pane.w,
  pane.y + ((place[1] - look.y) * look.zoom + 0.5) * pane.h,
];

export const toPlace = (point, pane, look) => [
  look.x + ((point[0] - pane.x) / pane.w - 0.5) / look.zoom,
  look.y + ((point[1] - pane.y) / pane.h - 0.5) / look.zoom,
];

export const inside = (point, pane, slack = 0) =>
  point[0] >= pane.x - slack && point[0] <= pane.x + pane.w + slack &&
  point[1] >= pane.y - slack && point[1] <= pane.y + pane.h + slack;

/** Return a look enlarged by a factor so that the place under a point stays under it. */
export function zoomAt(look, factor, point, pane) {
  const place = toPlace(point, pane, look);
  const zoom = Math.min(MOST, Math.max(1, look.zoom * factor));
  return within({
    zoom,
    x: place[0] - ((point[0] - pane.x) / pane.w - 0.5) / zoom,
    y: place[1] - ((point[1] - pane.y) / pane.h - 0.5) / zoom,
  });
}

/** Return the [row, column] of the cell of a grid [rows, columns] that a place lies in. */
export const cellOf = (place, grid) => [Math.min(grid[0] - 1, Math.floor(place[1] * grid[0])), Math.min(grid[1] - 1, Math.floor(place[0] * grid[1]))];

const endOf = (link, side) => (side ? link.kpts1 : link.kpts0);

/** Return the strongest link that ends in the cell of a place; null where none does. */
export function linkAt(place, side, links, grid) {
  const cell = cellOf(place, grid).join();
  return links.find((link) => cellOf(endOf(link, side), grid).join() === cell) ?? null;
}

/** Return the link that ends nearest to a place; null where there are no links. */
export function nearestLink(place, side, links) {
  const far = (link) => Math.hypot(endOf(link, side)[0] - place[0], endOf(link, side)[1] - place[1]);
  return links.reduce((best, link) => (best === null || far(link) < far(best) ? link : best), null);
}

/**
 * Return where the partner of a place lies in the other photograph, by the links around it: {place, from, spread}.
 * An affine map is fitted to the links, those that fit the pose and those nearby with more weight. Null where there
 * are too few links, or they lie on one line, so that any guess would be made up.
 */
export function partner(place, side, links) {
  const posed = links.filter((link) => link.inlier === true);
  const used = posed.length >= 4 ? posed : links.filter((link) => link.inlier !== false);
  const pairs = used.map((link) => (side === 0 ? [link.kpts0, link.kpts1] : [link.kpts1, link.kpts0]));
  if (pairs.length < 4) return null;
  const weights = pairs.map(([from]) => 1 / (0.02 + (from[0] - place[0]) ** 2 + (from[1] - place[1]) ** 2));
  const rows = pairs.map(([from]) => [from[0] - place[0], from[1] - place[1], 1]);
  const solved = [0, 1].map((axis) => leastSquares(rows, pairs.map(([, to]) => to[axis]), weights));
  if (!solved[0] || !solved[1]) return null;
  const found = [solved[0][2], solved[1][2]];
  if (found.some((value) => !Number.isFinite(value) || value < -0.05 || value > 1.05)) return null;
  let total = 0;
  let sum = 0;
  rows.forEach((row, index) => {
    const off = solved.map((axis, which) => row[0] * axis[0] + row[1] * axis[1] + axis[2] - pairs[index][1][which]);
    sum += weights[index] * (off[0] ** 2 + off[1] ** 2);
    total += weights[index];
  });
  return { place: found.map((value) => Math.min(1, Math.max(0, value))), from: pairs.length, spread: Math.sqrt(sum / total) };
}

/** Solve weighted least squares in three unknowns; null where the rows do not determine them. */
function leastSquares(rows, values, weights) {
  const m = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]];
  rows.forEach((row, index) => {
    for (let i = 0; i < 3; i += 1) {
      for (let j = 0; j < 3; j += 1) m[i][j] += weights[index] * row[i] * row[j];
      m[i][3] += weights[index] * row[i] * values[index];
    }
  });
  for (let i = 0; i < 3; i += 1) {
    let pivot = i;
    for (let row = i + 1; row < 3; row += 1) if (Math.abs(m[row][i]) > Math.abs(m[pivot][i])) pivot = row;
    if (Math.abs(m[pivot][i]) < 1e-4) return null;
    [m[i], m[pivot]] = [m[pivot], m[i]];
    for (let row = 0; row < 3; row += 1) {
      if (row === i) continue;
      const factor = m[row][i] / m[i][i];
      for (let column = i; column < 4; column += 1) m[row][column] -= factor * m[i][column];
    }
  }
  return m.map((row, index) => row[3] / row[index]);
}
