// What the evidence says, in words: its state, doubts first, then plausibility with its reasons, then the links.

import { attributeSection } from "./attribute_table.js";
import { ICONS, announce, byId, html, icon, set, svg } from "./elements.js";
import { hueOf } from "./link_marks.js";
import { known, page, say } from "./words.js";

export class EvidencePanel {
  constructor({ onRetry, onAnew, onPoint, onChoose }) {
    Object.assign(this, { onRetry, onAnew, onPoint, onChoose });
    this.job = null;
    window.setInterval(() => this.tick(), 1000);
  }

  /** Show how far the evidence of the pair is, and what there is of it. */
  show(job) {
    const before = this.job;
    this.job = job;
    set(byId("evidence"), { "aria-busy": String(!job || !job.over) });
    this.showState();
    const same = before && job && before.key === job.key && before.revision === job.revision && before.id === job.id;
    if (!same) this.showWords();
    if (!job || !before || before.key !== job.key) return;
    if (job.silent && !before.silent) announce(this.stateWords());
    if (before.status === job.status) return;
    if (job.status === "ready") announce(say("STATE_READY", { band: job.words?.band_words ?? "" }));
    else if (job.over || job.status === "partial") announce(this.stateWords());
  }

  stateWords() {
    const { job } = this;
    if (!job) return say("STATE_NONE");
    if (job.silent) return say("STATE_SILENT");
    const elapsed = this.elapsed();
    const of = job.words?.maps_only ? "_MAPS" : ""; // there are no lines to speak of
    switch (this.kind()) {
      case "queued": return job.place > 0 ? say("STATE_QUEUED", { n: job.place }) : say("STATE_QUEUED_NEXT");
      case "running": return [known(`STEP_${job.step}`, {}, say("STATE_RUNNING")), say("STATE_SECONDS", { n: Math.round(elapsed) }), job.usual ? say("STATE_USUAL", { n: Math.max(1, Math.round(job.usual)) }) : ""].filter(Boolean).join(" ");
      case "partial": return say(`STATE_PARTIAL${of}`);
      case "part": return say(`STATE_PART_ONLY${of}`);
      case "ready": return "";
      case "stale": return say(`STALE_${job.stale}`);
      case "unsupported": return say("STATE_UNSUPPORTED");
      default: return say(job.record ? `STATE_FAILED_COLOURS${of}` : "STATE_FAILED");
    }
  }

  /** What the state looks like: what is there already counts more than what is being done. */
  kind() {
    const { job } = this;
    if (!job) return "queued";
    if (job.silent) return "silent";
    if (job.status === "partial" && job.over) return "part";
    return job.record && ["queued", "running"].includes(job.status) ? "partial" : job.status;
  }

  elapsed() {
    return this.job.elapsed + (performance.now() - this.job.seen) / 1000;
  }

  showState() {
    const { job } = this;
    const words = this.stateWords();
    const home = byId("state");
    if (!words) {
      byId("view-colours").removeAttribute("data-coming");
      this.showNote("");
      return home.replaceChildren();
    }
    const kind = this.kind();
    const row = html("div", { class: `state state-${kind}` }, icon(ICONS[kind] ?? ICONS.failed, 20), html("div", {}, html("p", { class: "state-words" }, words), ...this.reasons()));
    byId("view-colours").toggleAttribute("data-coming", kind === "partial");
    this.showNote(words);
    const action = this.action();
    if (action) row.append(action);
    if (kind === "running" || kind === "partial") row.append(this.bar());
    return home.replaceChildren(row);
  }

  /** In the view of colours, say within the picture why there are none. */
  showNote(words) {
    byId("crossed").hidden = !(this.job?.record?.matches ?? []).some((link) => link.inside0 === false || link.inside1 === false);
    const maps = (this.job?.record?.maps ?? []).some((map) => map.url && map.kind === "pixel");
    byId("no-colours").textContent = maps ? "" : words;
    byId("no-lines").textContent = this.job?.words?.maps_only ? say("NO_LINES_HERE") : "";
  }

  reasons() {
    const { failure } = this.job ?? {};
    if (!failure) return [];
    const reason = failure.words ?? known(`FAILURE_${failure.code}`, {}, failure.message ?? failure.code);
    const keeps = this.job.record ? "" : say("KEEPS_PLACE"); // nobody needs to hear it where there is evidence
    return [html("p", {}, reason), keeps && html("p", { class: "dim" }, keeps), html("p", { class: "dim code" }, failure.code)].filter(Boolean);
  }

  action() {
    const { job } = this;
    if (job?.status === "stale") return html("button", { type: "button", id: "anew" }, say("ANEW"));
    if (["failed", "partial"].includes(job?.status) && job.over && job.failure?.retryable) return html("button", { type: "button", id: "retry" }, say("RETRY"));
    return null;
  }

  bar() {
    const { job } = this;
    const share = job.usual ? Math.min(0.95, this.elapsed() / job.usual) : null;
    return html("progress", { class: "work", max: 1, value: share === null ? null : share.toFixed(2), "aria-label": say("STATE_RUNNING") });
  }

  tick() {
    if (this.job && !this.job.over) this.showState();
  }

  showWords() {
    const words = this.job?.words;
    byId("bands-rule").textContent = words?.bands_rule ?? "";
    byId("words").replaceChildren(...(words ? this.sections(words) : []));
  }

  sections(words) {
    const doubts = words.doubts.length
      ? html("section", { class: "doubts" }, html("h3", {}, say("DOUBTS")), html("ul", {}, ...words.doubts.map((doubt) => html("li", {}, doubt))))
      : null;
    const means = words.level === null ? null : html("span", {}, ` ${words.band_means ?? say("BAND_MEANS")} `);
    const says = html("section", { class: "says" },
      html("h3", {}, words.title ?? say("SHOWS")),
      html("p", { class: "band" }, meter(words.level), " ", html("strong", {}, words.band_words), means, words.level === null ? null : html("span", { class: "pill" }, words.calibration ?? say("UNCALIBRATED"))),
      html("p", {}, words.sentences.join(" "), " ", html("strong", { class: "proof" }, say("NOT_A_PROBABILITY"))));
    return [doubts, attributeSection(words.attributes), says, this.table(words), this.figures(words)].filter(Boolean);
  }

  table(words) {
    if (!words.links.length) return null;
    const told = words.links.some((link) => link.inside);
    const head = ["NUMBER", "QUERY", "CANDIDATE", "SHARE", "POSE", ...(told ? ["INSIDE"] : [])].map((name) => html("th", { scope: "col" }, say(`COLUMN_${name}`)));
    const rows = words.links.map((link) => {
      const button = html("button", { type: "button", class: "number", "data-hue": hueOf(link.rank), "data-rank": link.rank, "aria-label": say("LINK_CHOOSE", { rank: link.rank }), "aria-pressed": "false" }, String(link.rank));
      const row = html("tr", { "data-rank": link.rank }, html("th", { scope: "row" }, button), html("td", {}, link.place_0), html("td", {}, link.place_1), html("td", { class: "n" }, link.share), html("td", {}, link.pose), told ? html("td", { class: link.outside.some(Boolean) ? "away" : null }, link.outside.some(Boolean) ? icon(ICONS.outside, 13) : null, " ", link.inside) : null);
      row.addEventListener("pointerenter", () => this.onPoint(link.rank));
      row.addEventListener("pointerleave", () => this.onPoint(null));
      button.addEventListener("focus", () => this.onPoint(link.rank));
      button.addEventListener("blur", () => this.onPoint(null));
      button.addEventListener("click", () => this.onChoose(link.rank));
      return row;
    });
    const table = html("table", { id: "links" }, html("caption", {}, say("LINKS_CAPTION")), html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows));
    return html("details", { id: "links-part", open: this.open("links-part") }, html("summary", {}, say("LINKS", { n: words.links.length })), html("div", { class: "table", tabindex: "0", role: "group", "aria-label": say("LINKS", { n: words.links.length }) }, table));
  }

  figures(words) {
    const rows = [...words.figures, ...words.provenance].map(([term, value]) => html("div", {}, html("dt", {}, term), html("dd", {}, value)));
    const record = this.job.id && html("p", {}, html("a", { href: `${page.api}/explanations/${this.job.id}`, download: `explanation-${this.job.rank}.json` }, say("FULL_RECORD")));
    return html("details", { id: "figures-part", open: this.open("figures-part") }, html("summary", {}, say("FIGURES_AND_ORIGIN")), html("dl", { class: "facts" }, ...rows), record);
  }

  /** A part stays as open as it was; where there is room beside the pair, the table is open at first. */
  open(id) {
    const before = byId(id);
    return before ? before.open : id === "links-part" && window.matchMedia("(min-width: 100rem)").matches;
  }

  /** Mark the rows of the links that are pointed at and chosen. */
  point(chosen, hovered) {
    for (const row of document.querySelectorAll("#links tbody tr")) {
      const rank = Number(row.dataset.rank);
      row.classList.toggle("on", rank === hovered || (hovered === null && rank === chosen));
      row.querySelector("button").setAttribute("aria-pressed", String(rank === chosen));
    }
  }
}

/** Return three bars, as many of them full as the evidence is strong; the word always stands beside. */
export function meter(level) {
  const bars = [0, 1, 2].map((bar) => svg("rect", { x: 1 + 7 * bar, y: 8 - 3.5 * bar, width: 5, height: 5 + 3.5 * bar, rx: 1, class: level === null ? "unknown" : bar < level ? "full" : "empty" }));
  return svg("svg", { class: "meter", viewBox: "0 0 22 14", width: 22, height: 14, "aria-hidden": "true", focusable: "false" }, ...bars);
}

