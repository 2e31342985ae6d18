// Tables above the pictures, and what they rest on: what a comparison of models has measured.
import { make } from "./dom.js";

// data.tables: [{ columns, rows }], cells of text; data.facts: sentences. Nothing where there is no table.
export function report(data) {
  const tables = data.tables ?? [];
  if (!tables.length) return [];
  const drawn = tables.map(({ columns, rows }) =>
    make("table", {},
      make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col", dir: "auto" }, name)))),
      make("tbody", {}, ...rows.map(([first, ...cells]) =>
        make("tr", {}, make("th", { scope: "row", dir: "auto" }, first), ...cells.map((cell) => make("td", { dir: "auto" }, cell)))))));
  const facts = (data.facts ?? []).map((fact) => make("li", { dir: "auto" }, fact));
  return [make("section", { class: "report", "aria-label": "Results", tabIndex: 0 }, ...drawn, make("ul", {}, ...facts))];
}
