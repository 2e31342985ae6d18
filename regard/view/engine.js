// The picture engine: draws attention maps into an element. One function is public, show(root, data), where data is
//   { title, items: [{ source, output, score, attention, label }] }  and attention is AttentionMap.to_json(), packed or not;
// a label says whose prediction it is, and may be missing.
// It returns a function that takes everything away again. Weights are drawn and averaged here, never computed. Text enters the page as text, never as markup.
// Letters: L layers, H heads, T target, S source.

const END = "</s>";
// Cells of at least so many pixels have room for a figure.
const FIGURES = 30;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Text whose direction is its own, so that Arabic stands right in an English page.
const word = (text, kind = "") => make("span", { dir: "auto", class: kind, title: text }, text === "" ? "∅" : text);
const kindOf = (text) => (text === END ? "end" : "");

// ---------------------------------------------------------------- numbers

function unpack(weights, size) {
  if (Array.isArray(weights)) return Float32Array.from(weights.flat(3));
  const bytes = Uint8Array.from(atob(weights.uint16), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: size }, (_, i) => (view.getUint16(2 * i, true) / 65535) * weights.scale);
}

function opened(attention) {
  const [L, H, T, S] = attention.shape;
  return { ...attention, L, H, T, S, numbers: unpack(attention.weights, L * H * T * S) };
}

// The mean over layers and heads, but for the one chosen (null: all), of tokens: { rows, columns, at(row, column) }.
function tokensOf(map, layer, head) {
  const { L, H, T, S, numbers } = map;
  const layers = layer === null ? [...Array(L).keys()] : [layer];
  const heads = head === null ? [...Array(H).keys()] : [head];
  const sum = new Float32Array(T * S);
  for (const l of layers)
    for (const h of heads) {
      const start = (l * H + h) * T * S;
      for (let i = 0; i < T * S; i++) sum[i] += numbers[start + i];
    }
  const count = layers.length * heads.length;
  return matrix(map.target, map.source, sum.map((value) => value / count));
}

// The same of words: the sum over the tokens of a source word, the mean over those of a target word.
function wordsOf(map, layer, head) {
  const tokens = tokensOf(map, layer, head);
  const columns = map.source_words.length;
  const values = new Float32Array(map.target_words.length * columns);
  const counts = new Array(map.target_words.length).fill(0);
  map.target_word_of.forEach((w) => counts[w]++);
  map.target_word_of.forEach((row, t) => {
    map.source_word_of.forEach((column, s) => {
      values[row * columns + column] += tokens.values[t * map.S + s] / counts[row];
    });
  });
  return matrix(map.target_words, map.source_words, values);
}

function matrix(rows, columns, values) {
  const width = columns.length;
  return { rows, columns, values, at: (row, column) => values[row * width + column] };
}

function largest(shown, row) {
  let best = -1;
  for (let c = 0; c < shown.columns.length; c++) if (best < 0 || shown.at(row, c) > shown.at(row, best)) best = c;
  return best;
}

// ---------------------------------------------------------------- colours

function rampOf(root) {
  const stops = getComputedStyle(root).getPropertyValue("--ramp").split(",").map((stop) => {
    const number = parseInt(stop.trim().slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  });
  // The root makes small weights visible, and the legend is drawn by the same rule.
  return (weight) => {
    const place = Math.sqrt(Math.min(1, Math.max(0, weight))) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((part, i) => Math.round(part + (stops[low + 1][i] - part) * (place - low)));
  };
}

const dark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 140;

// ---------------------------------------------------------------- the heat map

// What stands upright above its column: Chinese, Japanese and Korean, and whatever is one character to the eye.
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const upright = (text) => /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}ー。、，！？]{1,6}$/u.test(text)
  || [...graphemes.segment(text)].length === 1;

function heatmap(shown, ramp, room, choose) {
  const [T, S] = [shown.rows.length, shown.columns.length];
  const labels = make("div", { class: "rows", "aria-hidden": "true" });
  const headers = make("div", { class: "columns", "aria-hidden": "true" });
  const canvas = make("canvas", { role: "img", tabIndex: 0 });
  const grid = make("div", { class: "grid" }, make("div", { class: "corner" }), headers, labels, canvas);
  shown.rows.forEach((text) => labels.append(word(text, kindOf(text))));
  shown.columns.forEach((text) => headers.append(word(text, `${upright(text) ? "upright" : "slant"} ${kindOf(text)}`)));
  const strongest = shown.rows.map((text, row) => `${text}: ${shown.columns[largest(shown, row)]}`).join("; ");
  canvas.setAttribute("aria-label", `Heat map, ${T} rows of output and ${S} columns of source. Strongest: ${strongest}`);
  let size = 24;
  let at = null;

  function place() {
    const free = room() - Math.min(250, labels.offsetWidth || 120) - 44;
    const scale = window.devicePixelRatio || 1;
    // Browsers refuse a canvas beyond some size, and give a blank one instead.
    const most = Math.min(Math.sqrt(4e7 / (T * S)), 16000 / Math.max(T, S)) / scale;
    size = Math.max(1, Math.floor(Math.min(most, Math.max(17, Math.min(44, free / S, Math.max(24, (innerHeight * 0.62) / T))))));
    const every = Math.ceil(12 / size);
    const font = Math.max(11, Math.min(15, size * 0.58));
    [...labels.children].forEach((label, row) => {
      const height = size * Math.min(every, T - row);
      label.style.cssText = row % every ? "display:none" : `height:${height}px;line-height:${height}px;font-size:${font}px`;
    });
    let height = 30;
    let beyond = 0;
    [...headers.children].forEach((label, column) => {
      label.style.fontSize = `${font}px`;
      if (column % every) label.style.visibility = "hidden";
      const straight = label.classList.contains("upright");
      const [w, h] = [label.offsetWidth, label.offsetHeight];
      label.style.left = `${straight ? (column + 0.5) * size - w / 2 : (column + 0.5) * size + h * 0.28}px`;
      height = Math.max(height, straight ? h + 12 : w * 0.79 + h * 0.62 + 10);
      if (!straight) beyond = Math.max(beyond, (column + 0.5) * size + w * 0.62 + h - S * size);
    });
    headers.style.cssText = `height:${height}px;width:${S * size}px`;
    grid.classList.toggle("figured", size >= FIGURES);
    grid.style.paddingRight = `${Math.max(14, beyond)}px`;
    canvas.width = S * size * scale;
    canvas.height = T * size * scale;
    canvas.style.cssText = `width:${S * size}px;height:${T * size}px`;
    canvas.getContext("2d").scale(scale, scale);
    paint();
  }

  function paint() {
    const draw = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    draw.clearRect(0, 0, S * size, T * size);
    draw.font = `${Math.round(size * 0.34)}px system-ui, sans-serif`;
    draw.textAlign = "center";
    draw.textBaseline = "middle";
    const gap = size > 20 ? 1 : 0.5;
    for (let t = 0; t < T; t++) {
      for (let s = 0; s < S; s++) {
        const colour = ramp(shown.at(t, s));
        draw.fillStyle = `rgb(${colour})`;
        draw.fillRect(s * size + gap / 2, t * size + gap / 2, size - gap, size - gap);
        if (size >= FIGURES && shown.at(t, s) >= 0.005) {
          draw.fillStyle = dark(colour) ? "rgb(255 255 255 / .9)" : "rgb(8 12 28 / .85)";
          draw.fillText(String(Math.round(shown.at(t, s) * 100)), (s + 0.5) * size, (t + 0.5) * size + 0.5);
        }
      }
    }
    draw.strokeStyle = style.getPropertyValue("--line");
    draw.lineWidth = 1;
    draw.strokeRect(0.5, 0.5, S * size - 1, T * size - 1);
    if (!at) return;
    draw.fillStyle = `rgb(${style.getPropertyValue("--tint")} / .1)`.replaceAll(",", " ");
    draw.fillRect(0, at.row * size, S * size, size);
    draw.fillRect(at.column * size, 0, size, T * size);
    draw.strokeStyle = style.getPropertyValue("--ink");
    draw.lineWidth = 2;
    draw.strokeRect(at.column * size + 1, at.row * size + 1, size - 2, size - 2);
  }

  function point(row, column, event) {
    const moved = row !== (at?.row ?? null) || column !== (at?.column ?? null);
    at = row === null ? null : { row, column };
    choose(at, event);
    if (!moved) return;
    [...labels.children].forEach((label, i) => label.classList.toggle("on", i === row));
    [...headers.children].forEach((label, i) => label.classList.toggle("on", i === column));
    paint();
  }

  const hover = (event) => {
    const box = canvas.getBoundingClientRect();
    const [row, column] = [Math.floor((event.clientY - box.top) / size), Math.floor((event.clientX - box.left) / size)];
    if (row >= 0 && row < T && column >= 0 && column < S) point(row, column, event);
  };
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerdown", hover);
  // A finger that is lifted leaves too, but what it touched should stay readable.
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "touch" || point(null, null));
  canvas.addEventListener("blur", () => point(null, null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || !T || !S) return;
    event.preventDefault();
    const row = at ? Math.max(0, Math.min(T - 1, at.row + step[0])) : 0;
    const column = at ? Math.max(0, Math.min(S - 1, at.column + step[1])) : largest(shown, 0);
    point(row, column);
    reveal(canvas, labels, headers, row, column, size);
  });
  return { element: grid, place };
}

// Scrolls the cell out from under the labels that stick to the edges.
function reveal(canvas, labels, headers, row, column, size) {
  const box = canvas.closest(".view");
  const [left, top] = [labels.offsetWidth + column * size, headers.offsetHeight + row * size];
  if (left < box.scrollLeft + labels.offsetWidth) box.scrollLeft = left - labels.offsetWidth;
  if (left + size > box.scrollLeft + box.clientWidth) box.scrollLeft = left + size - box.clientWidth;
  if (top < box.scrollTop + headers.offsetHeight) box.scrollTop = top - headers.offsetHeight;
  if (top + size > box.scrollTop + box.clientHeight) box.scrollTop = top + size - box.clientHeight;
}

// ---------------------------------------------------------------- lines between two columns of words

function lines(shown, choose) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const side = (name, texts) => make("div", { class: "side" }, make("div", { class: "heading" }, name), ...texts.map((t) => word(t, kindOf(t))));
  const [left, right] = [side("source", shown.columns), side("output", shown.rows)];
  const whole = make("div", { class: "lines" }, left, svg, right);
  const words = (box) => [...box.querySelectorAll("span")];
  const paths = [];
  shown.rows.forEach((_, row) => shown.columns.forEach((_, column) => {
    const weight = shown.at(row, column);
    if (weight < 0.02) return;
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("stroke-width", String(0.6 + 4.4 * weight));
    paths.push({ path, row, column, weight });
    svg.append(path);
  }));

  function shade(row, column) {
    const none = row === null && column === null;
    for (const line of paths) {
      const mine = none || line.row === row || line.column === column;
      line.path.style.opacity = mine ? Math.min(1, (none ? 0.9 : 1) * Math.sqrt(line.weight) + (none ? -0.08 : 0.1)) : 0.03;
    }
    const tint = (boxes, weightOf, chosen) => boxes.forEach((box, i) => {
      box.classList.toggle("on", i === chosen);
      box.style.background = none || i === chosen ? "" : `rgba(var(--tint), ${(0.55 * weightOf(i)).toFixed(3)})`;
    });
    tint(words(left), (c) => (row === null ? 0 : shown.at(row, c)), column);
    tint(words(right), (r) => (column === null ? 0 : shown.at(r, column)), row);
  }

  words(right).forEach((box, row) => listen(box, () => {
    shade(row, null);
    choose({ row, column: largest(shown, row) });
  }));
  words(left).forEach((box, column) => listen(box, () => {
    shade(null, column);
    const row = shown.rows.reduce((best, _, r) => (shown.at(r, column) > shown.at(best, column) ? r : best), 0);
    choose({ row, column });
  }));
  function listen(box, enter) {
    box.tabIndex = 0;
    const leave = () => (shade(null, null), choose(null));
    for (const [name, act] of [["pointerenter", enter], ["focus", enter], ["pointerleave", leave], ["blur", leave]]) {
      box.addEventListener(name, act);
    }
  }

  function place() {
    const origin = whole.getBoundingClientRect();
    const from = words(left).map((box) => box.getBoundingClientRect());
    const to = words(right).map((box) => box.getBoundingClientRect());
    for (const { path, row, column } of paths) {
      const [a, b] = [from[column], to[row]];
      const [x1, y1] = [a.right - origin.left + 2, (a.top + a.bottom) / 2 - origin.top];
      const [x2, y2] = [b.left - origin.left - 2, (b.top + b.bottom) / 2 - origin.top];
      const middle = (x1 + x2) / 2;
      path.setAttribute("d", `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`);
    }
    shade(null, null);
  }
  return { element: whole, place };
}

// ---------------------------------------------------------------- the table, which a screen reader can walk

function table(shown) {
  const head = make("tr", {}, make("td"), ...shown.columns.map((text) => make("th", { scope: "col" }, word(text))));
  const body = shown.rows.map((text, row) => make("tr", {}, make("th", { scope: "row" }, word(text)),
    ...shown.columns.map((_, column) => make("td", { class: column === largest(shown, row) ? "most" : "" }, shown.at(row, column).toFixed(3)))));
  const caption = make("caption", {}, "A row for each part of the output, a column for each part of the source; the largest weight of a row is bold.");
  return { element: make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...body)), place() {} };
}

// ---------------------------------------------------------------- all heads, small

function overview(map, state, ramp, choose) {
  const pixel = Math.max(1, Math.min(4, Math.floor(84 / Math.max(map.S, map.T))));
  const all = make("div", { class: "all" });
  all.style.gridTemplateColumns = `max-content repeat(${map.H}, max-content)`;
  all.append(make("span"), ...[...Array(map.H).keys()].map((h) => make("span", {}, `head ${h + 1}`)));
  for (let l = 0; l < map.L; l++) {
    all.append(make("span", { dir: "auto" }, `layer ${map.layers[l]}`));
    for (let h = 0; h < map.H; h++) {
      const shown = tokensOf(map, l, h);
      const canvas = make("canvas", { width: map.S, height: map.T });
      canvas.style.cssText = `width:${map.S * pixel}px;height:${map.T * pixel}px`;
      if (map.S && map.T) {
        const picture = new ImageData(map.S, map.T);
        shown.values.forEach((weight, i) => picture.data.set([...ramp(weight), 255], 4 * i));
        canvas.getContext("2d").putImageData(picture, 0, 0);
      }
      const pressed = state.layer === l && state.head === h;
      all.append(make("button", {
        type: "button", "aria-pressed": String(pressed), "aria-label": `Layer ${map.layers[l]}, head ${h + 1}`,
        onclick: () => choose(pressed ? null : l, pressed ? null : h),
      }, canvas));
    }
  }
  return make("section", { class: "heads" }, make("h2", {}, "All heads, by tokens"), all);
}

// ---------------------------------------------------------------- the whole

export function show(root, data) {
  const state = { item: 0, view: "map", words: true, layer: null, head: null, theme: null };
  const whole = make("div", { class: "regard" });
  const system = matchMedia("(prefers-color-scheme: dark)");
  const tip = make("div", { class: "tip", hidden: true });
  const nav = make("nav", { "aria-label": "Predictions" });
  const main = make("main");
  const themeButton = make("button", { type: "button", onclick: () => turn(whole.dataset.theme === "dark" ? "light" : "dark") });
  const many = data.items.length > 1;
  const ended = new AbortController();
  let picture = null;
  if (root === document.body) root.classList.add("regard-body");

  const top = make("header", { class: data.title ? "top" : "top bare" }, data.title ? make("h1", { dir: "auto" }, data.title) : null, themeButton);
  whole.append(top, make("div", { class: many ? "split many" : "split" }, ...(many ? [nav] : []), main), tip);
  root.append(whole);

  function turn(theme) {
    state.theme = theme;
    whole.dataset.theme = theme ?? (system.matches ? "dark" : "light");
    const next = whole.dataset.theme === "dark" ? "Light" : "Dark";
    themeButton.textContent = next;
    themeButton.setAttribute("aria-label", `${next} colours`);
    if (root === document.body) root.style.background = getComputedStyle(whole).getPropertyValue("--paper");
    if (data.items.length) render();
  }

  function list() {
    const entries = data.items.map((item, i) => make("li", {}, make("button", { type: "button", onclick: () => go(i) },
      item.label ? make("span", { class: "label" }, item.label) : null,
      make("span", { dir: "auto" }, sourceOf(item) || "∅"), make("span", { dir: "auto", class: "said" }, outputOf(item) || "∅"))));
    const box = make("ol", {}, ...entries);
    const find = make("input", {
      type: "search", placeholder: "Find", "aria-label": "Find in source and output", oninput: () => {
        const wanted = find.value.toLowerCase();
        entries.forEach((entry, i) => (entry.hidden = !`${data.items[i].label ?? ""}\n${sourceOf(data.items[i])}\n${outputOf(data.items[i])}`.toLowerCase().includes(wanted)));
      },
    });
    nav.append(...(data.items.length > 8 ? [find] : []), box);
  }

  function go(number) {
    state.item = Math.max(0, Math.min(data.items.length - 1, number));
    const map = data.items[state.item].attention;
    if (map && state.layer !== null && state.layer >= map.shape[0]) state.layer = null;
    if (map && state.head !== null && state.head >= map.shape[1]) state.head = null;
    render();
  }

  function set(changes) {
    Object.assign(state, changes);
    render();
  }

  function choice(name, options, value, pick) {
    return make("div", { class: "choice", role: "group", "aria-label": name }, ...options.map(([key, text]) =>
      make("button", { type: "button", "aria-pressed": String(key === value), onclick: () => pick(key) }, text)));
  }

  function picker(name, texts, value, pick) {
    if (texts.length < 2) return null;
    const box = make("select", { onchange: () => pick(box.value === "" ? null : Number(box.value)) },
      make("option", { value: "" }, "mean"), ...texts.map((text, i) => make("option", { value: String(i) }, text)));
    box.value = value === null ? "" : String(value);
    return make("label", {}, name, box);
  }

  function render() {
    const focused = focusPath();
    const item = data.items[state.item];
    tip.hidden = true;
    [...nav.querySelectorAll("li button")].forEach((button, i) => button.setAttribute("aria-current", String(i === state.item)));
    nav.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
    main.replaceChildren();
    if (item.source !== null || item.output !== null) main.append(pair(item));
    if (!item.attention) {
      main.append(make("p", {}, "There is no attention to show for this prediction."));
      return;
    }
    item.opened ??= opened(item.attention);
    drawing(item.opened);
    refocus(focused);
  }

  function drawing(map) {
    const shown = (state.words ? wordsOf : tokensOf)(map, state.layer, state.head);
    const split = map.source.length !== map.source_words.length || map.target.length !== map.target_words.length;
    const readout = make("div", { class: "readout", role: "status" });
    const ramp = rampOf(whole);
    const frame = make("div", { class: "view" });
    const seen = make("div", { class: state.view === "lines" ? "seen wide" : "seen" }, frame);
    const stage = make("div", { class: "stage" }, seen);
    const choose = (at, event) => tell(shown, at, event, readout);
    main.append(make("div", { class: "tools" },
      choice("View", [["map", "Heat map"], ["lines", "Lines"], ["table", "Table"]], state.view, (view) => set({ view })),
      split ? choice("Units", [[true, "Words"], [false, "Tokens"]], state.words, (words) => set({ words })) : null,
      picker("Layer", map.layers, state.layer, (layer) => set({ layer })),
      picker("Head", [...Array(map.H).keys()].map((h) => String(h + 1)), state.head, (head) => set({ head }))), stage);
    if (!shown.rows.length || !shown.columns.length) {
      frame.append(make("p", { class: "heading" }, "The source or the output is empty."));
      return;
    }
    picture = state.view === "map" ? heatmap(shown, ramp, () => main.clientWidth, choose) : state.view === "lines" ? lines(shown, choose) : table(shown);
    frame.append(picture.element);
    picture.place();
    seen.append(make("div", { class: "under" }, state.view === "map" ? legend(ramp) : null, readout));
    main.append(hint());
    if (map.L * map.H > 1) stage.append(overview(map, state, ramp, (layer, head) => set({ layer, head })));
  }

  function pair(item) {
    const label = item.label ? ` of ${item.label}` : "";
    const score = item.score === null ? "" : ` · log-probability ${item.score.toFixed(2).replace("-", "−")}`;
    return make("dl", { class: "pair" },
      make("div", {}, make("dt", {}, "source"), make("dd", { dir: "auto" }, item.source ?? "")),
      make("div", {}, make("dt", {}, `output${label}${score}`), make("dd", { dir: "auto" }, item.output ?? "")));
  }

  function legend(ramp) {
    const bar = make("i");
    const stops = [...Array(21).keys()].map((i) => `rgb(${ramp(i / 20)})`);
    bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
    return make("span", { class: "legend" }, "0", bar, make("span", {}, "1"), make("span", { class: "figures" }, "· figures in %"));
  }

  function hint() {
    const key = (text) => make("kbd", {}, text);
    return make("p", { class: "keys" }, key("←↑↓→"), " in the map · ", ...(many ? [key("n"), " ", key("p"), " next, previous · "] : []),
      key("w"), " words or tokens · ", key("v"), " view · ", key("l"), " ", key("h"), " layer, head");
  }

  function tell(shown, at, event, readout) {
    if (!at) {
      tip.hidden = true;
      readout.replaceChildren();
      return;
    }
    const parts = () => [word(shown.rows[at.row]), " ← ", word(shown.columns[at.column]), make("b", {}, ` ${shown.at(at.row, at.column).toFixed(3)}`)];
    readout.replaceChildren(...parts());
    tip.hidden = !event;
    if (!event) return;
    tip.replaceChildren(...parts());
    const flip = event.clientX > innerWidth - tip.offsetWidth - 30;
    tip.style.left = `${event.clientX + (flip ? -tip.offsetWidth - 12 : 16)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  }

  // A redraw makes new buttons; whoever walks by keyboard stays where they were.
  function focusPath() {
    const active = document.activeElement;
    if (!main.contains(active)) return null;
    const all = [...main.querySelectorAll("button, select, canvas[tabindex]")];
    return all.indexOf(active);
  }

  function refocus(place) {
    if (place !== null && place >= 0) [...main.querySelectorAll("button, select, canvas[tabindex]")][place]?.focus({ preventScroll: true });
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (root !== document.body && !whole.contains(event.target)) return;
    const map = data.items[state.item].attention;
    const next = (value, size) => (value === null ? 0 : value + 1 < size ? value + 1 : null);
    const views = ["map", "lines", "table"];
    const act = {
      n: () => go(state.item + 1),
      p: () => go(state.item - 1),
      w: () => set({ words: !state.words }),
      v: () => set({ view: views[(views.indexOf(state.view) + 1) % 3] }),
      l: () => map && set({ layer: next(state.layer, map.shape[0]) }),
      h: () => map && set({ head: next(state.head, map.shape[1]) }),
    }[event.key];
    if (act) act();
  }

  if (!data.items.length) main.append(make("p", {}, "There are no predictions."));
  else document.addEventListener("keydown", keys, { signal: ended.signal });
  if (many) list();
  turn(null);
  system.addEventListener("change", () => state.theme === null && turn(null), { signal: ended.signal });
  let width = main.clientWidth;
  const resized = new ResizeObserver(() => {
    if (main.clientWidth === width || !picture?.element.isConnected) return;
    width = main.clientWidth;
    picture.place();
  });
  resized.observe(main);
  return () => {
    ended.abort();
    resized.disconnect();
    whole.remove();
  };
}

const sourceOf = (item) => item.source ?? (item.attention ? item.attention.source_words.join(" ") : "");
const outputOf = (item) => item.output ?? (item.attention ? item.attention.target_words.join(" ") : "");
