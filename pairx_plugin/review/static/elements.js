// Elements of the page, made of names, attributes and children; texts go in as text, so that no name can be markup.

const SVG = "http://www.w3.org/2000/svg";
const HEARD = 8000; // milliseconds that a message stays to be read out

/** Return the element of an id. */
export const byId = (id) => document.getElementById(id);

/** Return a new HTML element. */
export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return a new SVG element. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Set several attributes; null or false takes one away, true sets it without a value. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

/** Say something to those who do not see the page. Each message is a line of its own: none overtakes another. */
export function announce(words) {
  const line = html("p", {}, words);
  byId("news").append(line);
  window.setTimeout(() => line.remove(), HEARD);
}

/** Return one of the drawings of icons.js's kind: a path of 24 units. */
export function icon(path, size = 16) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", focusable: "false" },
    svg("path", { d: path }));
}

export const ICONS = {
  match: "M5 12.5l4.5 4.5L19 7.5",
  nomatch: "M6 6l12 12M18 6L6 18",
  unsure: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.6v.2",
  skip: "M5 6l7 6-7 6zM17 6v12",
  queued: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M12 8v4l3 2",
  running: "M12 4a8 8 0 0 1 8 8M12 20a8 8 0 0 1-8-8",
  failed: "M12 4l9 16H3zM12 10v4M12 17v.1",
  unsupported: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M6.5 6.5l11 11",
  stale: "M4 12a8 8 0 0 1 14-5l2 2M20 5v4h-4M20 12a8 8 0 0 1-14 5l-2-2M4 19v-4h4",
  silent: "M4 12a11 11 0 0 1 4-3M20 12a11 11 0 0 0-6-3.7M8 15.5a6 6 0 0 1 5-1.9M12 19v.1M5 4l14 16",
  partial: "M4 17l5-6 4 3 7-8",
  part: "M4 17l5-6 4 3 7-8M4 21h16",
  outside: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M6.5 6.5l11 11M17.5 6.5l-11 11",
};

function filled(element, attributes, children) {
  set(element, attributes);
  for (const child of children.flat(3)) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}
