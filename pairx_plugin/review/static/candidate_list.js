// The ranked candidates: a list box with one stop of the Tab key, in which arrows move.

import { ICONS, byId, html, icon, set } from "./elements.js";
import { meter } from "./evidence_panel.js";
import { number, say } from "./words.js";

const SIGNS = { match: "match", nomatch: "nomatch", notcomp: "unsure", unknown: "unsure" };
const STATES = ["queued", "running", "failed", "unsupported", "stale"];

/** Return the icon and the words of a decision; null where nobody has decided. */
export function decisionSign(decision) {
  if (decision.evidence_decision in SIGNS) return { sign: SIGNS[decision.evidence_decision], words: say(`DECISION_${decision.evidence_decision}`) };
  return decision.skipped ? { sign: "skip", words: say("SKIPPED_PAIR") } : null;
}

export class CandidateList {
  constructor(onPick) {
    this.home = byId("candidates");
    this.onPick = onPick;
    this.home.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) onPick(Number(row.dataset.rank));
    });
    this.home.addEventListener("keydown", (event) => this.keyed(event));
    // A row that is filled anew between press and release would take the click with it: what has changed waits.
    this.pressed = false;
    this.late = new Map();
    this.home.addEventListener("pointerdown", () => { this.pressed = true; });
    for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => setTimeout(() => this.released()));
    this.filter = "all";
    byId("list-filter").addEventListener("change", (event) => this.setFilter(event.target.value));
  }

  /** Show all candidates, those that are not decided, or the best of each individual. */
  setFilter(name) {
    this.filter = name;
    this.hideOthers();
    byId("list-count").textContent = name === "all" ? say("N_CANDIDATES", { n: this.candidates.length }) : say("LIST_SHOWN", { n: this.shown().length, of: this.candidates.length });
  }

  /** Return the candidates that the filter lets through, and the one that is looked at. */
  shown() {
    const names = new Set();
    return (this.candidates ?? []).filter((candidate) => {
      const again = candidate.name !== null && names.has(candidate.name);
      names.add(candidate.name);
      const through = { all: true, open: decisionSign(candidate.decision) === null, best: !again }[this.filter];
      return through || candidate.rank === this.selected;
    });
  }

  hideOthers() {
    const ranks = new Set(this.shown().map((candidate) => candidate.rank));
    for (const row of this.home.children) row.hidden = !ranks.has(Number(row.dataset.rank));
  }

  /** Show the candidates of another query. */
  show(candidates) {
    this.candidates = candidates;
    this.late.clear();
    this.home.replaceChildren(...candidates.map((candidate) => this.row(candidate)));
    this.selected = null;
    if (candidates.length) this.setFilter(this.filter);
    else byId("list-count").textContent = say("NO_CANDIDATES");
    byId("list-filter").disabled = !candidates.length;
  }

  row(candidate) {
    const row = html("li", { role: "option", id: `candidate-${candidate.rank}`, "data-rank": candidate.rank, "aria-selected": "false" });
    this.fill(row, candidate);
    return row;
  }

  fill(row, candidate) {
    const picture = html("img", { src: candidate.thumb_url, alt: "", width: 56, height: 56, loading: "lazy", decoding: "async" });
    picture.addEventListener("error", () => picture.replaceWith(html("span", { class: "no-chip", "aria-hidden": "true" })));
    row.replaceChildren(
      row.querySelector("img") ?? picture,
      html("div", { class: "who" },
        html("p", { class: "name" }, html("span", { class: "rank" }, html("span", { class: "hidden" }, say("RANK", { rank: candidate.rank })), html("span", { "aria-hidden": "true" }, String(candidate.rank))), html("bdi", { title: candidate.name }, candidate.name ?? say("NAME_UNKNOWN"))),
        html("p", { class: "file" }, html("bdi", { title: candidate.file_name }, candidate.file_name), candidate.date ? ` · ${candidate.date}` : ""),
        html("p", { class: "standing" }, ...standing(candidate.evidence), score(candidate))),
      badge(candidate.decision));
  }

  /** Show what has changed of one candidate. */
  update(candidate) {
    if (this.pressed) {
      this.late.set(candidate.rank, candidate);
      return;
    }
    const row = byId(`candidate-${candidate.rank}`);
    if (row) this.fill(row, candidate);
  }

  /** Ask again for pictures that could not be had. */
  retryPictures() {
    for (const candidate of this.candidates ?? []) if (byId(`candidate-${candidate.rank}`)?.querySelector(".no-chip")) this.update(candidate);
    if (this.selected !== null) this.select(this.selected);
  }

  released() {
    this.pressed = false;
    const late = [...this.late.values()];
    this.late.clear();
    for (const candidate of late) this.update(candidate);
  }

  select(rank) {
    this.selected = rank;
    this.hideOthers();
    for (const row of this.home.children) {
      const on = Number(row.dataset.rank) === rank;
      set(row, { "aria-selected": String(on) });
      if (on) {
        this.home.setAttribute("aria-activedescendant", row.id);
        this.reveal(row);
      }
    }
  }

  /** Scroll the list, and nothing but the list, so that a row is seen. */
  reveal(row) {
    const list = this.home.getBoundingClientRect();
    const box = row.getBoundingClientRect();
    const dy = box.top < list.top ? box.top - list.top : Math.max(0, box.bottom - list.bottom);
    const dx = box.left < list.left ? box.left - list.left : Math.max(0, box.right - list.right);
    this.home.scrollBy({ top: dy, left: dx });
  }

  keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ranks = this.shown().map((candidate) => candidate.rank);
    const now = ranks.indexOf(Number(this.home.querySelector("[aria-selected=true]")?.dataset.rank));
    const moves = { ArrowUp: now - 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: ranks.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    const target = ranks[Math.min(ranks.length - 1, Math.max(0, moves[event.key]))];
    if (target !== undefined) this.onPick(target);
  }
}

function standing(evidence) {
  const waiting = ["queued", "running"].includes(evidence.status) && evidence.band; // what is known already says more
  if (STATES.includes(evidence.status) && !waiting) {
    return [html("span", { class: `sign sign-${evidence.status}` }, icon(ICONS[evidence.status], 15)), html("span", {}, say(`SHORT_${evidence.status}`))];
  }
  if (evidence.part) return [meter(evidence.level), html("span", {}, say(`SHORT_BAND_${evidence.band ?? "not_assessed"}`)), html("span", { class: "sign dim", title: say("SHORT_part") }, icon(ICONS.part, 14), html("span", { class: "hidden" }, say("SHORT_part")))];
  if (!evidence.band) return [html("span", { class: "dim" }, say("SHORT_none"))];
  return [meter(evidence.level), html("span", {}, say(`SHORT_BAND_${evidence.band}`))];
}

function score(candidate) {
  const value = candidate.score === null || candidate.score === undefined ? say("NO_SCORE") : number(candidate.score, 3);
  return html("span", { class: "score" }, html("span", { class: "hidden" }, say("SCORE")), " ", value);
}

function badge(decision) {
  const sign = decisionSign(decision);
  if (!sign) return html("span", { class: "badge badge-none" }, html("span", { class: "hidden" }, say("UNDECIDED")));
  return html("span", { class: `badge badge-${sign.sign}`, title: sign.words }, icon(ICONS[sign.sign], 16), html("span", { class: "hidden" }, sign.words));
}
