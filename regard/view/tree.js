// The beam tree: what the search tried, step by step, with the accumulated score under each token.
import { make, seenText, sharpness, signed, sized } from "./dom.js";
import { grown, pathsOf, rowsOf } from "./branches.js";
import { paint, shortened, widthOf } from "./scene.js";
import { rightToLeft } from "./writing.js";

const ROW = 46;
const GAP = 30;
const EDGE = 18;
const WIDEST = 150;

export function treeView(tree, colours, act) {
  const kin = grown(tree);
  const paths = pathsOf(tree);
  const rtl = rightToLeft(tree.nodes.map((node) => node.token ?? ""));
  const drawn = laidOut(tree, kin, rtl);
  const canvas = make("canvas", { role: "img", tabIndex: 0, class: "branches" });
  const final = [...kin.best].map((id) => kin.byId.get(id)).sort((a, b) => a.step - b.step);
  const said = final.map((node) => seenText(node.token ?? "")).join(" ");
  canvas.setAttribute("aria-label", `Beam search, ${tree.nodes.length} nodes. Best path: ${said}. Arrow keys walk from node to node; the table view lists them.`);
  const element = make("div", { class: "tree", dir: rtl ? "rtl" : "ltr" }, canvas);
  let at = null;
  let until = null;

  function repaint() {
    const draw = sized(canvas, drawn.width, drawn.height, sharpness(drawn.width, drawn.height));
    paint(draw, { shapes: shapesOf(drawn, kin, colours, new Set(at === null ? [] : paths.get(at).map((n) => n.id)), at, until) });
  }

  function point(id, event) {
    if (id !== at) {
      at = id;
      repaint();
    }
    act.tell(id === null ? null : parts(kin.byId.get(id)), event);
  }

  const parts = (node) => [
    make("b", { dir: "auto" }, seenText(node.token ?? "")), ` · log-probability ${Number.isFinite(node.log_probability) ? signed(node.log_probability) : "–"}`,
    ` · score ${Number.isFinite(node.score) ? signed(node.score) : "–"} · step ${node.step} · ${node.state}`,
  ];

  const hit = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return drawn.places.find((p) => x >= p.x - 6 && x <= p.x + p.width + 6 && y >= p.y - ROW / 2 && y < p.y + ROW / 2)?.node.id ?? null;
  };
  canvas.addEventListener("pointermove", (event) => point(hit(event), event));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "touch" || point(null));
  canvas.addEventListener("blur", () => point(null));
  canvas.addEventListener("click", (event) => {
    const id = hit(event);
    point(id, event);
    if (id !== null) act.pick(kin.byId.get(id), paths.get(id));
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at !== null) act.pick(kin.byId.get(at), paths.get(at));
    if (!/^Arrow/.test(event.key) || !drawn.places.length) return;
    event.preventDefault();
    point(at === null ? drawn.places[0].node.id : walked(event.key));
    const place = drawn.of.get(at);
    const view = canvas.closest(".view");
    view?.scrollTo({ left: place.x - view.clientWidth / 2 - (rtl ? drawn.width - view.clientWidth : 0), top: place.y - view.clientHeight / 2 });
  });

  function walked(key) {
    const node = kin.byId.get(at);
    if (key === (rtl ? "ArrowLeft" : "ArrowRight")) return kin.children.get(at)[0]?.id ?? at;
    if (key === (rtl ? "ArrowRight" : "ArrowLeft")) return kin.byId.has(node.parent) ? node.parent : at;
    const column = drawn.places.filter((place) => place.node.step === node.step).sort((a, b) => a.y - b.y);
    const next = column.findIndex((place) => place.node.id === at) + (key === "ArrowDown" ? 1 : -1);
    return (column[next] ?? drawn.of.get(at)).node.id;
  }

  const scene = () => ({ width: drawn.width, height: drawn.height, paper: colours.paper, shapes: shapesOf(drawn, kin, colours, new Set(), null, null) });
  return { element, place: repaint, mark() {}, scene, reveal: (step) => ((until = step), repaint()) };
}

function laidOut(tree, kin, rtl) {
  const row = rowsOf(kin);
  const steps = [...new Set(tree.nodes.map((node) => node.step))].sort((a, b) => a - b);
  const label = (node) => shortened(seenText(node.token ?? ""), WIDEST, 14, 600);
  const wide = (node) => Math.max(widthOf(label(node), 14, 600), widthOf(signed(node.score ?? 0), 11)) + 14;
  const left = new Map();
  let x = EDGE;
  for (const step of steps) {
    left.set(step, x);
    x += Math.max(...tree.nodes.filter((node) => node.step === step).map(wide)) + GAP;
  }
  const width = x - GAP + EDGE;
  const places = tree.nodes.map((node) => {
    const from = rtl ? width - left.get(node.step) - wide(node) : left.get(node.step);
    return { node, label: label(node), x: from, width: wide(node), y: EDGE + ROW * (row.get(node.id) + 0.5) };
  }).sort((a, b) => a.node.step - b.node.step || a.y - b.y);
  const height = 2 * EDGE + ROW * (1 + Math.max(0, ...row.values()));
  return { width: Math.max(width, 2 * EDGE), height, places, of: new Map(places.map((place) => [place.node.id, place])), rtl };
}

function shapesOf(drawn, kin, colours, path, at, until) {
  const lines = [];
  const nodes = [];
  for (const { node, label, x, y, width } of drawn.places) {
    if (until !== null && node.step - drawn.places[0].node.step > until) continue;
    const best = kin.best.has(node.id);
    const lit = best || path.has(node.id);
    const pale = node.state === "pruned" && !path.has(node.id);
    const from = drawn.of.get(node.parent);
    if (from) lines.push({ path: edge(from, { x, y, width }, drawn.rtl), stroke: lit ? colours.accent : colours.soft, line: best ? 2.5 : lit ? 1.75 : 1, alpha: pale ? 0.4 : lit ? 1 : 0.75, order: lit ? 1 : 0 });
    const centre = x + width / 2;
    nodes.push({ rect: [x, y - 18, width, 36], round: 7, fill: best ? `rgba(${colours.tint}, 0.13)` : colours.paper, stroke: node.id === at ? colours.ink : undefined, line: 2 });
    if (node.state === "finished" && !best) nodes.push({ rect: [x, y - 18, width, 36], round: 7, stroke: colours.line });
    nodes.push({ text: label, x: centre, y: y - 1, size: 14, align: "center", weight: best ? 650 : 400, fill: pale ? colours.soft : best ? colours.accent : colours.ink });
    if (Number.isFinite(node.score)) nodes.push({ text: signed(node.score), x: centre, y: y + 13, size: 11, align: "center", fill: colours.soft });
  }
  return [...lines.sort((a, b) => a.order - b.order), ...nodes];
}

function edge(from, to, rtl) {
  const [x1, x2] = rtl ? [from.x, to.x + to.width] : [from.x + from.width, to.x];
  // The turn lies in the gap before the child, where no word stands.
  const turn = (rtl ? 1 : -1) * (GAP - 6);
  return `M${x1} ${from.y}H${x2 + turn}C${x2 + turn / 3} ${from.y} ${x2 + (2 * turn) / 3} ${to.y} ${x2} ${to.y}`;
}
