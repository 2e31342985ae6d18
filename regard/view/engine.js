// The picture engine: draws attention maps into an element. One function is public, show(root, data, options).
//   data     { title, items: [{ source, output, score, attention, label, log_probabilities, nbest, tree }] }, where attention is
//            AttentionMap.to_json(), packed or not, and all but the first three may be missing or null. With
//            tables: [{ columns, rows }] and facts: [text], those stand above the pictures.
//   options  onpick({ item, row, column, layer, head, words, by }) when a cell or a word is chosen by click or Enter;
//            onnode({ item, node, path }) when a node of the beam tree is; theme: "light" or "dark" instead of a button.
// It returns { update(items), destroy(), svg() }.
import { make, seenText, signed, word } from "./dom.js";
import { coloursOf, rgb } from "./colours.js";
import { heads, pixelOf } from "./heads.js";
import { heatmap } from "./heatmap.js";
import { lines } from "./lines.js";
import { opened, sureness, tokensOf, wordsOf } from "./numbers.js";
import { pngOf, saved, svgOf } from "./scene.js";
import { sentences } from "./sentences.js";
import { player } from "./steps.js";
import { report } from "./report.js";
import { table } from "./table.js";
import { treeView } from "./tree.js";

const VIEWS = { map: "Heat map", lines: "Lines", tree: "Beam", table: "Table" };

export function show(root, data, options = {}) {
  const state = { item: 0, said: 0, view: "map", words: true, layer: null, head: null, theme: options.theme ?? null, picked: null };
  let items = data.items;
  let unpacked = new WeakMap();
  let open = [innerWidth, innerHeight];
  let now = null; // what is on the page: { item, said, map, shown, picture, sentence, overview, colours }
  const ended = new AbortController();
  const system = matchMedia("(prefers-color-scheme: dark)");
  if (root === document.body) root.classList.add("regard-body");

  // These stay as long as the page does; what is in them changes.
  const whole = make("div", { class: "regard" });
  const themeButton = make("button", { type: "button", onclick: () => turn(whole.dataset.theme === "dark" ? "light" : "dark") });
  const top = make("header", { class: data.title ? "top" : "top bare" }, data.title ? make("h1", { dir: "auto" }, data.title) : null, options.theme ? null : themeButton);
  const nav = make("nav", { "aria-label": "Predictions" });
  const [pairs, nbest, tools, empty] = [make("div"), make("div"), make("div", { class: "tools" }), make("p", { class: "empty" })];
  const frame = make("div", { class: "view" });
  const readout = make("div", { class: "readout", role: "status" });
  const [legend, files, strips, keysLine] = [make("span", { class: "legend" }), make("span", { class: "files" }), make("div", { class: "strips" }), make("p", { class: "keys" })];
  const steps = player((until, playing) => reveal(until, playing));
  const seen = make("div", { class: "seen" }, frame, make("div", { class: "under" }, legend, steps.element, files), readout);
  const stage = make("div", { class: "stage" }, seen, strips);
  const main = make("main", {}, pairs, nbest, tools, empty, stage, keysLine);
  const split = make("div", { class: "split" }, nav, main);
  const tip = make("div", { class: "tip", hidden: true });
  whole.append(top, ...report(data), split, tip);
  root.append(whole);
  files.append(...[["SVG", saveSvg], ["PNG", savePng]].map(([name, act]) => make("button", { type: "button", "aria-label": `Save the picture as ${name}`, title: `Save the picture as ${name}`, onclick: act }, name)));

  // A part is built anew only when its key changes: a button must not vanish while it is pressed.
  const keys = new Map();
  function part(box, key, build) {
    const text = JSON.stringify(key);
    if (keys.get(box) === text) return;
    const held = [...box.querySelectorAll("button, select")].indexOf(document.activeElement);
    keys.set(box, text);
    box.replaceChildren(...build().filter((child) => child !== null));
    if (held >= 0) box.querySelectorAll("button, select")[held]?.focus({ preventScroll: true });
  }

  function turn(theme) {
    state.theme = theme;
    whole.dataset.theme = theme ?? (system.matches ? "dark" : "light");
    const next = whole.dataset.theme === "dark" ? "Light" : "Dark";
    themeButton.textContent = next;
    themeButton.setAttribute("aria-label", `${next} colours`);
    if (root === document.body) root.style.background = getComputedStyle(whole).getPropertyValue("--paper");
    render();
  }

  function go(number) {
    Object.assign(state, { item: Math.max(0, Math.min(items.length - 1, number)), said: 0, picked: null });
    steps.stop();
    render();
    nav.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
  }

  function set(changes) {
    Object.assign(state, changes);
    if ("words" in changes || "said" in changes) state.picked = null;
    render();
  }

  // ---------------------------------------------------------------- drawing

  function render() {
    const many = items.length > 1;
    split.classList.toggle("many", many);
    nav.hidden = !many;
    part(nav, [many, ...items.map((item) => [item.label, textOf(item, "source"), textOf(item, "output")])], () => (many ? list() : []));
    [...nav.querySelectorAll("li button")].forEach((button, i) => button.setAttribute("aria-current", String(i === state.item)));
    state.item = Math.max(0, Math.min(state.item, items.length - 1));
    const item = items[state.item];
    const ways = item ? waysOf(item) : [];
    if (state.said >= ways.length) state.said = 0;
    const said = ways[state.said];
    const map = said?.attention ? mapOf(said.attention) : null;
    if (map && state.layer !== null && state.layer >= map.L) state.layer = null;
    if (map && state.head !== null && state.head >= map.H) state.head = null;
    const scroll = [frame.scrollLeft, frame.scrollTop];
    const shown = map && (state.words ? wordsOf : tokensOf)(map, state.layer, state.head);
    if (shown) shown.sure = sureness(map, said.log_probabilities, state.words);
    now = { item, said, map, shown, colours: coloursOf(whole), picture: null, sentence: null, overview: now?.overview };
    tip.hidden = true;
    writeSentences(ways);
    const drawable = shown && shown.rows.length > 0 && shown.columns.length > 0;
    const views = Object.keys(VIEWS).filter((view) => (view === "tree" ? item?.tree?.nodes?.length : view === "table" ? drawable || item?.tree : drawable));
    const view = views.includes(state.view) ? state.view : views[0];
    part(tools, [views, view, state.words, state.layer, state.head, map?.L, map?.H, map?.layers, splits(map)], () => controls(views, view, map));
    empty.textContent = !item ? "There are no predictions." : drawable || views.length ? "" : map ? "The source or the output is empty." : "There is no attention to show for this prediction.";
    stage.hidden = keysLine.hidden = tools.hidden = !views.length;
    if (views.length) draw(view, drawable);
    [frame.scrollLeft, frame.scrollTop] = scroll;
  }

  function draw(view, drawable) {
    const { item, map, shown, colours } = now;
    const act = { point, pick, room: () => main.clientWidth, tell: (parts, event) => told(parts, event) };
    const focused = frame.contains(document.activeElement);
    if (view === "map") now.picture = heatmap(shown, colours, act);
    else if (view === "lines") now.picture = lines(shown, colours, act);
    else if (view === "tree") now.picture = treeView(item.tree, colours, { tell: act.tell, pick: pickNode });
    else now.picture = table(drawable ? shown : null, item.tree);
    frame.replaceChildren(now.picture.element);
    frame.dir = drawable && shown.rtl && view !== "tree" ? "rtl" : "ltr";
    seen.className = `seen of-${view}`;
    now.picture.place();
    now.picture.choose?.(state.picked);
    if (focused) frame.querySelector("[tabindex]")?.focus({ preventScroll: true });
    part(legend, [view, whole.dataset.theme, Boolean(shown?.sure)], () => legendOf(view));
    files.hidden = !now.picture.scene;
    const stripped = drawable && map.L * map.H > 1 && view !== "tree";
    part(strips, [stripped, stripped && [map.L, map.H, map.layers, state.layer, state.head, pixelOf(map)]], () => {
      now.overview = stripped ? heads(map, state, (layer, head) => set({ layer, head })) : null;
      return stripped ? [now.overview.element] : [];
    });
    now.overview?.repaint(map, colours);
    steps.element.hidden = view === "table";
    steps.resize(view === "tree" ? depth(item.tree) : shown?.rows.length ?? 0);
    part(keysLine, [view, items.length > 1, map ? map.L * map.H > 1 : false], () => hint(view, map));
  }

  function writeSentences(ways) {
    const { item, said, shown } = now;
    const readable = item && (item.source ?? item.output ?? null) !== null;
    now.sentence = readable ? sentences(item, said, shown, { point, pick }) : null;
    pairs.replaceChildren(...(readable ? [now.sentence.element] : []));
    part(nbest, [state.said, state.item, ways.map((way) => [way.output, way.score])], () => (ways.length > 1 ? [alternatives(ways)] : []));
  }

  function mapOf(attention) {
    if (!unpacked.has(attention)) unpacked.set(attention, opened(attention));
    return unpacked.get(attention);
  }

  // ---------------------------------------------------------------- what is pointed at, chosen, or being said

  function point(at, event) {
    if (!now) return; // what is taken away loses the focus, and says so
    const { shown, sentence, picture, colours } = now;
    picture?.mark(at);
    sentence?.mark(at, colours.tint);
    told(at && cellParts(shown, at), event);
  }

  function cellParts(shown, { row, column }) {
    const said = shown.sure ? ` · said with probability ${shown.sure[row].toFixed(2)}` : "";
    return [word(shown.rows[row]), " ← ", word(shown.columns[column]), make("b", {}, ` ${shown.at(row, column).toFixed(3)}`), said];
  }

  function pick(at) {
    state.picked = at;
    now.picture?.choose?.(at);
    const by = at.by ?? "cell";
    options.onpick?.({ item: state.item, row: at.row, column: at.column, layer: state.layer, head: state.head, words: state.words, by });
  }

  function pickNode(node, path) {
    options.onnode?.({ item: state.item, node, path });
  }

  function told(parts, event) {
    if (!now) return;
    readout.replaceChildren(...(parts ?? []));
    tip.hidden = !parts || !event || event.pointerType === "touch";
    if (tip.hidden) return;
    tip.replaceChildren(...parts.map((each) => (each instanceof Node ? each.cloneNode(true) : each)));
    // On the side where there is more room: to measure anything here would lay out the page at every move.
    const [{ clientX: x, clientY: y }, [wide, high]] = [event, open];
    tip.style.inset = `${y < high / 2 ? `${y + 16}px` : "auto"} ${x < wide / 2 ? "auto" : `${wide - x + 14}px`} ${y < high / 2 ? "auto" : `${high - y + 14}px`} ${x < wide / 2 ? `${x + 16}px` : "auto"}`;
  }

  function reveal(until, playing) {
    if (!now?.picture) return;
    const { picture, sentence, shown, overview, map, colours } = now;
    const row = until === null ? null : Math.min(Math.floor(until), (shown?.rows.length ?? 0) - 1);
    picture.reveal(until);
    sentence?.reveal(until);
    // A reader of the screen is told of a step that was chosen, not of each one that passes.
    readout.setAttribute("aria-live", playing ? "off" : "polite");
    if (row === reveal.row && playing) return;
    reveal.row = row;
    if (!shown || row === null || row < 0) {
      overview?.reveal(null);
      sentence?.mark(null);
      if (!playing) readout.replaceChildren();
      return;
    }
    const tokens = state.words ? map.target_word_of.flatMap((w, t) => (w === row ? [t] : [])) : [row];
    overview?.reveal(tokens.length ? [tokens[0], tokens.at(-1) + 1] : null);
    let column = 0;
    for (let c = 1; c < shown.columns.length; c++) if (shown.at(row, c) > shown.at(row, column)) column = c;
    sentence?.mark({ row, column, by: "row" }, colours.tint);
    readout.replaceChildren(`${row + 1} of ${shown.rows.length} · `, ...cellParts(shown, { row, column }));
    picture.follow?.(row);
  }

  // ---------------------------------------------------------------- controls

  function list() {
    const entries = items.map((item, i) => make("li", {}, make("button", { type: "button", onclick: () => go(i) },
      item.label ? make("span", { class: "label" }, item.label) : null,
      make("span", { dir: "auto" }, textOf(item, "source") || "∅"), make("span", { dir: "auto", class: "said" }, textOf(item, "output") || "∅"))));
    const find = make("input", {
      type: "search", placeholder: "Find", "aria-label": "Find in source and output", oninput: () => {
        const wanted = find.value.toLowerCase();
        entries.forEach((entry) => (entry.hidden = !entry.textContent.toLowerCase().includes(wanted)));
      },
    });
    return [...(items.length > 8 ? [find] : []), make("ol", {}, ...entries)];
  }

  function alternatives(ways) {
    const entries = ways.map((way, i) => make("li", {}, make("button", { type: "button", "aria-pressed": String(i === state.said), onclick: () => set({ said: i }) },
      make("span", { class: "score" }, Number.isFinite(way.score) ? signed(way.score) : "–"), make("span", { dir: "auto", class: "text" }, seenText(way.output ?? "")))));
    return make("ol", { class: "nbest", "aria-label": "Outputs, the best first" }, ...entries);
  }

  function controls(views, view, map) {
    return [
      choice("View", views.map((key) => [key, VIEWS[key]]), view, (key) => set({ view: key })),
      splits(map) && view !== "tree" ? choice("Units", [[true, "Words"], [false, "Tokens"]], state.words, (words) => set({ words })) : null,
      ...(map && view !== "tree" ? [picker("Layer", map.layers, state.layer, (layer) => set({ layer })), picker("Head", [...Array(map.H).keys()].map((h) => String(h + 1)), state.head, (head) => set({ head }))] : []),
    ];
  }

  function choice(name, choices, value, take) {
    return make("div", { class: "choice", role: "group", "aria-label": name }, ...choices.map(([key, text]) =>
      make("button", { type: "button", "aria-pressed": String(key === value), onclick: () => take(key) }, text)));
  }

  function picker(name, texts, value, take) {
    if (texts.length < 2) return null;
    const box = make("select", { "aria-label": name, onchange: () => take(box.value === "" ? null : Number(box.value)) },
      make("option", { value: "" }, "mean"), ...texts.map((text, i) => make("option", { value: String(i) }, text)));
    box.value = value === null ? "" : String(value);
    return make("label", {}, name, box);
  }

  function legendOf(view) {
    const note = (kind, ...text) => make("span", { class: kind }, ...text);
    const sure = now.shown?.sure ? note("doubt", make("u", {}, "underlined"), " in doubt") : null;
    if (view === "tree") return [note("", make("b", { class: "best" }, "best path"), " · ", make("span", { class: "kept" }, "kept"), " · pruned · score below each token")];
    if (view !== "map") return [sure];
    const bar = make("i");
    bar.style.background = `linear-gradient(to right, ${[...Array(21).keys()].map((i) => rgb(now.colours.ramp(i / 20))).join(",")})`;
    return ["0", bar, make("span", {}, "1"), note("figures", "figures in %"), sure];
  }

  function hint(view, map) {
    const key = (text) => make("kbd", {}, text);
    return [key("←↑↓→"), view === "lines" ? " from word to word · " : view === "tree" ? " in the tree · " : " in the map · ", key("Enter"), " pick · ", ...(items.length > 1 ? [key("n"), " ", key("p"), " next, previous · "] : []),
      key("v"), " view · ", key("w"), " words or tokens · ", ...(map && map.L * map.H > 1 ? [key("l"), " ", key("h"), " layer, head · "] : []), key("k"), " play · ", key(","), " ", key("."), " step"];
  }

  function keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.target.isContentEditable) return;
    if (!items.length || (root !== document.body && !whole.contains(event.target))) return;
    const { map } = now;
    const views = [...tools.querySelectorAll('[aria-label="View"] button')];
    const next = (value, size) => (value === null ? 0 : value + 1 < size ? value + 1 : null);
    const act = {
      n: () => go(state.item + 1),
      p: () => go(state.item - 1),
      b: () => set({ said: (state.said + 1) % waysOf(now.item).length }),
      w: () => splits(map) && set({ words: !state.words }),
      v: () => views[(views.findIndex((button) => button.getAttribute("aria-pressed") === "true") + 1) % views.length]?.click(),
      l: () => map && set({ layer: next(state.layer, map.L) }),
      h: () => map && set({ head: next(state.head, map.H) }),
      k: () => steps.toggle(),
      ",": () => steps.step(-1),
      ".": () => steps.step(1),
    }[event.key];
    if (act) act();
  }

  // ---------------------------------------------------------------- files

  const nameOf = () => `attention-${state.item + 1}`;
  const titleOf = () => [textOf(now.item, "source"), now.said.output ?? ""].filter(Boolean).join(" → ");
  const svg = () => (now?.picture?.scene ? svgOf(now.picture.scene(), titleOf()) : null);
  function saveSvg() {
    saved(new Blob([svg()], { type: "image/svg+xml" }), `${nameOf()}.svg`);
  }
  async function savePng() {
    saved(await pngOf(now.picture.scene()), `${nameOf()}.png`);
  }

  document.addEventListener("keydown", keyed, { signal: ended.signal });
  turn(state.theme);
  system.addEventListener("change", () => state.theme === null && turn(null), { signal: ended.signal });
  addEventListener("resize", () => (open = [innerWidth, innerHeight]), { signal: ended.signal });
  let width = main.clientWidth;
  const resized = new ResizeObserver(() => {
    if (main.clientWidth === width || !now?.picture?.element.isConnected) return;
    width = main.clientWidth;
    now.picture.place();
  });
  resized.observe(main);
  document.fonts?.ready.then(() => ended.signal.aborted || now?.picture?.place());

  return {
    update(next) {
      items = next;
      unpacked = new WeakMap();
      render();
    },
    destroy() {
      ended.abort();
      resized.disconnect();
      steps.stop();
      now = null;
      whole.remove();
    },
    svg,
  };
}

// The ways in which one source was said, the best first. What the n-best list says of the first is in the item itself.
function waysOf(item) {
  const own = { output: item.output, score: item.score, attention: item.attention, log_probabilities: item.log_probabilities };
  if (!item.nbest?.length) return [own];
  return item.nbest.map((way, i) => {
    const output = way.output ?? way.text ?? "";
    const same = i === 0 && output === item.output;
    return same ? { ...own, score: item.score ?? way.score } : { output, score: way.score, attention: way.attention ?? null, log_probabilities: way.log_probabilities };
  });
}

const splits = (map) => Boolean(map) && (map.source.length !== map.source_words.length || map.target.length !== map.target_words.length);
const textOf = (item, side) => item[side] ?? (item.attention ? item.attention[side === "source" ? "source_words" : "target_words"].join(" ") : "");
const depth = (tree) => 1 + Math.max(...tree.nodes.map((node) => node.step)) - Math.min(...tree.nodes.map((node) => node.step));
