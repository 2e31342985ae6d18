// The heat map: a row for each part of the output, a column for each part of the source, on two canvases. The cells
// are painted once; what moves (the pointer, the step, the pick) is painted over them.
import { kindOf, make, seenText, sharpness, sized, word } from "./dom.js";
import { doubted, onTop, rgb } from "./colours.js";
import { largest } from "./numbers.js";
import { shortened, widthOf } from "./scene.js";
import { characters, upright } from "./writing.js";

// Cells of at least so many pixels have room for a figure.
const FIGURES = 30;
const SLANT = 52;

export function heatmap(shown, colours, act) {
  const [T, S] = [shown.rows.length, shown.columns.length];
  const labels = make("div", { class: "rows", "aria-hidden": "true" });
  const headers = make("div", { class: "columns", "aria-hidden": "true" });
  const cells = make("canvas", { "aria-hidden": "true" });
  const over = make("canvas", { role: "img", tabIndex: 0 });
  const field = make("div", { class: "field", dir: "ltr" }, cells, over);
  const grid = make("div", { class: "grid", dir: shown.rtl ? "rtl" : "ltr" }, make("div", { class: "corner" }), headers, labels, field);
  shown.rows.forEach((text, row) => {
    const label = word(text, kindOf(text));
    if (shown.sure) label.style.setProperty("--unsure", doubted(shown.sure[row]).toFixed(3));
    labels.append(label);
  });
  shown.columns.forEach((text) => headers.append(word(text, `${upright(text) ? "upright" : "slant"} ${kindOf(text)}`)));
  const strongest = shown.rows.map((text, row) => `${text}: ${shown.columns[largest(shown, row)]}`).join("; ");
  over.setAttribute("aria-label", `Heat map, ${T} rows of output and ${S} columns of source. Arrow keys read cells, Enter picks one; the table view has all numbers. Strongest: ${strongest}`);
  let size = 24;
  let at = null;
  let picked = null;
  let until = null;
  let draw = null;
  const left = (column) => (shown.rtl ? S - 1 - column : column) * size;

  function place() {
    labels.classList.remove("narrow");
    const free = act.room() - Math.min(250, labels.offsetWidth || 120) - 44;
    size = Math.floor(Math.max(17, Math.min(44, free / S, Math.max(24, (innerHeight * 0.62) / T))));
    // Below a cell of 17 pixels only where no canvas would hold them all.
    size = Math.max(1, Math.floor(Math.min(size, 16000 / Math.max(T, S), Math.sqrt(4e7 / (T * S)))));
    const every = Math.ceil(12 / size);
    const font = Math.max(11, Math.min(15, size * 0.58));
    [...labels.children].forEach((label, row) => {
      const height = size * Math.min(every, T - row);
      const doubt = label.style.getPropertyValue("--unsure");
      label.style.cssText = row % every ? "display:none" : `height:${height}px;line-height:${height}px;font-size:${font}px;--unsure:${doubt || 0}`;
    });
    placeHeaders(every, font);
    grid.classList.toggle("figured", size >= FIGURES);
    const sharp = sharpness(S * size, T * size);
    paintCells(sized(cells, S * size, T * size, sharp));
    draw = sized(over, S * size, T * size, sharp);
    paintOver();
  }

  function placeHeaders(every, font) {
    const boxes = [...headers.children];
    boxes.forEach((label, column) => {
      label.style.fontSize = `${font}px`;
      label.style.visibility = column % every ? "hidden" : "";
    });
    const measures = boxes.map((label) => [label.offsetWidth, label.offsetHeight]);
    let height = 30;
    let beyond = 0;
    boxes.forEach((label, column) => {
      const [w, h] = measures[column];
      const middle = left(column) + size / 2;
      const straight = label.classList.contains("upright");
      const aside = shown.rtl ? -h * 0.28 - w : h * 0.28;
      label.style.left = `${straight ? middle - w / 2 : middle + aside}px`;
      height = Math.max(height, straight ? h + 12 : w * 0.79 + h * 0.62 + 10);
      const end = shown.rtl ? S * size - middle : middle;
      if (!straight) beyond = Math.max(beyond, end + w * 0.62 + h - S * size);
    });
    headers.style.cssText = `height:${height}px;width:${S * size}px`;
    grid.style.paddingInlineEnd = `${Math.max(14, beyond)}px`;
  }

  function paintCells(context) {
    context.clearRect(0, 0, S * size, T * size);
    context.font = `${Math.round(size * 0.34)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const gap = size > 20 ? 1 : size > 4 ? 0.5 : 0;
    for (let t = 0; t < T; t++) {
      for (let s = 0; s < S; s++) {
        const colour = colours.ramp(shown.at(t, s));
        context.fillStyle = rgb(colour);
        context.fillRect(left(s) + gap / 2, t * size + gap / 2, size - gap, size - gap);
        if (size < FIGURES || shown.at(t, s) < 0.005) continue;
        context.fillStyle = onTop(colour);
        context.fillText(String(Math.round(shown.at(t, s) * 100)), left(s) + size / 2, (t + 0.5) * size + 0.5);
      }
    }
    context.strokeStyle = colours.line;
    context.strokeRect(0.5, 0.5, S * size - 1, T * size - 1);
  }

  function paintOver() {
    if (!draw) return;
    draw.clearRect(0, 0, S * size, T * size);
    if (until !== null) veil();
    if (at) {
      draw.fillStyle = `rgba(${colours.tint}, 0.12)`;
      if (at.row !== null) draw.fillRect(0, at.row * size, S * size, size);
      if (at.column !== null) draw.fillRect(left(at.column), 0, size, T * size);
      if (at.row !== null && at.column !== null) frame(at, colours.ink);
    }
    if (picked && picked.row !== null && picked.column !== null) frame(picked, colours.accent);
  }

  // What is not yet said is covered; the row that is being said comes out of it.
  function veil() {
    const row = Math.floor(until);
    draw.fillStyle = colours.paper;
    draw.globalAlpha = 0.9;
    draw.fillRect(0, (row + 1) * size, S * size, (T - row - 1) * size);
    draw.globalAlpha = 0.9 * (1 - Math.min(1, 2.5 * (until - row)));
    draw.fillRect(0, row * size, S * size, size);
    draw.globalAlpha = 1;
    draw.strokeStyle = colours.accent;
    draw.lineWidth = 2;
    if (row < T) draw.strokeRect(1, row * size + 1, S * size - 2, size - 2);
  }

  function frame({ row, column }, colour) {
    draw.strokeStyle = colour;
    draw.lineWidth = 2;
    draw.strokeRect(left(column) + 1, row * size + 1, size - 2, size - 2);
  }

  function mark(next) {
    for (const [boxes, was, is] of [[labels, at?.row, next?.row], [headers, at?.column, next?.column]]) {
      if (was === is) continue;
      boxes.children[was]?.classList.remove("on");
      boxes.children[is]?.classList.add("on");
    }
    at = next;
    paintOver();
  }

  function under(event) {
    const box = over.getBoundingClientRect();
    const [row, across] = [Math.floor((event.clientY - box.top) / size), Math.floor((event.clientX - box.left) / size)];
    return row >= 0 && row < T && across >= 0 && across < S ? { row, column: shown.rtl ? S - 1 - across : across } : null;
  }
  const hover = (event) => under(event) && act.point(under(event), event);
  over.addEventListener("pointermove", hover);
  over.addEventListener("pointerdown", hover);
  over.addEventListener("click", (event) => under(event) && act.pick(under(event)));
  // A finger that is lifted leaves too, but what it touched should stay readable.
  over.addEventListener("pointerleave", (event) => event.pointerType === "touch" || act.point(null));
  over.addEventListener("blur", () => act.point(null));
  over.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at) act.pick(at);
    const turn = shown.rtl ? -1 : 1;
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -turn], ArrowRight: [0, turn], Home: [0, -S], End: [0, S] }[event.key];
    if (!step || !T || !S) return;
    event.preventDefault();
    const begun = at && at.row !== null && at.column !== null;
    const row = begun ? Math.max(0, Math.min(T - 1, at.row + step[0])) : 0;
    const column = begun ? Math.max(0, Math.min(S - 1, at.column + step[1])) : largest(shown, 0);
    act.point({ row, column });
    reveal(row, column);
  });

  // Scrolls the cell out from under the labels that stick to the edges.
  function reveal(row, column) {
    const box = grid.closest(".view");
    if (!box) return;
    const [seen, cell] = [box.getBoundingClientRect(), over.getBoundingClientRect()];
    const [x, y] = [cell.left + left(column), cell.top + row * size];
    const stuck = labels.offsetWidth;
    const [first, last] = shown.rtl ? [seen.left, seen.right - stuck] : [seen.left + stuck, seen.right];
    if (x < first) box.scrollLeft -= first - x;
    if (x + size > last) box.scrollLeft += x + size - last;
    if (y < seen.top + headers.offsetHeight) box.scrollTop -= seen.top + headers.offsetHeight - y;
    if (y + size > seen.bottom) box.scrollTop += y + size - seen.bottom;
  }

  return {
    element: grid, place, mark, scene: () => sceneOf(shown, colours),
    choose: (cell) => ((picked = cell), paintOver()),
    reveal: (step) => ((until = step), paintOver()),
    follow: (row) => reveal(row, at?.column ?? largest(shown, row)),
  };
}

// The same picture for a file: all of it, with its labels, however much of it the window shows.
function sceneOf(shown, colours) {
  const [T, S] = [shown.rows.length, shown.columns.length];
  const size = T * S > 900 ? 20 : 40;
  const font = size === 40 ? 15 : 12;
  const shapes = [];
  const rows = shown.rows.map((text) => shortened(seenText(text), 220, font));
  const heads = shown.columns.map((text) => (upright(text) ? characters(seenText(text)) : shortened(seenText(text), 190, font)));
  const margin = Math.max(...rows.map((text) => widthOf(text, font))) + 24;
  const turned = heads.map((head) => (Array.isArray(head) ? 0 : widthOf(head, font)));
  const high = Math.max(...heads.map((head, i) => (Array.isArray(head) ? head.length * font * 1.2 : turned[i] * 0.79 + font))) + 24;
  const x = (column) => (shown.rtl ? S - 1 - column : column) * size;
  const beyond = Math.max(16, ...turned.map((w, c) => (shown.rtl ? S * size - x(c) : x(c)) + size / 2 + w * 0.62 + font - S * size));
  const [startX, startY] = [shown.rtl ? beyond : margin, high];
  heads.forEach((head, column) => {
    const middle = startX + x(column) + size / 2;
    const looks = { size: font, fill: shown.columns[column] === "</s>" ? colours.soft : colours.ink };
    if (Array.isArray(head)) head.forEach((character, i) => shapes.push({ ...looks, text: character, x: middle, y: startY - 8 - (head.length - 1 - i) * font * 1.2, align: "center" }));
    else shapes.push({ ...looks, text: head, x: middle + (shown.rtl ? -1 : 1) * font * 0.3, y: startY - 8, align: shown.rtl ? "right" : "left", turn: shown.rtl ? SLANT : -SLANT });
  });
  rows.forEach((text, row) => {
    const end = shown.rtl ? startX + S * size + 10 : startX - 10;
    const baseline = startY + (row + 0.5) * size + font * 0.35;
    shapes.push({ text, x: end, y: baseline, size: font, align: shown.rtl ? "left" : "right", fill: shown.rows[row] === "</s>" ? colours.soft : colours.ink });
    if (shown.sure) {
      const wide = widthOf(text, font);
      shapes.push({ rect: [shown.rtl ? end : end - wide, baseline + 3, wide, 2.5], fill: `rgb(${colours.doubt})`, alpha: doubted(shown.sure[row]) });
    }
  });
  for (let t = 0; t < T; t++)
    for (let s = 0; s < S; s++) {
      const [weight, colour] = [shown.at(t, s), colours.ramp(shown.at(t, s))];
      shapes.push({ rect: [startX + x(s) + 0.5, startY + t * size + 0.5, size - 1, size - 1], fill: rgb(colour) });
      if (size < FIGURES || weight < 0.005) continue;
      shapes.push({ text: String(Math.round(weight * 100)), x: startX + x(s) + size / 2, y: startY + (t + 0.5) * size + 5, size: 14, align: "center", fill: onTop(colour) });
    }
  shapes.push({ rect: [startX + 0.5, startY + 0.5, S * size - 1, T * size - 1], stroke: colours.line });
  const legend = legendOf(startX, startY + T * size + 14, size >= FIGURES, Boolean(shown.sure), colours);
  shapes.push(...legend.shapes);
  const width = Math.max(startX + S * size + (shown.rtl ? margin : beyond), startX + legend.width + 16);
  return { width, height: startY + T * size + 40, paper: colours.paper, shapes };
}

// What the page says beside a map, for a file that stands alone: which colour is which weight.
function legendOf(left, top, figured, unsure, colours) {
  const [steps, size, bar] = [22, 12, 110];
  const note = (text, x) => ({ text, x, y: top + 10, size, fill: colours.soft });
  const from = left + widthOf("0", size) + 7;
  const shapes = [note("0", left), note("1", from + bar + 7)];
  for (let i = 0; i < steps; i++) shapes.push({ rect: [from + (i * bar) / steps, top, bar / steps + 0.3, 11], fill: rgb(colours.ramp(i / (steps - 1))) });
  shapes.push({ rect: [from, top, bar, 11], stroke: colours.line });
  let x = from + bar + 7 + widthOf("1", size) + 15;
  if (figured) {
    shapes.push(note("figures in %", x));
    x += widthOf("figures in %", size) + 15;
  }
  if (unsure) {
    shapes.push(note("underlined: in doubt", x), { rect: [x, top + 13, widthOf("underlined", size), 2.5], fill: `rgb(${colours.doubt})`, alpha: 0.9 });
    x += widthOf("underlined: in doubt", size);
  }
  return { shapes, width: x - left };
}
