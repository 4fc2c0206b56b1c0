// The tool bar: views, number of links, colours, layer, explainer, zoom.

import { announce, byId, html, set } from "./elements.js";
import { keep, prefer } from "./preferences.js";
import { known, number, page, say } from "./words.js";

const LEAST_CAPTION = 140; // pixels of a photograph's width that hold the words above it
const ROOM_FOR_ZOOM = 480; // pixels of the right photograph's width that hold its words and the zoom buttons beside them
const VIEWS = ["plain", "lines", "colours"];

export class Tools {
  constructor(view, { log, onChoice, layerOf }) {
    Object.assign(this, { pair: view, log, onChoice, layerOf });
    this.view = page.default_view; // never colours first
    this.count = prefer("count", 8);
    this.opacity = prefer("opacity", 60);
    this.wish = this.kind = "pixel"; // the maps that somebody chose, and those that are shown
    this.level = "medium";
    for (const name of VIEWS) byId(`view-${name}`).addEventListener("change", () => this.setView(name));
    for (const level of ["fine", "medium", "broad"]) byId(`level-${level}`).addEventListener("change", () => this.setLevel(level));
    byId("count").addEventListener("input", (event) => this.setCount(Number(event.target.value)));
    byId("opacity").addEventListener("input", (event) => this.setOpacity(Number(event.target.value)));
    byId("map-kind").addEventListener("change", (event) => this.showKind((this.wish = event.target.value)));
    byId("explainer").addEventListener("change", (event) => this.setExplainer(event.target.value));
    byId("zoom-in").addEventListener("click", () => this.zoom(1.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(1 / 1.5));
    byId("zoom-fit").addEventListener("click", () => view.fit());
    byId("linked").addEventListener("click", () => this.toggleLinked());
    byId("swap").addEventListener("click", () => this.toggleSwap());
    byId("blink").addEventListener("click", () => this.toggleBlink());
    this.hold(byId("hide-all"));
    byId("level-medium").checked = true;
    set(byId("linked"), { "aria-pressed": String(prefer("linked", true)) });
    view.set({ linked: prefer("linked", true) });
    this.setView(this.view);
    this.setCount(this.count);
    this.setOpacity(this.opacity);
  }

  /** Return what keys do here, by the names of keyboard.js. */
  actions() {
    return {
      view: () => this.setView(VIEWS[(VIEWS.indexOf(this.view) + 1) % VIEWS.length], true),
      hide: (down) => this.hide(down),
      more: () => this.setCount(this.count + 1, true),
      fewer: () => this.setCount(this.count - 1, true),
      fainter: () => this.setOpacity(this.opacity - 10, true),
      stronger: () => this.setOpacity(this.opacity + 10, true),
      zoom: () => this.pair.toggleZoom(),
      swap: () => this.toggleSwap(),
      blink: () => this.toggleBlink(),
      linked: () => this.toggleLinked(),
    };
  }

  setView(name, aloud = false) {
    this.view = name;
    byId(`view-${name}`).checked = true;
    this.pair.set({ view: name });
    this.log.change(name, this.count);
    set(byId("opacity-tool"), { hidden: name !== "colours" });
    set(byId("map-tool"), { hidden: name !== "colours" });
    this.showCountTool();
    if (aloud) announce(say("VIEW_SHOWN", { view: document.querySelector(`label[for=view-${name}]`).textContent }));
  }

  /** Links can be counted where some are drawn. */
  showCountTool() {
    set(byId("count-tool"), { hidden: this.view === "plain" || Boolean(this.linkless) });
  }

  setCount(count, aloud = false) {
    this.count = Math.min(20, Math.max(1, count));
    keep("count", this.count);
    byId("count").value = this.count;
    byId("count-shown").textContent = number(this.count);
    this.pair.set({ count: this.count });
    this.log.change(this.view, this.count);
    if (aloud) announce(say("COUNT_SHOWN", { n: this.count }));
  }

  setOpacity(percent, aloud = false) {
    this.opacity = Math.min(100, Math.max(10, percent));
    keep("opacity", this.opacity);
    byId("opacity").value = this.opacity;
    byId("opacity-shown").textContent = say("PERCENT", { value: this.opacity / 100 });
    byId("frame").style.setProperty("--tint", String(this.opacity / 100));
    if (aloud) announce(say("OPACITY_SHOWN", { value: this.opacity / 100 }));
  }

  showKind(kind) {
    this.kind = kind;
    byId("map-kind").value = kind;
    this.pair.set({ kind });
    this.showSigns();
  }

  /** Choose an explainer by its id, or one of its variants by "id variant". */
  setExplainer(value) {
    const [explainer, variant] = value.split(" ");
    this.onChoice({ explainer, variant: variant ?? "" });
  }

  setLevel(level) {
    this.level = level;
    byId(`level-${level}`).checked = true;
    const layer = this.layerOf(level);
    this.onChoice({ layer_key: level === "medium" ? "" : layer?.key ?? "" });
  }

  hide(on) {
    this.pair.set({ hidden: on });
    set(byId("hide-all"), { "aria-pressed": String(on) });
  }

  /** A button that works while it is held; by keyboard it stays until it is pressed again. */
  hold(button) {
    button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); this.held = true; this.hide(true); });
    for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => this.hide(false));
    button.addEventListener("click", () => {
      if (!this.held) this.hide(button.getAttribute("aria-pressed") !== "true");
      this.held = false;
    });
  }

  zoom(factor) {
    this.pair.zoom(0, factor, null);
    if (!this.pair.options.linked) this.pair.zoom(1, factor, null);
  }

  toggleLinked() {
    const linked = !this.pair.options.linked;
    keep("linked", linked);
    this.toggle("linked", linked, { linked });
  }

  toggleSwap() {
    const swapped = !this.pair.options.swapped;
    this.toggle("swap", swapped, { swapped });
    byId("captions").classList.toggle("swapped", swapped);
  }

  toggleBlink() {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const { blink } = this.pair.options;
    if (still && blink && this.pair.shown === 0) return this.pair.turn();
    return this.toggle("blink", !blink, { blink: !blink });
  }

  toggle(id, on, options) {
    set(byId(id), { "aria-pressed": String(on) });
    this.pair.set(options);
    announce(say(on ? "SWITCHED_ON" : "SWITCHED_OFF", { what: byId(id).getAttribute("aria-label") }));
  }

  showZoom(first, second, most, geometry) {
    byId("zoom-shown").textContent = say("PERCENT", { value: Math.max(first, second) });
    set(byId("zoom-out"), { disabled: first <= 1 && second <= 1 });
    set(byId("zoom-fit"), { disabled: first <= 1 && second <= 1 });
    set(byId("zoom-in"), { disabled: first >= most });
    const captions = byId("captions");
    const [left, right] = [...geometry.panes].sort((one, other) => one.x - other.x);
    captions.classList.toggle("stacked", geometry.stacked || Math.min(left.w, right.w) < LEAST_CAPTION);
    captions.classList.toggle("cramped", !geometry.stacked && right.w < ROOM_FOR_ZOOM);
    captions.style.setProperty("--query-width", `${geometry.panes[0].w.toFixed(0)}px`);
    captions.style.setProperty("--candidate-width", `${geometry.panes[1].w.toFixed(0)}px`);
  }

  /** Fill the pickers with what there is. */
  showChoices(found) {
    const chosen = byId("explainer").value || "pairx";
    byId("explainer").replaceChildren(...found.explainers.map((item) => {
      const value = [item.explainer_id, item.variant].filter(Boolean).join(" ");
      const title = item.variant ? known(`VARIANT_${item.variant}`, { title: item.title }, `${item.title}: ${item.variant}`) : item.title;
      return html("option", { value, disabled: !item.usable, title: item.usable ? item.summary : item.reason, selected: value === chosen }, title + (item.usable ? "" : ` (${say("NOT_USABLE")})`));
    }));
    for (const level of ["fine", "medium", "broad"]) {
      const layer = found.layers.find((item) => item.level === level);
      const there = level === "medium" || Boolean(layer?.key);
      set(byId(`level-${level}`), { disabled: !there });
      const cell = layer?.key ? say("LEVEL_CELL", { share: 1 / layer.grid[1], layer: layer.key }) : say(found.layers.length ? "LEVEL_MISSING" : "LEVEL_LATER");
      set(document.querySelector(`label[for=level-${level}]`), { title: cell });
    }
  }

  /** Maps of links are there only if the explainer has links; what was chosen is shown again as soon as it is there. */
  showColours(job) {
    const maps = (job.record?.maps ?? []).filter((map) => map.url);
    this.linkless = Boolean(job.words?.maps_only);
    this.showCountTool();
    const pixel = maps.some((map) => map.kind === "pixel");
    this.signed = { partner: job.has_partners, pixel: maps.some((map) => map.sign && map.kind === "pixel"), intermediate: maps.some((map) => map.sign && map.kind !== "pixel") };
    byId("map-kind").querySelector("[value=pixel]").disabled = maps.length > 0 && !pixel;
    this.showKind(maps.length && !pixel ? "intermediate" : this.wish);
  }

  /** Say which colours speak for the similarity and which against it, where a picture has both. */
  showSigns() {
    const { signed, kind } = this;
    set(byId("signs"), { hidden: !(signed?.[kind] || signed?.partner), "data-of": signed?.[kind] ? kind : "partner" });
  }
}
