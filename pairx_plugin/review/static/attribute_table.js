// Named attributes of a pair: what both photographs show, what one alone does, and every term of their scores.

import { html } from "./elements.js";
import { say } from "./words.js";

const TERMS = ["confidence", "overlap", "prior", "score"];

/** Return the section of the attributes, or null where the explainer names none. */
export function attributeSection(attributes) {
  if (!attributes) return null;
  const named = attributes.same.length || attributes.different.length;
  return html("section", { class: "says attributes", id: "attributes" },
    html("h3", {}, say("ATTRIBUTES")),
    ...attributes.sentences.map((sentence) => html("p", {}, sentence)),
    ...[["ATTRIBUTES_SAME", attributes.same], ["ATTRIBUTES_DIFFERENT", attributes.different]].filter(([, rows]) => rows.length).map(([title, rows]) => table(say(title), rows)),
    ...(named ? [html("p", { class: "dim" }, say("ATTRIBUTES_TERMS"))] : []));
}

function table(title, rows) {
  const head = [html("th", { scope: "col" }, say("COLUMN_ATTRIBUTE")), html("th", { scope: "col" }, say("COLUMN_WHERE")), ...TERMS.map((term) => html("th", { scope: "col", class: "n" }, say(`COLUMN_${term.toUpperCase()}`)))];
  const body = rows.map((row) => html("tr", {},
    html("th", { scope: "row" }, row.name, " ", html("span", { class: "dim" }, row.group)), html("td", {}, row.where), ...TERMS.map((term) => html("td", { class: "n" }, row[term]))));
  return html("div", { class: "table", tabindex: "0", role: "group", "aria-label": title }, html("table", {}, html("caption", {}, title), html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...body)));
}
