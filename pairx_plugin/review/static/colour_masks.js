// Colour maps: grey pictures from the server are masks, colour and strength are the browser's. What speaks against the
// similarity is hatched besides, so that nobody needs to tell two hues apart.

import { set, svg } from "./elements.js";
import { hueOf } from "./link_marks.js";

export const HATCH = "hatch-against";
const STEP = 8; // pixels from one stroke of the hatching to the next

/** Return the hatching that all maps share; it belongs into a drawing's definitions. */
export function makeHatch() {
  return svg("pattern", { id: HATCH, patternUnits: "userSpaceOnUse", width: STEP, height: STEP, patternTransform: "rotate(45)" },
    svg("rect", { class: "hatch-dark", width: 2.5, height: STEP }), svg("rect", { class: "hatch-light", x: 2.5, width: 1.2, height: STEP }));
}

/** Return the layers of one side: filled rectangles behind each mask, and what defines the masks. */
export function makeMasks(maps, side, prefix = "mask") {
  const defs = svg("defs");
  const group = svg("g", { class: "masks" });
  const layers = [];
  for (const [number, map] of maps.entries()) {
    if (map.side !== side || !map.url) continue;
    const id = `${prefix}-${side}-${number}`;
    const picture = svg("image", { href: map.url, preserveAspectRatio: "none" });
    const common = { mask: `url(#${id})`, "data-kind": map.kind, "data-rank": map.rank ?? "", "data-sign": map.sign ?? null };
    const fills = [svg("rect", { class: "tint", ...common, "data-hue": map.rank === null ? map.sign ?? "layer" : hueOf(map.rank) })];
    if (map.sign === "against") fills.push(svg("rect", { class: "hatched", fill: `url(#${HATCH})`, ...common }));
    defs.append(svg("mask", { id, maskUnits: "userSpaceOnUse" }, picture));
    group.append(...fills);
    layers.push({ map, fills, picture, mask: defs.lastChild });
  }
  return { defs, group, layers };
}

/** Put the masks of one side over its photograph, which covers the rectangle {x, y, w, h} as far as it is enlarged. */
export function placeMasks(masks, box) {
  const place = { x: box.x, y: box.y, width: box.w, height: box.h };
  for (const { fills, picture, mask } of masks.layers) for (const part of [picture, mask, ...fills]) set(part, place);
}

/**
 * Show what belongs to the view: in colours the maps of the links that are shown, or the layer's; elsewhere only that
 * of a link that is pointed at. Maps of a marked place hide all others.
 */
export function showMasks(masks, { view, kind, count, pointed, marked }) {
  for (const { map, fills } of masks.layers) {
    const own = map.kind === "pixel" && pointed !== null && map.rank === pointed;
    const all = view === "colours" && pointed === null && map.kind === kind && (map.rank === null || map.rank <= count);
    const alone = view === "colours" && kind === "intermediate" && map.kind === "intermediate";
    const seen = map.kind === "partner" ? view !== "plain" : !marked && (own || all || alone);
    for (const fill of fills) set(fill, { visibility: seen ? "visible" : "hidden" });
  }
}
