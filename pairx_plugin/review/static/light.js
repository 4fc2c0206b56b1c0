// Brightness and contrast of both photographs: for dark coats and hazy pictures. What the network saw stays what it was.

import { byId } from "./elements.js";
import { say } from "./words.js";

const USUAL = 100; // percent: the photograph as it is
const KINDS = ["brightness", "contrast"];

export class Light {
  constructor(frame) {
    this.frame = frame;
    for (const kind of KINDS) byId(kind).addEventListener("input", () => this.apply());
    byId("light-reset").addEventListener("click", () => this.reset());
    byId("light").addEventListener("keydown", (event) => this.keyed(event));
    document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#light")) byId("light").open = false; });
    this.apply();
  }

  reset() {
    for (const kind of KINDS) byId(kind).value = USUAL;
    this.apply();
  }

  apply() {
    const values = KINDS.map((kind) => Number(byId(kind).value));
    KINDS.forEach((kind, index) => {
      this.frame.style.setProperty(`--${kind}`, String(values[index] / 100));
      byId(`${kind}-shown`).textContent = say("PERCENT", { value: values[index] / 100 });
    });
    const changed = values.some((value) => value !== USUAL);
    this.frame.classList.toggle("lit", changed);
    byId("light").classList.toggle("changed", changed);
  }

  keyed(event) {
    if (event.key !== "Escape" || !byId("light").open) return;
    event.stopPropagation();
    byId("light").open = false;
    byId("light").querySelector("summary").focus();
  }
}
