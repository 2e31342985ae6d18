// Source and output as people read them. Words can be pointed at, and what was said in doubt is underlined.
import { make, signed } from "./dom.js";
import { doubted } from "./colours.js";
import { largest, largestRow } from "./numbers.js";
import { located } from "./writing.js";

export function sentences(item, said, shown, act) {
  const label = item.label ? ` of ${item.label}` : "";
  const score = Number.isFinite(said.score) ? ` · log-probability ${signed(said.score)}` : "";
  const [source, columns] = spanned(item.source ?? "", shown?.columns);
  const [output, rows] = spanned(said.output ?? "", shown?.rows);
  const column = (text, s) => text && listen(text, () => ({ row: largestRow(shown, s), column: s, by: "column" }));
  columns.forEach(column);
  rows.forEach((text, row) => {
    if (!text) return;
    if (shown.sure) text.style.setProperty("--unsure", doubted(shown.sure[row]).toFixed(3));
    listen(text, () => ({ row, column: largest(shown, row), by: "row" }));
  });
  function listen(text, cell) {
    text.addEventListener("pointerenter", () => act.point(cell()));
    text.addEventListener("pointerleave", () => act.point(null));
    text.addEventListener("click", () => act.pick(cell()));
  }
  const element = make("dl", { class: "pair" },
    make("div", {}, make("dt", {}, "source"), make("dd", { dir: "auto" }, ...source)),
    make("div", {}, make("dt", {}, `output${label}${score}`), make("dd", { dir: "auto" }, ...output)));

  // Both sides of one step: the word, and what it looks at.
  function mark(at, tint) {
    const [row, s] = [at?.by === "column" ? null : at?.row ?? null, at?.by === "row" ? null : at?.column ?? null];
    const shade = (texts, chosen, weightOf) => texts.forEach((text, i) => {
      if (!text) return;
      text.classList.toggle("on", i === chosen);
      const weight = at && i !== chosen ? weightOf(i) : 0;
      text.style.backgroundColor = weight > 0.02 ? `rgba(${tint}, ${(0.5 * weight).toFixed(3)})` : "";
    });
    shade(columns, s, (i) => (row === null ? 0 : shown.at(row, i)));
    shade(rows, row, (i) => (s === null || row !== null ? 0 : shown.at(i, s)));
  }

  function reveal(step) {
    rows.forEach((text, row) => text?.classList.toggle("unsaid", step !== null && row > step));
  }
  return { element, mark, reveal };
}

// The text as nodes, and for each word its span, or nothing where the words are not to be found in it.
function spanned(text, words) {
  const places = words ? located(text, words) : null;
  if (!places) return [[text], []];
  const nodes = [];
  let from = 0;
  const spans = places.map((place) => {
    if (!place) return null;
    const span = make("span", { class: "word" }, text.slice(...place));
    nodes.push(text.slice(from, place[0]), span);
    from = place[1];
    return span;
  });
  return [[...nodes, text.slice(from)], spans];
}
