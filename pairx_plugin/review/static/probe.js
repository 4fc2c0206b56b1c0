// A marked place and its partner in the other photograph: the end of a link that begins there, what an explainer that
// knows every pair of places says, or else an estimate from the links around it.

import { announce, byId, svg } from "./elements.js";
import { cellOf, linkAt, nearestLink, partner, toPoint } from "./geometry.js";
import { makeMasks, placeMasks, showMasks } from "./colour_masks.js";
import { exactPlace, say } from "./words.js";

const LEAST = 12; // pixels of a ring's radius
const AROUND = 8; // links that an estimate is made from at least

export class Probe {
  constructor(view) {
    this.view = view;
    this.home = svg("g", { class: "probe", "aria-hidden": "true" });
    this.mapHomes = [0, 1].map(() => svg("g", { class: "mask-home" }));
    this.at = null; // {place, side, partner, near}
    this.masks = [null, null];
  }

  /** Mark a place; null for none. */
  set(place, side) {
    const before = this.at;
    this.at = place === null ? null : { place: place.map((value) => Math.min(1, Math.max(0, value))), side, partner: null, near: null };
    if (this.at && this.view.job?.has_partners) this.askMap(before);
    else this.answer();
  }

  /** Say what the links know of the place. */
  answer() {
    this.dropMap();
    if (!this.at) return this.tell("");
    const { place, side } = this.at;
    const { links, grid, options } = this.view;
    const link = linkAt(place, side, links, grid[side]);
    if (link) {
      this.at.partner = { place: side ? link.kpts0 : link.kpts1, spread: 0, exact: true };
      this.at.near = link.rank;
      return this.tell(say(`PROBE_LINK_${side}`, { rank: link.rank, ...this.places() }));
    }
    const found = partner(place, side, links.slice(0, Math.max(AROUND, options.count)));
    const nearest = nearestLink(place, side, links);
    if (found) {
      this.at.partner = found;
      return this.tell(`${say(`PROBE_GUESS_${side}`, this.places())} ${say("PROBE_PARTNER", { n: found.from })} ${say("PROBE_NEAREST", { rank: nearest.rank })}`);
    }
    this.at.near = nearest?.rank ?? null;
    return this.tell([say("PROBE_NOTHING"), nearest ? say("PROBE_NEAREST", { rank: nearest.rank }) : ""].filter(Boolean).join(" "));
  }

  /** Ask the server what each place of the other photograph adds together with this one. */
  async askMap(before) {
    const { at, view } = this;
    const cell = cellOf(at.place, view.grid[at.side]);
    at.cell = cell.join();
    if (before?.cell === at.cell && before.side === at.side && before.partner) {
      Object.assign(at, { partner: before.partner });
      return this.view.place();
    }
    const found = await view.partners(at.side, ...cell).catch(() => null);
    if (this.at !== at) return undefined; // another place by now
    if (!found) return this.answer();
    this.dropMap();
    const other = 1 - at.side;
    const maps = Object.entries(found.maps).map(([sign, url]) => ({ kind: "partner", side: other, rank: null, sign, url }));
    this.masks[other] = makeMasks(maps, other, "partner");
    this.mapHomes[other].replaceChildren(this.masks[other].defs, this.masks[other].group);
    if (!found.place) return this.tell(say(`PROBE_MAP_NONE_${at.side}`, this.places()));
    at.partner = { place: found.place, spread: 0.5 / Math.max(...found.grid), exact: true };
    return this.tell(say(`PROBE_MAP_${at.side}`, this.places()));
  }

  places() {
    const { place, side, partner: other } = this.at;
    const words = [exactPlace(place), other ? exactPlace(other.place) : ""];
    return { place_0: words[side], place_1: words[1 - side] };
  }

  tell(words) {
    byId("probe-words").textContent = words;
    if (words) announce(words);
    this.view.place();
  }

  dropMap() {
    this.masks = [null, null];
    for (const home of this.mapHomes) home.replaceChildren();
  }

  /** Whether colours of a marked place lie over a photograph. */
  get mapped() {
    return this.masks.some(Boolean);
  }

  /** Put the marks where the panes and looks say, and the maps over the photographs. */
  place(panes, looks, boxes) {
    for (const side of [0, 1]) if (this.masks[side]) placeMasks(this.masks[side], boxes[side]);
    this.home.replaceChildren();
    if (!this.at) return;
    const { place, side, partner: other } = this.at;
    const clip = (which) => ({ "clip-path": `url(#clip-${which})` });
    const [x, y] = toPoint(place, panes[side], looks[side]);
    this.home.append(svg("g", clip(side), ...cross(x, y)));
    if (!other) return;
    const [u, v] = toPoint(other.place, panes[1 - side], looks[1 - side]);
    const reach = Math.max(LEAST, other.spread * looks[1 - side].zoom * Math.min(panes[1 - side].w, panes[1 - side].h));
    const rings = ["outer", "core"].map((part) => svg("circle", { class: part, cx: u, cy: v, r: reach }));
    this.home.append(svg("g", { ...clip(1 - side), class: other.exact ? "found" : "guess" }, ...rings, ...cross(u, v, 5)));
  }

  paint(view) {
    for (const masks of this.masks) if (masks) showMasks(masks, { view });
  }
}

function cross(x, y, r = 9) {
  const d = `M${x - r},${y}H${x + r}M${x},${y - r}V${y + r}`;
  return ["outer", "core"].map((part) => svg("path", { class: part, d }));
}
