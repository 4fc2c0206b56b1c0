// Requests to the server, and what it says when it refuses.

import { page, tag } from "./words.js";

let csrf = page.csrf;

/** A refusal of the server, or no answer at all (status 0). */
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.message ?? "no answer");
    this.status = status;
    this.code = body?.errors?.[0]?.code ?? (status ? "INTERNAL" : "OFFLINE");
    this.retryable = status === 0 || Boolean(body?.errors?.[0]?.retryable);
    this.body = body ?? {};
  }
}

/** Read JSON. */
export const read = (path) => send("GET", path);

/** Send a request to the API and return the JSON of its answer. */
export async function send(method, path, body, headers = {}) {
  const used = csrf;
  let answer = await attempt(method, path, body, headers);
  if (answer.status === 403 && method !== "GET" && (await renewed(used))) answer = await attempt(method, path, body, headers);
  const found = await answer.json().catch(() => null);
  if (answer.status === 401) window.location.reload();
  if (!answer.ok) throw new Refusal(answer.status, found);
  return found;
}

/** Say something while the page goes; no answer is waited for. */
export function sendAndGo(path, body) {
  const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/json" };
  fetch(page.api + path, { method: "POST", keepalive: true, headers, body: JSON.stringify(body) }).catch(() => {});
}

async function attempt(method, path, body, headers) {
  const all = { "Accept-Language": tag, ...headers };
  if (method !== "GET") all["X-CSRF-Token"] = csrf;
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    return await fetch(page.api + path, { method, headers: all, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refusal(0, null);
  }
}

/**
 * The server was started anew: its word for writes is another one now. Return whether there is another one than the
 * one that was used; a second request that was refused beside the first may find it renewed already.
 */
async function renewed(used) {
  if (csrf !== used) return true;
  try {
    const answer = await fetch(`${page.api}/session`);
    csrf = (await answer.json()).csrf || csrf;
  } catch {
    return false;
  }
  return csrf !== used;
}
