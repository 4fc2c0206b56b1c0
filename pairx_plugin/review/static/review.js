// The page: which query and which candidate are shown, and how; all else is told from here.

import { read } from "./api.js";
import { announce, byId, html, set } from "./elements.js";
import { CandidateList, decisionSign } from "./candidate_list.js";
import { DecisionBar } from "./decision_bar.js";
import { EvidenceClient } from "./evidence_client.js";
import { EvidencePanel } from "./evidence_panel.js";
import { Keyboard } from "./keyboard.js";
import { Light } from "./light.js";
import { PairView } from "./pair_view.js";
import { Tools } from "./tools.js";
import { LookLog } from "./look_log.js";
import { keep, prefer } from "./preferences.js";
import { page, say } from "./words.js";

const state = { query: page.query, rank: null, going: null, lost: false }; // going: the query that is being loaded
const isOpen = (candidate) => decisionSign(candidate.decision) === null; // nobody has decided, or it was taken back
const candidateOf = (rank) => state.query.candidates.find((item) => item.rank === rank) ?? null;
const current = () => ({ query: state.query, candidate: candidateOf(state.rank) });

const log = new LookLog();
let tools = null;
let layers = {};
const list = new CandidateList((rank) => pick(rank));
const view = new PairView(byId("frame"), {
  onPoint: (chosen, hovered) => panel.point(chosen, hovered),
  onLook: (first, second, most, geometry) => tools?.showZoom(first, second, most, geometry),
  partners: (side, row, col) => read(`/explanations/${view.job.id}/partners/${side}/${row}/${col}`),
});
const panel = new EvidencePanel({
  onRetry: () => look({ retry: true }),
  onAnew: () => look({ anew: true }),
  onPoint: (rank) => view.hover(rank),
  onChoose: (rank) => view.choose(view.chosen === rank ? null : rank),
});
const client = new EvidenceClient({ onEvidence: take, onDropped: dropped, onDecision: heard, onReload: reload });
tools = new Tools(view, { log, onChoice: choose, layerOf: (level) => layers[level] });
const bar = new DecisionBar({ current, onDecided: decided, onAdvance: advance, looked: () => log.summary(client.get(state.query.query_id, state.rank)) });

new Light(byId("frame"));
byId("state").addEventListener("click", (event) => {
  if (event.target.id === "retry") panel.onRetry();
  if (event.target.id === "anew") panel.onAnew();
});
byId("previous-query").addEventListener("click", () => goTo(-1));
byId("next-query").addEventListener("click", () => goTo(1));
new Keyboard({
  match: () => bar.decide("match"),
  nomatch: () => bar.decide("nomatch"),
  unsure: () => bar.ask(true),
  skip: () => bar.decide("unreviewed"),
  undo: () => bar.undo(),
  previous: () => step(-1),
  next: () => step(1),
  previousQuery: () => goTo(-1),
  nextQuery: () => goTo(1),
  help: () => {},
  ...tools.actions(),
});
for (const input of document.querySelectorAll("[name=theme]")) {
  input.checked = input.value === prefer("theme", "auto");
  input.addEventListener("change", () => {
    keep("theme", input.value);
    if (input.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = input.value;
  });
}
document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#menu")) byId("menu").open = false; });
byId("menu").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  byId("menu").open = false;
  byId("menu").querySelector("summary").focus();
});
window.addEventListener("popstate", () => loadQuery(new URLSearchParams(location.search).get("query") ?? page.query.query_id, false));

showQuery();
learn();

/** Read which explainers and layers there are; layers are known once the network is loaded. */
async function learn() {
  const found = await read("/explainers").catch(() => null);
  if (!found) return;
  layers = Object.fromEntries(found.layers.map((item) => [item.level, item]));
  tools.showChoices(found);
}

function showQuery() {
  const { query } = state;
  const task = page.task;
  const place = task.queries.findIndex((item) => item.query_id === query.query_id);
  byId("query-count").textContent = say("QUERY_OF", { n: place + 1, of: task.queries.length });
  byId("query-name").textContent = byId("query-name").title = query.query.file_name;
  document.title = `${query.query.file_name} · ${say("APP_TITLE")}`;
  set(byId("previous-query"), { disabled: place <= 0 });
  set(byId("next-query"), { disabled: place >= task.queries.length - 1 });
  byId("to-report").href = `${page.own}/report.html?query=${encodeURIComponent(query.query_id)}`;
  byId("query-facts").replaceChildren(...facts().map(([words, link]) => html("li", {}, html(link ? "a" : "span", { href: link, title: words }, words))));
  list.show(query.candidates);
  showProgress();
  const open = query.candidates.find(isOpen) ?? query.candidates[0];
  if (open) pick(open.rank);
  else showNobody();
}

/** What the header says of the query: date, individuals searched, model, filters, the way back. */
function facts() {
  const { query } = state;
  const known = [
    [query.query.date],
    [query.query.name],
    [query.query.species],
    [query.n_searched ? say("AGAINST", { n: query.n_searched }) : null],
    [query.model_id ? say("BY_MODEL", { model: query.model_id }) : null],
    ...Object.entries(page.task.facts).map(([name, value]) => [`${name}: ${value}`]),
    [query.query.link ? say("BACK") : null, query.query.link],
  ];
  return known.filter(([words]) => words);
}

function showNobody() {
  state.rank = null;
  byId("frame").replaceChildren(html("p", { class: "nobody" }, state.query.failure?.words ?? say("NO_CANDIDATES")));
  byId("captions").replaceChildren();
  panel.show(null);
  byId("state").replaceChildren();
  byId("evidence").setAttribute("aria-busy", "false");
  bar.show(null);
}

function pick(rank) {
  const candidate = candidateOf(rank);
  if (!candidate) return;
  state.rank = rank;
  log.start(tools.view, tools.count);
  list.select(rank);
  bar.show(candidate);
  showPhotographs(candidate);
  panel.show(client.get(state.query.query_id, rank));
  look();
  announce(say("CANDIDATE_SHOWN", { rank, name: candidate.name ?? say("NAME_UNKNOWN"), file: candidate.file_name }));
}

async function showPhotographs(candidate) {
  showCaptions(candidate);
  const { query } = state.query;
  const loaded = await view.show([query.chip_url, candidate.chip_url], [query.file_name, candidate.file_name]);
  if (!loaded || state.rank !== candidate.rank) return;
  state.lost = loaded.includes(false);
  showCaptions(candidate, loaded);
}

function look(how = {}) {
  const after = state.query.candidates.filter((item) => item.rank > state.rank).map((item) => item.rank);
  return client.look(state.query.query_id, state.rank, after, how);
}

function showCaptions(candidate, loaded = [true, true]) {
  const made = [
    caption("query", say("QUERY"), state.query.query, loaded[0]),
    caption("candidate", say("CANDIDATE_OF", { rank: candidate.rank }), candidate, loaded[1]),
  ];
  byId("captions").replaceChildren(...made);
}

function caption(kind, title, item, loaded) {
  const facts = [item.file_name, item.date, item.viewpoint].filter(Boolean);
  const link = item.link ? html("a", { href: item.link }, say("OPEN_ENCOUNTER")) : null;
  return html("div", { class: `caption ${kind}` },
    html("p", { class: "caption-title" }, html("span", { class: "eyebrow" }, title), " ", kind === "candidate" ? html("strong", {}, html("bdi", { title: item.name }, item.name ?? say("NAME_UNKNOWN"))) : null),
    html("p", { class: "caption-facts", title: facts.join(" · ") }, html("bdi", {}, facts.join(" · ")), link ? " · " : null, link),
    loaded ? null : html("p", { class: "lost-words" }, say("PHOTO_LOST")));
}

/** Evidence has come, or news of it. */
function take(job) {
  if (job.query_id !== state.query.query_id || job.key !== client.key(job.query_id, job.rank)) return;
  const candidate = candidateOf(job.rank);
  if (!candidate) return;
  candidate.standing ??= candidate.evidence;
  candidate.evidence = { status: job.status, part: job.status === "partial" && job.over, band: job.words?.band ?? (job.over ? null : candidate.evidence.band), level: job.words ? job.words.level : candidate.evidence.level };
  list.update(candidate);
  list.select(state.rank);
  if (job.rank !== state.rank) return;
  const before = view.job;
  if (!before || before.id !== job.id || before.revision !== job.revision || before.key !== job.key || !view.links.length) {
    view.job = job;
    view.setEvidence(job.record, job.words);
  }
  panel.show(job);
  panel.point(view.chosen, view.hovered);
  tools.showColours(job);
  if (job.status === "ready" && !Object.values(layers).some((item) => item.key)) learn();
}

/** Nobody waits any more: the row says again what it said before. */
function dropped(job) {
  const candidate = job.query_id === state.query.query_id ? candidateOf(job.rank) : null;
  if (!candidate) return;
  candidate.evidence = candidate.standing;
  list.update(candidate);
}

/** Another explainer or layer was chosen. */
function choose(choice) {
  client.choice = { ...client.choice, ...choice };
  view.job = null;
  view.setEvidence(null, null);
  panel.show(client.get(state.query.query_id, state.rank));
  look();
}

/** Somebody has decided, here or elsewhere. */
function heard(news) {
  if (bar.isStoring(news)) return void bar.storing.then(() => heard(news));
  const entry = page.task.queries.find((item) => item.query_id === news.query_id);
  if (news.query_id !== state.query.query_id) {
    if (entry) readCounts();
    return;
  }
  const candidate = candidateOf(news.rank);
  if (!candidate || candidate.decision.version >= news.decision.version) return;
  candidate.decision = news.decision;
  decided(news.query_id, candidate);
  if (news.rank === state.rank) bar.toast(say("DECIDED_ELSEWHERE", { who: news.decision.user_id.replace(/^user:web:/, "") }));
}

function decided(queryId, candidate) {
  if (candidateOf(candidate.rank) !== candidate) return void readCounts(); // another query is shown by now
  list.update(candidate);
  list.select(state.rank);
  showProgress();
  if (candidate.rank === state.rank) bar.show(candidate);
}

function showProgress() {
  const all = state.query.candidates;
  const done = all.filter((item) => !isOpen(item)).length;
  byId("progress-words").textContent = say("DECIDED_OF", { done, all: all.length });
  set(byId("progress"), { value: done, max: Math.max(1, all.length) });
}

async function readCounts() {
  const task = await read(`/tasks/${encodeURIComponent(page.task.task_id)}`).catch(() => null);
  if (task) page.task.queries = task.queries;
}

/** After a decision: the next listed candidate without one. Return what there is to say where there is none. */
function advance() {
  const all = list.shown();
  const now = all.findIndex((item) => item.rank === state.rank);
  const open = [...all.slice(now + 1), ...all.slice(0, now)].find(isOpen);
  if (open) pick(open.rank);
  return open ? "" : say(state.query.candidates.some(isOpen) ? "ALL_LISTED_DECIDED" : "ALL_DECIDED");
}

function step(by) {
  const all = list.shown();
  const next = all[all.findIndex((item) => item.rank === state.rank) + by];
  if (next) pick(next.rank);
  else announce(say(by < 0 ? "FIRST_CANDIDATE" : "LAST_CANDIDATE"));
}

function goTo(by) {
  const ids = page.task.queries.map((item) => item.query_id);
  const next = ids[ids.indexOf(state.going ?? state.query.query_id) + by];
  if (next) loadQuery(next, true);
  else announce(say(by < 0 ? "FIRST_QUERY" : "LAST_QUERY"));
}

async function loadQuery(queryId, push) {
  state.going = queryId;
  byId("frame").classList.add("loading");
  const found = await read(`/tasks/${encodeURIComponent(page.task.task_id)}/queries/${encodeURIComponent(queryId)}`).catch(() => null);
  if (state.going !== queryId) return undefined; // on to another one
  state.going = null;
  byId("frame").classList.remove("loading");
  if (!found) return bar.toast(say("NOT_LOADED"));
  if (push) history.pushState(null, "", `?query=${encodeURIComponent(queryId)}`);
  state.query = found;
  if (!byId("frame").contains(view.drawing)) byId("frame").replaceChildren(view.drawing);
  showQuery();
  return announce(say("QUERY_SHOWN", { file: found.query.file_name, n: found.candidates.length }));
}

/** The connection was lost for a while: read again what may have changed. */
async function reload() {
  const rank = state.rank;
  const found = await read(`/tasks/${encodeURIComponent(page.task.task_id)}/queries/${encodeURIComponent(state.query.query_id)}`).catch(() => null);
  if (!found || found.query_id !== state.query.query_id) return;
  for (const item of found.candidates) {
    const own = candidateOf(item.rank);
    if (own && item.decision.version > own.decision.version) heard({ query_id: found.query_id, rank: item.rank, decision: item.decision });
  }
  client.found.forEach((job, key) => { if (!job.over) client.found.delete(key); });
  list.retryPictures();
  if (state.lost && rank === state.rank) showPhotographs(candidateOf(rank));
  if (rank === state.rank && rank !== null) look();
}
