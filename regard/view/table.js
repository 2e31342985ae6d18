// The numbers as tables, which a screen reader can walk.
import { make, seenText, signed, word } from "./dom.js";
import { largest } from "./numbers.js";
import { pathsOf } from "./branches.js";

export function table(shown, tree) {
  const element = make("div", {}, shown ? weightsTable(shown) : null, tree ? treeTable(tree) : null);
  return { element, place() {}, mark() {}, reveal() {}, scene: null };
}

function weightsTable(shown) {
  const head = make("tr", {}, make("td"), ...shown.columns.map((text) => make("th", { scope: "col" }, word(text))),
    shown.sure ? make("th", { scope: "col", class: "sure" }, "probability") : null);
  const body = shown.rows.map((text, row) => make("tr", {}, make("th", { scope: "row" }, word(text)),
    ...shown.columns.map((_, column) => make("td", { class: column === largest(shown, row) ? "most" : "" }, shown.at(row, column).toFixed(3))),
    shown.sure ? make("td", { class: "sure" }, shown.sure[row].toFixed(3)) : null));
  const said = shown.sure ? " The last column is the probability with which the row was said." : "";
  const caption = make("caption", {}, `A row for each part of the output, a column for each part of the source; the largest weight of a row is bold.${said}`);
  return make("table", { dir: shown.rtl ? "rtl" : "ltr", class: "weights" }, caption, make("thead", {}, head), make("tbody", {}, ...body));
}

function treeTable(tree) {
  const titles = ["step", "token", "log-probability", "score", "state", "so far"];
  const paths = pathsOf(tree);
  const body = [...tree.nodes].sort((a, b) => a.step - b.step || b.score - a.score).map((node) => make("tr", { class: node.state },
    make("td", {}, String(node.step)), make("th", { scope: "row" }, word(node.token ?? "")),
    ...[node.log_probability, node.score].map((number) => make("td", {}, Number.isFinite(number) ? signed(number, 3) : "–")),
    make("td", {}, node.state), make("td", { dir: "auto", class: "path" }, paths.get(node.id).map((n) => seenText(n.token ?? "")).join(" "))));
  const caption = make("caption", {}, "What the beam search tried at each step, the best first.");
  return make("table", { class: "tree" }, caption, make("thead", {}, make("tr", {}, ...titles.map((t) => make("th", { scope: "col" }, t)))), make("tbody", {}, ...body));
}
