// Which views a reviewer had open before deciding, and for how long, so that anchoring can be studied.

const MOST = 50;

export class LookLog {
  /** A pair is shown. */
  start(view, count) {
    this.began = Date.now() / 1000;
    this.looks = [];
    this.open = { view, k: view === "lines" ? count : 0, at: performance.now() };
  }

  /** It is shown in another way. */
  change(view, count) {
    if (!this.open) return;
    const k = view === "lines" ? count : 0;
    if (this.open.view === view && this.open.k === k) return;
    this.close();
    this.open = { view, k, at: performance.now() };
  }

  close() {
    const ms = Math.round(performance.now() - this.open.at);
    if (ms > 200 && this.looks.length < MOST) this.looks.push({ view: this.open.view, k: this.open.k, ms });
  }

  /** Return what a decision says of how it came about. */
  summary(job) {
    if (!this.open) return {};
    this.close();
    this.open.at = performance.now();
    const views = [...this.looks];
    return { timestamp_c1: this.began, views, explanation_ids: job?.record?.id ? [job.record.id] : [] };
  }
}
