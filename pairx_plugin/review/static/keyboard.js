// Keys: one for each action, changed or switched off by the reader, silent while somebody types.

import { byId, html } from "./elements.js";
import { keep, prefer } from "./preferences.js";
import { say } from "./words.js";

export const DEFAULTS = {
  match: "1", nomatch: "2", unsure: "3", skip: "4", undo: "u",
  previous: "ArrowLeft", next: "ArrowRight", previousQuery: "ArrowUp", nextQuery: "ArrowDown",
  view: "v", hide: "h", more: "+", fewer: "-", fainter: "[", stronger: "]",
  zoom: "z", swap: "x", blink: "b", linked: "l", help: "?",
};
const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
const FIXED = ["Tab", "Enter", "Escape", " ", "Shift", "Control", "Alt", "Meta", "Dead", "Process", "Unidentified"];
const NO_TYPING = ["checkbox", "radio", "range", "button", "submit"];

export const nameOf = (key) => NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);

export class Keyboard {
  constructor(actions) {
    this.actions = actions; // by name: a function told whether the key goes down
    this.map = { ...DEFAULTS, ...prefer("keys", {}) };
    this.on = prefer("keysOn", true);
    this.changing = null;
    document.addEventListener("keydown", (event) => this.down(event));
    document.addEventListener("keyup", (event) => this.up(event));
    window.addEventListener("blur", () => this.actions.hide(false));
    document.addEventListener("focusin", () => this.rest());
    document.addEventListener("focusout", () => window.setTimeout(() => this.rest(), 0));
    this.dialog = byId("keys");
    byId("keys-button").addEventListener("click", () => this.help());
    byId("keys-close").addEventListener("click", () => this.dialog.close());
    byId("keys-reset").addEventListener("click", () => this.change({ ...DEFAULTS }));
    byId("keys-on").checked = this.on;
    byId("keys-on").addEventListener("change", (event) => this.switch(event.target.checked));
    this.dialog.addEventListener("close", () => { this.changing = null; });
    this.show();
  }

  help() {
    this.show();
    this.dialog.showModal();
  }

  switch(on) {
    this.on = on;
    keep("keysOn", on);
    this.show();
  }

  change(map) {
    this.map = map;
    keep("keys", map);
    byId("keys-wrong").textContent = "";
    this.show();
  }

  down(event) {
    if (this.changing) return this.assign(event);
    if (event.ctrlKey || event.metaKey || event.altKey || !this.on || typing(event.target) || this.dialog.open) return undefined;
    const name = this.nameFor(event.key);
    if (!name || taken(event, name)) return undefined;
    event.preventDefault();
    if (name === "hide") return event.repeat ? undefined : this.actions.hide(true);
    if (name === "help") return this.help();
    return this.actions[name](true);
  }

  up(event) {
    if (this.nameFor(event.key) === "hide") this.actions.hide(false);
  }

  nameFor(key) {
    const plain = key.length === 1 ? key.toLowerCase() : key;
    const wanted = plain === "=" && !Object.values(this.map).includes("=") ? "+" : plain;
    return Object.keys(this.map).find((name) => this.map[name].toLowerCase() === wanted.toLowerCase());
  }

  /** Take the next key for the action that is being changed. */
  assign(event) {
    if (event.key === "Tab" || event.key === "Shift") return;
    event.preventDefault();
    event.stopPropagation();
    const name = this.changing;
    this.changing = null;
    if (event.key === "Escape") return this.show();
    const owner = this.nameFor(event.key);
    if (FIXED.includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) byId("keys-wrong").textContent = say("KEY_FIXED");
    else if (owner && owner !== name) byId("keys-wrong").textContent = say("KEY_TAKEN", { key: nameOf(event.key), action: say(`DO_${owner}`) });
    else return this.change({ ...this.map, [name]: event.key.length === 1 ? event.key.toLowerCase() : event.key });
    return this.show();
  }

  show() {
    for (const hint of document.querySelectorAll("[data-key]")) {
      hint.textContent = nameOf(this.map[hint.dataset.key]);
      hint.hidden = !this.on;
    }
    byId("keys-rows").replaceChildren(...Object.keys(DEFAULTS).map((name) => this.row(name)));
    this.rest();
  }

  row(name) {
    const waiting = this.changing === name;
    const button = html("button", { type: "button", "aria-label": say("KEY_CHANGE_OF", { action: say(`DO_${name}`) }) }, waiting ? say("KEY_PRESS") : say("KEY_CHANGE"));
    button.addEventListener("click", () => {
      this.changing = name;
      byId("keys-wrong").textContent = "";
      this.show();
      byId("keys-rows").querySelector(`[data-name="${name}"] button`).focus();
    });
    return html("tr", { "data-name": name }, html("td", {}, html("kbd", {}, nameOf(this.map[name]))), html("td", {}, say(`DO_${name}`)), html("td", {}, button));
  }

  /** Say that keys rest while somebody types. */
  rest() {
    byId("resting").hidden = !(this.on && typing(document.activeElement));
  }
}

function typing(element) {
  if (!element) return false;
  if (element.isContentEditable || element.tagName === "TEXTAREA") return true;
  return element.tagName === "INPUT" && !NO_TYPING.includes(element.type);
}

/** Arrows and single letters that the focused control needs stay its own. */
function taken(event, name) {
  const element = event.target;
  const arrow = event.key.startsWith("Arrow");
  if (element.tagName === "SELECT") return true;
  if (element.tagName === "INPUT" && ["radio", "range"].includes(element.type)) return arrow;
  if (arrow && element.closest(".table, .menu-sheet")) return true;
  return name === "help" && element.closest("dialog") !== null;
}
