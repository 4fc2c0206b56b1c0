// Decisions: given by button or key, kept by the server, taken back; nobody's decision is overwritten unseen.

import { Refusal, send } from "./api.js";
import { announce, byId, html } from "./elements.js";
import { keep, prefer } from "./preferences.js";
import { decisionSign } from "./candidate_list.js";
import { page, say, time } from "./words.js";

const TOAST = 6000;

export class DecisionBar {
  constructor({ current, onDecided, onAdvance, looked }) {
    Object.assign(this, { current, onDecided, onAdvance, looked });
    this.mine = []; // pairs that were decided here, the last one at the end
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
  }

  /** Show the decision on a pair. */
  show(candidate) {
    this.ask(false);
    this.settle(null);
    const decision = candidate?.decision ?? { version: 0, evidence_decision: "unreviewed", skipped: false };
    for (const button of document.querySelectorAll(".verdict")) {
      const own = button.id === "cant-tell" ? ["notcomp", "unknown"].includes(decision.evidence_decision) : button.dataset.decision === "unreviewed" ? decision.skipped : decision.evidence_decision === button.dataset.decision;
      button.setAttribute("aria-pressed", String(own));
      button.disabled = !candidate;
    }
    for (const button of document.querySelectorAll("#reasons [data-decision]")) button.setAttribute("aria-pressed", String(decision.evidence_decision === button.dataset.decision));
    byId("confidence").value = decision.confidence ?? "unspecified";
    byId("note").value = decision.comment ?? "";
    for (const box of document.querySelectorAll("[name=tag]")) box.checked = (decision.tags ?? []).includes(box.value);
    byId("undo").disabled = !this.undoable(candidate);
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
  async decide(evidenceDecision, version) {
    const { query, candidate } = this.current();
    if (!candidate || this.busy) return;
    this.ask(false);
    const looked = this.looked();
    const body = {
      evidence_decision: evidenceDecision,
      query_annot_uuid: query.query.annotation_id,
      database_annot_uuid: candidate.annotation_id,
      confidence: evidenceDecision === "unreviewed" ? "unspecified" : byId("confidence").value,
      tags: [...document.querySelectorAll("[name=tag]:checked")].map((box) => box.value),
      comment: byId("note").value,
      reviewer: byId("reviewer").value,
      timestamp_c2: Date.now() / 1000,
      ...looked,
    };
    this.storing = this.store("PUT", query, candidate, "", body, version ?? candidate.decision.version, evidenceDecision);
    if (!(await this.storing)) return;
    const words = decisionSign(candidate.decision)?.words ?? "";
    this.toast(say("DECIDED", { rank: candidate.rank, decision: words }));
    if (byId("go-on").checked && this.current().candidate === candidate) this.onAdvance();
  }

  /** Take back the decision on the pair that is shown, or else the last one that was given here. */
  async undo() {
    await this.storing; // what was decided just now is what shall be taken back
    const { query, candidate } = this.current();
    const last = this.mine[this.mine.length - 1];
    const here = candidate && decisionSign(candidate.decision) && (!last || last.rank === candidate.rank || !this.isFresh(last));
    if (!here && !last) return announce(say("UNDO_NOTHING"));
    const target = here ? candidate : query.candidates.find((item) => item.rank === last.rank && last.queryId === query.query_id);
    if (!target) return this.toast(say("UNDO_ELSEWHERE"));
    this.storing = this.store("POST", query, target, "/undo", { reviewer: byId("reviewer").value }, target.decision.version, null);
    if (!(await this.storing)) return undefined;
    this.mine = this.mine.filter((item) => !(item.queryId === query.query_id && item.rank === target.rank));
    const stands = decisionSign(target.decision);
    return this.toast(stands ? say("UNDONE_TO", { rank: target.rank, decision: stands.words }) : say("UNDONE", { rank: target.rank }));
  }

  /** What was decided last is what "undo" means, right after it was decided and the next pair is shown. */
  isFresh(last) {
    return this.current().query.query_id === last.queryId;
  }

  /** Whether news is of the pair whose decision is being stored here: its answer says the same, or more. */
  isStoring(news) {
    return Boolean(this.busy) && this.pair.query_id === news.query_id && this.pair.rank === news.rank;
  }

  async store(method, query, candidate, rest, body, version, mine) {
    const path = `/tasks/${encodeURIComponent(page.task.task_id)}/pairs/${encodeURIComponent(query.query_id)}/${candidate.rank}/decision${rest}`;
    this.pair = { query_id: query.query_id, rank: candidate.rank };
    this.busy = true; // a second decision now would be meant for the pair that is shown next
    byId("decide").setAttribute("aria-busy", "true");
    try {
      const answer = await send(method, path, body, { "If-Match": `"${version}"` });
      candidate.decision = answer.decision;
      if (method === "PUT") this.mine.push({ queryId: query.query_id, rank: candidate.rank });
      this.settle(null);
      this.onDecided(query.query_id, candidate);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 412) this.clash(candidate, error.body.current, mine);
      else this.settle(say(error.status === 0 ? "NOT_STORED_OFFLINE" : "NOT_STORED", { reason: error.message }));
      return false;
    } finally {
      this.busy = false;
      byId("decide").removeAttribute("aria-busy");
    }
  }

  /** Somebody else was quicker: show both, and let this reviewer say which shall stand. */
  clash(candidate, current, mine) {
    candidate.decision = current ?? { version: 0, evidence_decision: "unreviewed", skipped: false };
    this.onDecided(this.current().query.query_id, candidate);
    const theirs = decisionSign(candidate.decision)?.words ?? say("UNDECIDED");
    const who = (current?.user_id ?? "").replace(/^user:web:/, "");
    const words = say("CLASH", { who, theirs, when: current ? time(current.timestamp) : "" });
    const actions = [html("button", { type: "button", id: "clash-theirs" }, say("CLASH_THEIRS"))];
    actions[0].addEventListener("click", () => { this.settle(null); this.show(candidate); });
    if (mine) {
      const own = html("button", { type: "button", id: "clash-mine" }, say("CLASH_MINE", { mine: decisionSign({ evidence_decision: mine, skipped: mine === "unreviewed" })?.words ?? "" }));
      own.addEventListener("click", () => this.decide(mine, candidate.decision.version));
      actions.push(own);
    }
    this.settle(words, actions);
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
