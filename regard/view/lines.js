// Lines between two columns of words: the source at the start of reading, the output opposite.
import { kindOf, make, seenText, sharpness, sized, word } from "./dom.js";
import { doubted } from "./colours.js";
import { largest, largestRow } from "./numbers.js";
import { shortened, widthOf } from "./scene.js";

// Weights below this are no line, or an even row would be a curtain.
const LEAST = 0.02;

export function lines(shown, colours, act) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const column = (name, texts, kind) => make("div", { class: `side ${kind}` }, make("div", { class: "heading" }, name), ...texts.map((text) => word(text, kindOf(text))));
  const [near, far] = [column("source", shown.columns, "near"), column("output", shown.rows, "far")];
  const element = make("div", { class: "lines", dir: shown.rtl ? "rtl" : "ltr", role: "group", "aria-label": "Lines between source and output. The table view has all numbers." }, canvas, near, far);
  const [sources, outputs] = [near, far].map((box) => [...box.querySelectorAll("span")]);
  const strong = [];
  shown.rows.forEach((_, row) => shown.columns.forEach((_, s) => shown.at(row, s) >= LEAST && strong.push({ row, column: s, weight: shown.at(row, s) })));
  // The strong ones over the weak ones.
  strong.sort((a, b) => a.weight - b.weight);
  let at = null;
  let until = null;
  let draw = null;
  let ends = null;

  function place() {
    const origin = element.getBoundingClientRect();
    const middle = (box) => (box.top + box.bottom) / 2 - origin.top;
    const boxes = (spans) => spans.map((span) => span.getBoundingClientRect());
    const inner = (box, start) => (start === shown.rtl ? box.left - 3 : box.right + 3) - origin.left;
    ends = {
      from: boxes(sources).map((box) => [inner(box, true), middle(box)]),
      to: boxes(outputs).map((box) => [inner(box, false), middle(box)]),
    };
    draw = sized(canvas, element.clientWidth, element.clientHeight, sharpness(element.clientWidth, element.clientHeight));
    repaint();
  }

  function repaint() {
    if (!draw) return;
    draw.clearRect(0, 0, element.clientWidth, element.clientHeight);
    draw.strokeStyle = colours.accent;
    draw.lineCap = "round";
    for (const line of strong) {
      draw.globalAlpha = alphaOf(line);
      draw.lineWidth = thick(line.weight);
      if (draw.globalAlpha > 0) draw.stroke(new Path2D(bend(...ends.from[line.column], ...ends.to[line.row])));
    }
  }

  function alphaOf({ row, column, weight }) {
    const base = Math.sqrt(weight);
    if (at) return mine(row, column) ? Math.min(1, base + 0.1) : 0.04;
    if (until === null) return Math.max(0, base - 0.08);
    if (row > until) return 0;
    return row === Math.floor(until) ? Math.min(1, base + 0.1) * Math.min(1, 2.5 * (until - row) + 0.1) : 0.3 * base;
  }
  const mine = (row, column) => (at.row === null || at.row === row) && (at.column === null || at.column === column);

  function mark(next) {
    // Here a word is pointed at, and its strongest partner is only told.
    at = next && (next.by === "column" ? { row: null, column: next.column } : { row: next.row, column: null });
    const tint = (spans, weightOf, chosen) => spans.forEach((span, i) => {
      span.classList.toggle("on", i === chosen);
      span.style.background = !at || i === chosen ? "" : `rgba(${colours.tint}, ${(0.55 * weightOf(i)).toFixed(3)})`;
    });
    tint(sources, (s) => (at.row === null ? 0 : shown.at(at.row, s)), at?.column ?? null);
    tint(outputs, (r) => (at.column === null ? 0 : shown.at(r, at.column)), at?.row ?? null);
    repaint();
  }

  const listen = (span, cell) => {
    span.tabIndex = 0;
    span.setAttribute("role", "button");
    for (const name of ["pointerenter", "focus"]) span.addEventListener(name, () => act.point(cell()));
    for (const name of ["pointerleave", "blur"]) span.addEventListener(name, () => act.point(null));
    span.addEventListener("click", () => act.pick(cell()));
    span.addEventListener("keydown", (event) => {
      if (event.key === "Enter") act.pick(cell());
      const spans = [...span.parentElement.querySelectorAll("span")];
      const next = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const across = /^Arrow(Left|Right)$/.test(event.key) ? (spans === sources || sources.includes(span) ? outputs[largestRow(shown, sources.indexOf(span))] : sources[largest(shown, outputs.indexOf(span))]) : null;
      const target = next ? spans[spans.indexOf(span) + next] : across;
      if (next || across) event.preventDefault();
      target?.focus();
    });
  };
  outputs.forEach((span, row) => {
    if (shown.sure) span.style.setProperty("--unsure", doubted(shown.sure[row]).toFixed(3));
    listen(span, () => ({ row, column: largest(shown, row), by: "row" }));
  });
  sources.forEach((span, s) => listen(span, () => ({ row: largestRow(shown, s), column: s, by: "column" })));

  function reveal(step) {
    until = step;
    outputs.forEach((span, row) => {
      span.classList.toggle("unsaid", step !== null && row > step);
      span.classList.toggle("now", step !== null && row === Math.floor(step));
    });
    repaint();
  }

  return { element, place, mark, reveal, scene: () => linesScene(shown, colours, strong), follow: (row) => outputs[row]?.scrollIntoView({ block: "nearest", inline: "nearest" }) };
}

const thick = (weight) => 0.6 + 4.4 * weight;

function bend(x1, y1, x2, y2) {
  const middle = (x1 + x2) / 2;
  return `M${x1.toFixed(1)} ${y1.toFixed(1)}C${middle.toFixed(1)} ${y1.toFixed(1)} ${middle.toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
}

function linesScene(shown, colours, strong) {
  const [font, step, between] = [15, 30, 300];
  const name = (text) => shortened(seenText(text), 220, font);
  const [sources, outputs] = [shown.columns.map(name), shown.rows.map(name)];
  const wide = (texts) => Math.max(...texts.map((text) => widthOf(text, font)));
  const long = Math.max(sources.length, outputs.length);
  const height = 40 + long * step;
  const y = (i, count) => 20 + (long * step * (i + 0.5)) / count;
  const [first, second] = shown.rtl ? [wide(outputs), wide(sources)] : [wide(sources), wide(outputs)];
  const [x1, x2] = [24 + first, 24 + first + between];
  const [from, to] = shown.rtl ? [x2, x1] : [x1, x2];
  const inward = shown.rtl ? -8 : 8;
  const shapes = strong.map(({ row, column, weight }) => ({
    path: bend(from + inward, y(column, sources.length), to - inward, y(row, outputs.length)),
    stroke: colours.accent, line: thick(weight), alpha: Math.max(0, Math.sqrt(weight) - 0.08),
  }));
  const column = (texts, all, x) => texts.forEach((text, i) => shapes.push({
    text, x, y: y(i, texts.length) + 5, size: font, align: x === x1 ? "right" : "left", fill: all[i] === "</s>" ? colours.soft : colours.ink,
  }));
  column(sources, shown.columns, from);
  column(outputs, shown.rows, to);
  return { width: x2 + second + 24, height, paper: colours.paper, shapes };
}
