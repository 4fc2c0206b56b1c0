// Decisions: given by button or key, kept by the server, taken back; nobody's decision is overwritten unseen.

import { Refusal, send } from "./api.js";
import { announce, byId, html } from "./elements.js";
import { keep, prefer } from "./preferences.js";
import { decisionSign } from "./candidate_list.js";
import { page, say, time } from "./words.js";

const TOAST = 6000; // milliseconds
const LATE = 700; // milliseconds without an answer, after which the page says that it waits for one
const keyOf = (queryId, rank) => JSON.stringify([queryId, rank]);

export class DecisionBar {
  constructor({ current, onDecided, onAdvance, looked }) {
    Object.assign(this, { current, onDecided, onAdvance, looked });
    this.mine = []; // pairs that were decided here, the last one at the end
    this.storing = Promise.resolve(); // the decisions under way, one after another
    this.pairs = new Set(); // whose decisions are under way
    this.touched = false; // whether the reviewer has changed the details of the pair that is shown
    this.fresh = false; // whether the page has just gone on by itself from what was decided last
    for (const button of document.querySelectorAll("[data-decision]")) button.addEventListener("click", () => this.decide(button.dataset.decision));
    byId("cant-tell").addEventListener("click", () => this.ask(byId("reasons").hidden));
    byId("undo").addEventListener("click", () => this.undo());
    byId("decide").addEventListener("submit", (event) => event.preventDefault());
    byId("reasons").addEventListener("keydown", (event) => this.keyed(event));
    document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".unsure")) this.ask(false); });
    const name = byId("reviewer");
    name.value = page.reviewer || prefer("reviewer", "");
    name.readOnly = Boolean(page.reviewer); // the host knows who this is
    name.addEventListener("change", () => keep("reviewer", name.value.trim()));
    const goOn = byId("go-on");
    goOn.checked = prefer("goOn", true);
    goOn.addEventListener("change", () => keep("goOn", goOn.checked));
    this.extras();
  }

  /** Details stand open where there is room for them. */
  extras() {
    const roomy = window.matchMedia("(min-width: 64rem)");
    const adapt = () => { byId("extras").open = roomy.matches; };
    roomy.addEventListener("change", adapt);
    adapt();
    byId("extras").addEventListener("input", () => { this.touched = true; });
  }

  /** Show the decision on a pair. What the reviewer has typed for it stays, whatever others decide meanwhile. */
  show(candidate) {
    if (candidate !== this.shown) {
      this.shown = candidate;
      this.touched = this.fresh = false;
      this.ask(false);
    }
    this.settle(null);
    const decision = candidate?.decision ?? { version: 0, evidence_decision: "unreviewed", skipped: false };
    for (const button of document.querySelectorAll(".verdict")) {
      const own = button.id === "cant-tell" ? ["notcomp", "unknown"].includes(decision.evidence_decision) : button.dataset.decision === "unreviewed" ? decision.skipped : decision.evidence_decision === button.dataset.decision;
      button.setAttribute("aria-pressed", String(own));
      button.disabled = !candidate;
    }
    for (const button of document.querySelectorAll("#reasons [data-decision]")) button.setAttribute("aria-pressed", String(decision.evidence_decision === button.dataset.decision));
    if (!this.touched) this.fill(decision);
    byId("undo").disabled = !this.undoable(candidate);
  }

  fill(decision) {
    byId("confidence").value = decision.confidence ?? "unspecified";
    byId("note").value = decision.comment ?? "";
    for (const box of document.querySelectorAll("[name=tag]")) box.checked = (decision.tags ?? []).includes(box.value);
  }

  undoable(candidate) {
    return Boolean(candidate && candidate.decision.version > 0 && decisionSign(candidate.decision)) || this.mine.length > 0;
  }

  /** Ask why one can't tell, or stop asking. */
  ask(open) {
    const reasons = byId("reasons");
    if (reasons.hidden === !open) return;
    const inside = reasons.contains(document.activeElement);
    reasons.hidden = !open;
    byId("cant-tell").setAttribute("aria-expanded", String(open));
    if (open) reasons.querySelector("button").focus();
    else if (inside) byId("cant-tell").focus();
  }

  keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const answers = { 1: "notcomp", 2: "unknown" };
    if (event.key === "Escape") this.ask(false);
    else if (event.key in answers) this.decide(answers[event.key]);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") this.other();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  other() {
    const [first, second] = byId("reasons").querySelectorAll("button");
    (document.activeElement === first ? second : first).focus();
  }

  /** Decide on the pair that is shown. */
  decide(evidenceDecision) {
    const { query, candidate } = this.current();
    if (!candidate) return undefined;
    this.ask(false);
    const body = {
      evidence_decision: evidenceDecision,
      query_annot_uuid: query.query.annotation_id,
      database_annot_uuid: candidate.annotation_id,
      ...this.details(evidenceDecision),
      reviewer: byId("reviewer").value,
      timestamp_c2: Date.now() / 1000,
      ...this.looked(),
    };
    return this.send(query, candidate, body);
  }

  details(evidenceDecision) {
    return {
      confidence: evidenceDecision === "unreviewed" ? "unspecified" : byId("confidence").value,
      tags: [...document.querySelectorAll("[name=tag]:checked")].map((box) => box.value),
      comment: byId("note").value,
    };
  }

  /** Store a decision after those that are under way; a second one on the same pair is a button pressed twice. */
  async send(query, candidate, body) {
    const key = keyOf(query.query_id, candidate.rank);
    if (this.pairs.has(key)) return;
    this.pairs.add(key);
    const { version } = candidate.decision;
    const late = window.setTimeout(() => this.toast(say("STORING", { rank: candidate.rank })), LATE);
    const done = this.storing.catch(() => {}).then(() => this.store("PUT", query, candidate, "", body, version));
    this.storing = done.finally(() => { this.pairs.delete(key); window.clearTimeout(late); });
    if (!(await done)) return;
    const words = say("DECIDED", { rank: candidate.rank, decision: decisionSign(candidate.decision)?.words ?? "" });
    this.toast(words);
    if (!byId("go-on").checked || this.current().candidate !== candidate) return;
    const end = this.onAdvance();
    if (end) this.toast(`${words}. ${end}.`);
    this.fresh = this.shown !== candidate;
  }

  /** Take back the decision on the pair that is shown, or the last one that was given here, as long as it is fresh. */
  async undo() {
    await this.storing.catch(() => {}); // what was decided just now is what shall be taken back
    const { query, candidate } = this.current();
    const last = this.mine[this.mine.length - 1];
    const here = candidate && decisionSign(candidate.decision) && !(this.fresh && last);
    if (!here && !last) return announce(say("UNDO_NOTHING"));
    const target = here ? candidate : query.candidates.find((item) => item.rank === last.rank && last.queryId === query.query_id);
    if (!target) return this.toast(say("UNDO_ELSEWHERE"));
    this.storing = this.store("POST", query, target, "/undo", { reviewer: byId("reviewer").value }, target.decision.version);
    if (!(await this.storing)) return undefined;
    this.mine = this.mine.filter((item) => !(item.queryId === query.query_id && item.rank === target.rank));
    const stands = decisionSign(target.decision);
    return this.toast(stands ? say("UNDONE_TO", { rank: target.rank, decision: stands.words }) : say("UNDONE", { rank: target.rank }));
  }

  /** Whether news is of a pair whose decision is being stored here: its answer says the same, or more. */
  isStoring(news) {
    return this.pairs.has(keyOf(news.query_id, news.rank));
  }

  async store(method, query, candidate, rest, body, version) {
    const path = `/tasks/${encodeURIComponent(page.task.task_id)}/pairs/${encodeURIComponent(query.query_id)}/${candidate.rank}/decision${rest}`;
    byId("decide").setAttribute("aria-busy", "true");
    try {
      const answer = await send(method, path, body, { "If-Match": `"${version}"` });
      candidate.decision = answer.decision;
      if (method === "PUT") this.mine.push({ queryId: query.query_id, rank: candidate.rank });
      if (this.shown === candidate) this.touched = false;
      this.settle(null);
      this.onDecided(query.query_id, candidate);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 412) this.clash(query, candidate, error.body.current, method === "PUT" ? body : null);
      else this.settle(this.whose(query, candidate) + say(error.status === 0 ? "NOT_STORED_OFFLINE" : "NOT_STORED", { reason: error.message }));
      return false;
    } finally {
      byId("decide").removeAttribute("aria-busy");
    }
  }

  /** Somebody else was quicker: show both, and let this reviewer say which shall stand. */
  clash(query, candidate, current, body) {
    candidate.decision = current ?? { version: 0, evidence_decision: "unreviewed", skipped: false };
    if (this.shown === candidate) this.touched = true; // the details stay this reviewer's own
    this.onDecided(query.query_id, candidate);
    const theirs = decisionSign(candidate.decision)?.words ?? say("UNDECIDED");
    const who = (current?.user_id ?? "").replace(/^user:web:/, "");
    const words = say("CLASH", { who, theirs, when: current ? time(current.timestamp) : "" });
    const actions = [html("button", { type: "button", id: "clash-theirs" }, say("CLASH_THEIRS"))];
    actions[0].addEventListener("click", () => this.giveWay(candidate));
    if (body) {
      const mine = body.evidence_decision;
      const own = html("button", { type: "button", id: "clash-mine" }, say("CLASH_MINE", { mine: decisionSign({ evidence_decision: mine, skipped: mine === "unreviewed" })?.words ?? "" }));
      own.addEventListener("click", () => this.send(query, candidate, this.shown === candidate ? { ...body, ...this.details(mine) } : body));
      actions.push(own);
    }
    this.settle(this.whose(query, candidate) + words, actions);
  }

  /** The other reviewer's decision stands, and the page shows its details. */
  giveWay(candidate) {
    this.settle(null);
    if (this.shown !== candidate) return;
    this.touched = false;
    this.show(candidate);
  }

  /** Say which pair a message is about where another one is shown by now. */
  whose(query, candidate) {
    if (this.shown === candidate) return "";
    const elsewhere = this.current().query.query_id === query.query_id ? "" : `${query.query.file_name}, `;
    return `${elsewhere}${say("CANDIDATE_OF", { rank: candidate.rank })}: `;
  }

  settle(words, actions = []) {
    const home = byId("conflict");
    home.hidden = words === null;
    home.replaceChildren(...(words === null ? [] : [html("p", {}, words), ...actions]));
  }

  toast(words) {
    const home = byId("toast");
    window.clearTimeout(this.toasting);
    home.replaceChildren(html("p", {}, words));
    home.hidden = false;
    announce(words);
    this.toasting = window.setTimeout(() => { home.hidden = true; }, TOAST);
  }
}
