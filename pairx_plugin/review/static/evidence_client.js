// Evidence from the server: asked for when a pair is shown, the next two in advance, cancelled when nobody looks.

import { Refusal, read, send, sendAndGo } from "./api.js";
import { page } from "./words.js";

const AHEAD = 2;
const AGAIN = 1500; // milliseconds between looks at what is under way
const PATIENCE = 3000; // milliseconds without news

export class EvidenceClient {
  constructor({ onEvidence, onDropped, onDecision, onReload }) {
    this.onEvidence = onEvidence;
    this.onDropped = onDropped;
    this.onDecision = onDecision;
    this.onReload = onReload;
    this.reader = randomName();
    this.found = new Map(); // by pair and request
    this.wanted = new Set(); // keys of what is waited for
    this.early = new Map(); // news of what was asked for and not yet answered, by id
    this.choice = { explainer: "pairx", variant: "", layer_key: "" };
    this.turn = 0; // counts looks, so that one that was overtaken asks for nothing more
    this.listen();
    window.addEventListener("pagehide", () => this.leave());
  }

  key(queryId, rank) {
    return JSON.stringify([queryId, rank, this.choice.explainer, this.choice.variant, this.choice.layer_key]);
  }

  /** Return what is known of a pair's evidence. */
  get(queryId, rank) {
    return this.found.get(this.key(queryId, rank)) ?? null;
  }

  /** Look at a pair: its evidence is asked for first, then that of the next ones; all else is no longer waited for. */
  async look(queryId, rank, next, how = {}) {
    this.turn += 1;
    const { turn } = this;
    const ahead = next.slice(0, AHEAD);
    const keys = new Set([rank, ...ahead].map((item) => this.key(queryId, item)));
    this.cancel([...this.wanted].filter((key) => !keys.has(key)));
    await this.ask(queryId, rank, { prefetch: false, ...how });
    for (const item of ahead) if (turn === this.turn) await this.ask(queryId, item, { prefetch: true });
  }

  async ask(queryId, rank, how) {
    const key = this.key(queryId, rank);
    const before = this.found.get(key);
    if (before?.over && !how.retry && !how.anew) {
      this.onEvidence(before);
      return;
    }
    this.wanted.add(key);
    const body = { task: page.task.task_id, query: queryId, rank, reader: this.reader, ...this.choice, ...how };
    try {
      const answer = await send("POST", "/explanations", body);
      if (this.wanted.has(key)) this.take(key, answer);
      else if (!answer.over) this.letGo([answer.id]); // nobody looks at it any more
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (how.prefetch) this.wanted.delete(key); // it is asked for again when it is looked at
      else if (error.status === 0) this.wait(key, waiting(queryId, rank, this.choice));
      else this.take(key, refused(queryId, rank, this.choice, error));
    }
  }

  take(key, answer) {
    const before = this.found.get(key);
    if (before && before.id === answer.id && before.revision > answer.revision) return;
    this.found.set(key, { ...answer, seen: performance.now(), key });
    if (answer.over) this.wanted.delete(key);
    this.onEvidence(this.found.get(key));
    const news = this.early.get(answer.id);
    this.early.delete(answer.id);
    if (news && news.revision > answer.revision) this.heard(news);
  }

  /** The server is silent: the page says so, goes on asking, and shows what comes as soon as it answers. */
  wait(key, job) {
    if (!this.wanted.has(key)) return;
    this.found.set(key, { ...job, key, silent: true, seen: performance.now() });
    this.onEvidence(this.found.get(key));
  }

  cancel(keys) {
    const jobs = keys.map((key) => this.found.get(key)).filter((job) => job && !job.over);
    for (const key of keys) this.wanted.delete(key);
    for (const job of jobs) {
      this.found.delete(job.key);
      this.onDropped(job);
    }
    this.letGo(jobs.map((job) => job.id).filter(Boolean));
  }

  letGo(ids) {
    if (ids.length) sendAndGo("/explanations/cancel", { reader: this.reader, ids });
  }

  leave() {
    this.cancel([...this.wanted]);
    this.events?.close();
  }

  listen() {
    this.timer = window.setInterval(() => this.lookAfter(page.events ? PATIENCE : 0), AGAIN);
    if (!page.events) return; // the host's server cannot hold a stream open
    const address = `${page.api}/tasks/${encodeURIComponent(page.task.task_id)}/events?reader=${this.reader}`;
    this.events = new EventSource(address);
    let greeted = false;
    this.events.addEventListener("hello", () => {
      if (greeted) this.onReload(); // the connection was lost for a while, and what we waited for was let go
      else this.lookAfter(0); // what happened before we could hear it
      greeted = true;
    });
    this.events.addEventListener("reload", () => this.onReload());
    this.events.addEventListener("explanation", (event) => this.heard(JSON.parse(event.data)));
    this.events.addEventListener("decision", (event) => this.onDecision(JSON.parse(event.data)));
  }

  async heard(news) {
    const job = [...this.found.values()].find((item) => item.id === news.id);
    if (!job) {
      this.early.set(news.id, news); // it may be quicker than the answer to the question
      if (this.early.size > 50) this.early.delete(this.early.keys().next().value);
      return;
    }
    const grown = news.has_evidence && news.revision !== job.revision && ["partial", "ready"].includes(news.status);
    if (grown || news.over) await this.fetch(job);
    else if (news.revision >= job.revision) this.take(job.key, { ...job, ...news });
  }

  /** Look at what we wait for and have not heard of for a while: behind some proxies no news come through. */
  async lookAfter(patience) {
    for (const key of [...this.wanted]) {
      const job = this.found.get(key);
      if (!job || job.over || performance.now() - job.seen < (job.silent ? PATIENCE : patience)) continue;
      if (job.id) await this.fetch(job);
      else if (job.silent) await this.ask(job.query_id, job.rank, { prefetch: false });
      if (job.silent && this.found.get(key)?.silent === undefined) this.onReload(); // it answers again
    }
  }

  async fetch(job) {
    try {
      this.take(job.key, await read(`/explanations/${job.id}`));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 0) this.wait(job.key, job);
      if (error.status !== 404) return;
      this.found.delete(job.key);
      if (this.wanted.has(job.key)) await this.ask(job.query_id, job.rank, { prefetch: false }); // it was let go too soon
    }
  }
}

/** What is known of a pair while the server does not answer at all. */
function waiting(queryId, rank, choice) {
  return { id: "", query_id: queryId, rank, ...choice, status: "queued", over: false, revision: 0, record: null, words: null, place: 0, elapsed: 0 };
}

/** What is shown where the server did not even take the request. */
function refused(queryId, rank, choice, error) {
  return {
    id: "", query_id: queryId, rank, ...choice, status: "failed", over: true, revision: 0, record: null, words: null,
    retryable: error.retryable, failure: { code: error.code, retryable: error.retryable, words: null, message: error.message },
  };
}

function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
