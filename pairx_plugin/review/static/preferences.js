// What a reader likes, kept in this browser.

const KEY = "pairx-review";
const kept = load();

/** Return a preference, or `otherwise`. */
export const prefer = (name, otherwise) => (name in kept ? kept[name] : otherwise);

/** Keep a preference. */
export function keep(name, value) {
  kept[name] = value;
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch { /* storage may be full or switched off; then it holds for this page only */ }
}

function load() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return found && typeof found === "object" ? found : {};
  } catch {
    return {};
  }
}
