// Colour maps: grey pictures from the server are masks, colour and strength are the browser's.

import { set, svg } from "./elements.js";
import { hueOf } from "./link_marks.js";

/** Return the layers of one side: a filled rectangle behind each mask, and what defines the masks. */
export function makeMasks(record, side) {
  const defs = svg("defs");
  const group = svg("g", { class: "masks" });
  const layers = [];
  for (const [number, map] of (record?.maps ?? []).entries()) {
    if (map.side !== side || !map.url) continue;
    const id = `mask-${side}-${number}`;
    const picture = svg("image", { href: map.url, preserveAspectRatio: "none" });
    const fill = svg("rect", {
      class: "tint",
      mask: `url(#${id})`,
      "data-kind": map.kind,
      "data-rank": map.rank ?? "",
      "data-hue": map.rank === null ? map.sign ?? "layer" : hueOf(map.rank),
    });
    defs.append(svg("mask", { id, maskUnits: "userSpaceOnUse" }, picture));
    group.append(fill);
    layers.push({ map, fill, picture, mask: defs.lastChild });
  }
  return { defs, group, layers };
}

/** Put the masks of one side over its photograph, which covers the rectangle {x, y, w, h} as far as it is enlarged. */
export function placeMasks(masks, box) {
  const place = { x: box.x, y: box.y, width: box.w, height: box.h };
  for (const { fill, picture, mask } of masks.layers) {
    set(picture, place);
    set(fill, place);
    set(mask, place);
  }
}

/**
 * Show what belongs to the view: in colours the maps of the links that are shown, or the layer's; elsewhere only that
 * of a link that is pointed at.
 */
export function showMasks(masks, { view, kind, count, pointed }) {
  for (const { map, fill } of masks.layers) {
    const own = map.kind === "pixel" && pointed !== null && map.rank === pointed;
    const all = view === "colours" && pointed === null && map.kind === kind && (map.rank === null || map.rank <= count);
    const alone = view === "colours" && kind === "intermediate" && map.kind === "intermediate";
    set(fill, { visibility: own || all || alone ? "visible" : "hidden" });
  }
}
