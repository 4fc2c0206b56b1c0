// Sentences by id, in the part of ICU's syntax that the messages use; the server reads the same files.

const data = JSON.parse(document.getElementById("data").textContent);

export const page = data;
export const tag = data.tag;

const plurals = new Intl.PluralRules(tag);

/** Return the sentence of an id with its values filled in; an unknown id stands for itself. */
export function say(id, values = {}) {
  const message = data.messages[id];
  return message === undefined ? id : write(message, values, null);
}

/** Return the sentence of an id that may be unknown, else `otherwise`. */
export function known(id, values, otherwise) {
  return id in data.messages ? say(id, values) : otherwise;
}

/** Return a number as the reader's language writes it. */
export function number(value, decimals) {
  const fixed = decimals === undefined ? {} : { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return new Intl.NumberFormat(tag, fixed).format(value);
}

/** Return a time as the reader's language writes it. */
export function time(seconds) {
  return new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" }).format(new Date(seconds * 1000));
}

/** Return a place of a photograph in words and as shares, as the table of links names it. */
export function exactPlace([x, y]) {
  const third = (value) => Math.min(2, Math.max(0, Math.floor(value * 3)));
  return say("PLACE", { words: say(`PLACE_${third(y)}_${third(x)}`), x, y });
}

function write(message, values, count) {
  let out = "";
  let at = 0;
  while (at < message.length) {
    const char = message[at];
    if (char === "{") {
      const end = closing(message, at);
      out += place(message.slice(at + 1, end), values);
      at = end + 1;
    } else {
      out += char === "#" && count !== null ? number(count) : char;
      at += 1;
    }
  }
  return out;
}

function place(inside, values) {
  const [name, kind, style] = split(inside);
  const value = values[name];
  if (kind === "plural") return plural(style, value, values);
  if (kind === "number") return styled(value, style);
  return value === undefined || value === null ? "" : String(value);
}

function plural(style, value, values) {
  const cases = {};
  let at = 0;
  while (at < style.length) {
    const open = style.indexOf("{", at);
    if (open < 0) break;
    const end = closing(style, open);
    cases[style.slice(at, open).trim()] = style.slice(open + 1, end);
    at = end + 1;
  }
  return write(cases[plurals.select(value)] ?? cases.other, values, value);
}

function styled(value, style) {
  const zeros = /\.(0+)/.exec(style)?.[1].length ?? 0;
  const digits = { minimumFractionDigits: zeros, maximumFractionDigits: zeros || (style.includes("percent") ? 0 : 6) };
  const options = style.includes("percent") ? { style: "percent", ...digits } : digits;
  return new Intl.NumberFormat(tag, options).format(value);
}

function split(inside) {
  const first = inside.indexOf(",");
  if (first < 0) return [inside.trim(), "", ""];
  const second = inside.indexOf(",", first + 1);
  const kind = inside.slice(first + 1, second < 0 ? undefined : second).trim();
  return [inside.slice(0, first).trim(), kind, second < 0 ? "" : inside.slice(second + 1)];
}

function closing(text, open) {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    if (text[at] === "}" && --depth === 0) return at;
  }
  throw new Error(`no end of a place in: ${text}`);
}
