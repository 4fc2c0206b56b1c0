// The pair: two photographs in one drawing, with lines, rings, numbers and colours over them.

import { set, svg } from "./elements.js";
import { MOST, layOut, layOver, partner, toPlace, toPoint, whole, within, zoomAt } from "./geometry.js";
import { makeMark, placeMarks } from "./link_marks.js";
import { makeHatch, makeMasks, placeMasks, showMasks } from "./colour_masks.js";
import { Probe } from "./probe.js";
import { watchHands } from "./hands.js";
import { say } from "./words.js";

const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const BLINK = 700; // milliseconds; well below three flashes a second

export class PairView {
  constructor(frame, { onPoint, onLook, partners }) {
    this.frame = frame;
    this.onPoint = onPoint; // told which link is pointed at or chosen
    this.onLook = onLook; // told how much is enlarged
    this.partners = partners; // asked where the partners of a cell lie
    this.looks = [whole(), whole()];
    this.aspects = [1, 1];
    this.options = { view: "lines", count: 8, kind: "pixel", linked: true, swapped: false, hidden: false, blink: false };
    this.chosen = null;
    this.hovered = null;
    this.probe = new Probe(this);
    this.marks = [];
    this.masks = [null, null];
    this.links = [];
    this.grid = [[14, 14], [14, 14]];
    this.build();
    watchHands(this);
    new ResizeObserver(() => this.place()).observe(frame);
    window.addEventListener("resize", () => this.place());
  }

  build() {
    this.images = [0, 1].map(() => svg("image", { class: "photo", preserveAspectRatio: "none" }));
    this.clips = [0, 1].map((side) => svg("clipPath", { id: `clip-${side}` }, svg("rect")));
    this.maskHomes = [0, 1].map(() => svg("g", { class: "mask-home" }));
    this.panes = [0, 1].map((side) => svg("g", { class: "pane", "clip-path": `url(#clip-${side})`, tabindex: "0", role: "group", "data-side": side }, this.images[side], this.maskHomes[side], this.probe.mapHomes[side]));
    this.linkHome = svg("g", { class: "links" });
    this.plateHome = svg("g", { class: "links" });
    this.borders = [0, 1].map(() => svg("rect", { class: "border" }));
    this.title = svg("title", { id: "pair-name" });
    this.description = svg("desc", { id: "pair-says" });
    this.drawing = svg("svg", { class: "pair", role: "group", "aria-labelledby": "pair-name", "aria-describedby": "pair-says" },
      this.title, this.description, svg("defs", {}, makeHatch(), ...this.clips), ...this.panes, ...this.borders, this.linkHome, this.plateHome, this.probe.home);
    this.frame.replaceChildren(this.drawing);
  }

  /** Show another pair of photographs; evidence comes later. */
  async show(urls, names) {
    this.token = {};
    const token = this.token;
    this.looks = [whole(), whole()];
    this.chosen = this.hovered = null;
    this.job = null;
    this.probe.set(null);
    this.setEvidence(null, null);
    this.frame.classList.add("loading");
    names.forEach((name, side) => set(this.panes[side], { "aria-label": say(side ? "PANE_CANDIDATE" : "PANE_QUERY", { file: name }) }));
    const loaded = await Promise.all(urls.map(load));
    if (token !== this.token) return;
    loaded.forEach((picture, side) => {
      this.aspects[side] = picture ? picture.naturalWidth / picture.naturalHeight : 1.4;
      set(this.images[side], { href: picture ? urls[side] : null });
      this.panes[side].classList.toggle("lost", !picture);
    });
    this.frame.classList.remove("loading");
    this.place();
    return loaded.map(Boolean);
  }

  /** Show what was found; null for nothing yet. */
  setEvidence(record, words) {
    const had = this.chosen;
    this.links = record?.matches ?? [];
    this.grid = [record?.grid?.["0"] ?? [14, 14], record?.grid?.["1"] ?? [14, 14]];
    this.marks = this.links.map((link, index) => makeMark(link, words?.links?.[index]));
    this.linkHome.replaceChildren(...this.marks.map((mark) => mark.group).reverse());
    this.plateHome.replaceChildren(...this.marks.flatMap((mark) => mark.plates).reverse());
    for (const side of [0, 1]) {
      this.masks[side] = record ? makeMasks(record.maps ?? [], side) : null;
      this.maskHomes[side].replaceChildren(...(this.masks[side] ? [this.masks[side].defs, this.masks[side].group] : []));
    }
    this.chosen = had !== null && had <= this.links.length ? had : null;
    this.say(words);
    this.place();
    if (record && this.probe.at) this.probe.set(this.probe.at.place, this.probe.at.side); // more is known of it now
  }

  say(words) {
    this.title.textContent = say("PAIR_NAME");
    const first = words?.links?.[0];
    const n = Math.min(this.options.count, this.links.length);
    this.description.textContent = first ? say("PAIR_SAYS", { n, place_0: first.place_0, place_1: first.place_1 }) : say("PAIR_SAYS_NOTHING");
    this.words = words;
  }

  /** Change how the pair is shown. */
  set(options) {
    const before = this.options;
    this.options = { ...before, ...options };
    if (options.blink !== undefined && options.blink !== before.blink) this.startBlink(options.blink);
    if (options.count !== undefined) this.say(this.words);
    this.place();
  }

  /** Choose a link, or none; what lies outside is brought into sight. */
  choose(rank) {
    this.chosen = rank;
    const link = this.links[rank - 1];
    if (link) {
      [link.kpts0, link.kpts1].forEach((place, side) => {
        const look = this.looks[side];
        const margin = 0.42 / look.zoom;
        if (Math.abs(place[0] - look.x) > margin || Math.abs(place[1] - look.y) > margin) this.looks[side] = within({ ...look, x: place[0], y: place[1] });
      });
    }
    this.place();
    this.onPoint(this.chosen, this.hovered);
  }

  hover(rank) {
    if (this.hovered === rank) return;
    this.hovered = rank;
    this.paint();
    this.onPoint(this.chosen, this.hovered);
  }

  /** Enlarge one photograph at a point; the other follows if they are linked. */
  zoom(side, factor, point) {
    const pane = this.geometry.panes[side];
    const at = point ?? [pane.x + pane.w / 2, pane.y + pane.h / 2];
    this.looks[side] = zoomAt(this.looks[side], factor, at, pane);
    this.follow(side, factor > 1 && point ? toPlace(at, pane, this.looks[side]) : null);
  }

  pan(side, dx, dy) {
    const pane = this.geometry.panes[side];
    const look = this.looks[side];
    this.looks[side] = within({ ...look, x: look.x - dx / pane.w / look.zoom, y: look.y - dy / pane.h / look.zoom });
    this.follow(side, null);
  }

  fit() {
    this.looks = [whole(), whole()];
    this.place();
  }

  /** Enlarge both so far that every part of a ring can be seen, or go back to the whole. */
  toggleZoom() {
    if (this.looks.some((look) => look.zoom > 1)) return this.fit();
    const link = this.links[(this.hovered ?? this.chosen ?? 1) - 1];
    const { at } = this.probe;
    const places = at
      ? [0, 1].map((side) => (at.side === side ? at.place : at.partner?.place ?? [0.5, 0.5]))
      : [link?.kpts0 ?? [0.5, 0.5], link?.kpts1 ?? [0.5, 0.5]];
    this.looks = places.map((place) => within({ zoom: 3, x: place[0], y: place[1] }));
    return this.place();
  }

  /** The other photograph shows the partner of what this one shows, as much enlarged. */
  follow(side, anchor) {
    if (this.options.linked) {
      const look = this.looks[side];
      const other = this.looks[1 - side];
      const centre = partner([look.x, look.y], side, this.links)?.place;
      const guess = anchor ? partner(anchor, side, this.links)?.place : null;
      const place = centre ?? guess ?? [look.x, look.y];
      this.looks[1 - side] = within({ ...other, zoom: look.zoom, x: place[0], y: place[1] });
    }
    this.place();
  }

  startBlink(on) {
    window.clearInterval(this.blinking);
    this.shown = 0;
    if (!on) return;
    if (!still.matches) this.blinking = window.setInterval(() => this.turn(), BLINK);
  }

  /** Show the other photograph of the two that lie on top of each other. */
  turn() {
    this.shown = 1 - this.shown;
    this.paint();
  }

  /** Put everything in its place. */
  place() {
    const width = this.frame.clientWidth;
    if (!width) return;
    const share = parseFloat(getComputedStyle(this.frame).getPropertyValue("--most")) || 60;
    const most = Math.max(180, (window.innerHeight * share) / 100);
    this.geometry = this.options.blink ? layOver(width, most, this.aspects) : layOut(width, most, this.aspects, this.options.swapped);
    const { panes, height } = this.geometry;
    set(this.drawing, { viewBox: `0 0 ${width} ${height.toFixed(1)}`, width, height: height.toFixed(1) });
    const boxes = [];
    for (const side of [0, 1]) {
      const pane = panes[side];
      const look = this.looks[side];
      const [x, y] = toPoint([0, 0], pane, look);
      const box = { x, y, w: pane.w * look.zoom, h: pane.h * look.zoom };
      boxes.push(box);
      set(this.clips[side].firstChild, { x: pane.x, y: pane.y, width: pane.w, height: pane.h, rx: 6 });
      set(this.borders[side], { x: pane.x, y: pane.y, width: pane.w, height: pane.h, rx: 6 });
      set(this.images[side], { x: box.x, y: box.y, width: box.w, height: box.h });
      if (this.masks[side]) placeMasks(this.masks[side], box);
    }
    const drawn = this.marks.filter((mark) => this.isShown(mark));
    placeMarks(drawn, panes, this.looks, this.grid);
    this.probe.place(panes, this.looks, boxes);
    this.paint();
    this.onLook(this.looks[0].zoom, this.looks[1].zoom, MOST, this.geometry);
  }

  isShown(mark) {
    const { view, count } = this.options;
    if (view === "plain") return false;
    const most = view === "colours" ? Math.min(count, this.nColours() || count) : count;
    return mark.link.rank <= most || mark.link.rank === this.chosen || mark.link.rank === this.probe.at?.near;
  }

  nColours() {
    return Math.max(0, ...(this.masks[0]?.layers ?? []).map(({ map }) => map.rank ?? 0));
  }

  /** Show what belongs to the view, and what is pointed at. */
  paint() {
    const { view, count, kind, hidden, blink } = this.options;
    const pointed = this.hovered ?? this.chosen ?? this.probe.at?.near ?? null;
    const marked = this.probe.mapped;
    set(this.drawing, { class: `pair view-${view}${hidden || blink ? " bare" : ""}${pointed ? " pointed" : ""}${marked ? " marked" : ""}${this.moving ? " moving" : ""}` });
    this.drawing.classList.toggle("zoomed", this.looks.some((look) => look.zoom > 1));
    for (const mark of this.marks) {
      const rank = mark.link.rank;
      for (const part of [mark.group, ...mark.plates]) {
        part.classList.toggle("on", rank === pointed);
        part.classList.toggle("unseen", !this.isShown(mark));
      }
      set(mark.group, { "aria-pressed": String(rank === this.chosen) });
    }
    for (const masks of this.masks) if (masks) showMasks(masks, { view, kind, count, pointed: view === "plain" ? null : pointed, marked });
    this.probe.paint(view);
    this.panes.forEach((pane, side) => {
      const seen = blink && side !== this.shown ? "hidden" : null;
      set(pane, { visibility: seen });
      set(this.borders[side], { visibility: seen });
    });
  }
}

function load(url) {
  return new Promise((resolve) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () => resolve(null);
    picture.src = url;
  });
}
