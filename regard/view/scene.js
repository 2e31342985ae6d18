// A picture as a list of shapes, which is painted on a canvas, written as SVG or saved as PNG: three times the same.
// Shapes: { rect: [x, y, width, height], fill, stroke, line, round }, { path: SVG path data, stroke, line, alpha, fill }
// and { text, x, y, size, fill, align: left | center | right, turn: degrees, weight, rtl, alpha }.
import { characters, rightToLeft } from "./writing.js";

const FAMILY = 'system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Noto Sans Arabic", sans-serif';
const font = (size, weight = 400) => `${weight} ${size}px ${FAMILY}`;
const ruler = document.createElement("canvas").getContext("2d");

export function widthOf(text, size, weight) {
  ruler.font = font(size, weight);
  return ruler.measureText(text).width;
}

// At most so many pixels, with "…" where something is missing; never through a character and its marks.
export function shortened(text, most, size, weight) {
  if (widthOf(text, size, weight) <= most) return text;
  const parts = characters(text);
  while (parts.length && widthOf(`${parts.join("")}…`, size, weight) > most) parts.pop();
  return `${parts.join("")}…`;
}

export function paint(draw, scene) {
  for (const shape of scene.shapes) {
    draw.save();
    draw.globalAlpha = shape.alpha ?? 1;
    draw.lineWidth = shape.line ?? 1;
    if (shape.fill) draw.fillStyle = shape.fill;
    if (shape.stroke) draw.strokeStyle = shape.stroke;
    if (shape.text !== undefined) paintText(draw, shape);
    else {
      const path = new Path2D(shape.path);
      if (shape.rect) path.roundRect(...shape.rect, shape.round ?? 0);
      draw.lineCap = "round";
      if (shape.fill) draw.fill(path);
      if (shape.stroke) draw.stroke(path);
    }
    draw.restore();
  }
}

function paintText(draw, { text, x, y, size, align = "left", turn = 0, weight }) {
  draw.font = font(size, weight);
  draw.direction = rightToLeft([text]) ? "rtl" : "ltr";
  draw.textAlign = align;
  draw.textBaseline = "alphabetic";
  draw.translate(x, y);
  draw.rotate((turn * Math.PI) / 180);
  draw.fillText(text, 0, 0);
}

// XML knows no control characters and no half of a pair, and shows none either.
const SPOILED = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;
const escaped = (text) => String(text).replace(SPOILED, "\ufffd")
  .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const short = (number) => String(Math.round(number * 100) / 100);

export function svgOf(scene, title) {
  const [width, height] = [Math.ceil(scene.width), Math.ceil(scene.height)];
  const element = (tag, attributes, text = "") => {
    const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
    const opening = `<${tag}${given.map(([name, value]) => ` ${name}="${escaped(value)}"`).join("")}`;
    return text === "" ? `${opening}/>` : `${opening}>${escaped(text)}</${tag}>`;
  };
  const written = scene.shapes.map((shape) => {
    const looks = {
      fill: shape.fill ?? "none", stroke: shape.stroke, "stroke-width": shape.stroke && short(shape.line ?? 1),
      "stroke-linecap": shape.path && "round", opacity: shape.alpha === undefined ? undefined : short(shape.alpha),
    };
    if (shape.text !== undefined) return element("text", { ...placed(shape), ...looks }, shape.text);
    if (shape.path) return element("path", { d: shape.path, ...looks });
    const [x, y, w, h] = shape.rect.map(short);
    return element("rect", { x, y, width: w, height: h, rx: shape.round, ...looks });
  });
  const head = { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" };
  const opening = element("svg", { ...head, "font-family": FAMILY }).replace("/>", ">");
  const paper = element("rect", { width: "100%", height: "100%", fill: scene.paper });
  return [opening, element("title", {}, title || "Attention"), paper, ...written, "</svg>", ""].join("\n");
}

function placed({ text, x, y, size, align = "left", turn = 0, weight }) {
  const rtl = rightToLeft([text]);
  // An anchor is a side of reading, not of the page.
  const anchor = { left: rtl ? "end" : "start", right: rtl ? "start" : "end", center: "middle" }[align];
  return {
    x: short(x), y: short(y), "font-size": short(size), "font-weight": weight, "text-anchor": anchor,
    direction: rtl ? "rtl" : undefined, transform: turn ? `rotate(${turn} ${short(x)} ${short(y)})` : undefined,
  };
}

export function pngOf(scene) {
  const canvas = document.createElement("canvas");
  const scale = Math.min(2, 16000 / Math.max(scene.width, scene.height), Math.sqrt(4e7 / (scene.width * scene.height)));
  canvas.width = Math.ceil(scene.width * scale);
  canvas.height = Math.ceil(scene.height * scale);
  const draw = canvas.getContext("2d");
  draw.fillStyle = scene.paper;
  draw.fillRect(0, 0, canvas.width, canvas.height);
  draw.scale(scale, scale);
  paint(draw, scene);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export function saved(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
