// One model at work: its output, which can be written on, its edits, and the picture of its attention.
import { make, signed } from "../view/dom.js";
import { chooser, closeChooser } from "./chooser.js";
import { growing } from "./growing.js";
import { events } from "./server.js";
import { headOf } from "./heads.js";
import { described, headsOf } from "./steering.js";
import { compared, nearest, remarks } from "./told.js";
import { outputField } from "./writing.js";

// The page can be used before the engine is there, and what is asked meanwhile is drawn when it is.
const drawing = import("../view/engine.js");
const dark = matchMedia("(prefers-color-scheme: dark)");
const OFTEN = 60; // milliseconds between two pictures while an output grows

// `what` is { model, edits, prefix }, which is changed in place. `act` has again(pane) to run it once more, models(),
// remove(pane), settled(pane), failed(pane, problem) and say(text).
export function pane(what, act) {
  const select = make("select", { "aria-label": "Model", onchange: () => chosen(select.value) });
  const score = make("span", { class: "score soft number" });
  const remove = make("button", { type: "button", class: "plain", "aria-label": "Remove this model", title: "Remove this model", hidden: true, onclick: () => act.remove(self) }, "×");
  const field = outputField((prefix) => goOn(prefix));
  const chips = make("ul", { class: "chips", "aria-label": "Active edits", hidden: true });
  const trouble = make("p", { class: "trouble", role: "alert", hidden: true });
  const beside = make("div", { class: "beside" });
  const examples = make("div");
  const card = make("section", { class: "card out", "aria-label": "Output" }, make("div", { class: "title" }, select, score, remove), field.element, trouble, beside);
  const bar = make("div", { class: "headbar", role: "group", hidden: true });
  const root = make("div", { class: "engine" });
  const hint = make("p", { class: "soft hint", hidden: true }, "Click a cell, a word or a head to change what the model looks at.");
  const picture = make("section", { class: "picture", "aria-label": "Attention", hidden: true }, hint, chips, bar, root, examples);
  const element = make("div", { class: "pane" }, card, picture);
  let engine = null;
  let latest = null; // what the picture shows, or will
  let running = null;
  let said = null; // the last whole prediction
  let map = null; // what the picture shows, once it is whole
  let touched = null;

  root.addEventListener("pointerdown", ({ clientX, clientY }) => (touched = [clientX, clientY]), true);
  root.addEventListener("keydown", () => (touched = null), true);
  for (const kind of ["click", "change", "keyup"]) root.addEventListener(kind, () => requestAnimationFrame(drawBar));
  dark.addEventListener("change", () => engine && draw(latest, true));

  function models() {
    const known = act.models();
    const names = known.map(({ name }) => name);
    const missing = what.model && !names.includes(what.model) ? [make("option", { value: what.model }, what.model)] : [];
    select.replaceChildren(...known.map((model) => make("option", { value: model.name }, act.titled(model))), ...missing);
    what.model ??= names[0] ?? null;
    select.value = what.model ?? "";
    const model = known.find(({ name }) => name === what.model);
    field.speaks(model?.target_language, what.model);
  }

  // Positions of one model mean nothing to another.
  function chosen(model) {
    Object.assign(what, { model, edits: [], prefix: null });
    models();
    act.again(self);
  }

  function steer(edit) {
    what.edits = [...what.edits, edit];
    act.again(self);
  }

  function goOn(prefix) {
    what.prefix = prefix.trim() ? prefix : null;
    act.again(self);
  }

  // ---------------------------------------------------------------- asking

  async function run(asked) {
    running?.abort();
    const mine = (running = new AbortController());
    const { signal } = mine;
    closeChooser();
    busy(true);
    tell(null);
    beside.replaceChildren();
    examples.replaceChildren();
    drawChips();
    const live = growing();
    said = null;
    let last = null;
    let timer = null;
    try {
      for await (const [kind, data] of events("v1/predict", bodyOf(asked), signal)) {
        if (kind === "done") {
          said = data;
          break;
        }
        if (kind === "source") {
          live.know(data);
          continue;
        }
        last = data;
        field.grow(data.text);
        live.add(data);
        timer ??= setTimeout(() => {
          timer = null;
          const attention = signal.aborted || last === null ? null : live.map(last.tokens);
          if (attention) draw([{ source: asked.text, output: last.text, score: last.score, attention }]);
        }, OFTEN);
      }
      clearTimeout(timer);
      last = null;
      finish(asked, signal);
    } catch (problem) {
      clearTimeout(timer);
      if (running !== mine) return;
      if (problem.name !== "AbortError") {
        tell(problem.message);
        act.failed(self, problem);
      } else if (last) field.set(last.text);
    } finally {
      if (running === mine) {
        running = null;
        busy(false);
        act.settled(self);
      }
    }
  }

  function bodyOf(asked) {
    const known = act.models().find(({ name }) => name === what.model);
    const beam = asked.beam ?? (asked.nbest && !asked.sample ? Math.max(asked.nbest, known?.beam ?? 1) : null);
    return {
      inputs: asked.text, model: what.model, stream: true, attention: true, diagnostics: true, tree: asked.tree && !asked.sample,
      ...(beam && !asked.sample ? { beam } : {}), ...(asked.nbest ? { nbest: asked.nbest } : {}), ...(asked.sample ? { sample: asked.sample } : {}),
      ...(what.prefix ? { prefix: what.prefix } : {}), ...(what.edits.length ? { steer: what.edits } : {}),
    };
  }

  async function finish(asked, signal) {
    field.set(said.text);
    map = said.attention ?? null;
    draw([{ source: said.input, output: said.text, score: said.score, attention: map, log_probabilities: said.log_probabilities, nbest: said.nbest, tree: said.tree }]);
    score.textContent = Number.isFinite(said.score) ? `log-probability ${signed(said.score)}` : "";
    beside.replaceChildren(...remarks(said), ...(said.steering ? [compared(said.steering)] : []));
    drawChips();
    act.say(`${what.model}: ${said.text || "an empty output"}`);
    const keeps = act.models().find(({ name }) => name === what.model)?.nearest;
    const found = keeps ? await nearest(what.model, asked.text, signal) : null;
    if (found && !signal.aborted) examples.replaceChildren(found);
  }

  function busy(yes) {
    card.setAttribute("aria-busy", String(yes));
    picture.classList.toggle("stale", yes);
    field.busy(yes);
    if (yes) score.textContent = "";
    map = yes ? null : map;
    drawBar();
  }

  function tell(sentence) {
    trouble.textContent = sentence ?? "";
    trouble.hidden = !sentence;
  }

  // ---------------------------------------------------------------- drawing

  async function draw(items, again = false) {
    latest = items;
    const { show } = await drawing;
    if (latest !== items) return; // something newer came meanwhile, or nothing is to be drawn any more
    picture.hidden = false;
    picture.classList.remove("stale");
    if (engine && !again) engine.update(items);
    else {
      engine?.destroy();
      engine = show(root, { title: "", items }, { theme: dark.matches ? "dark" : "light", onpick: picked });
    }
    drawBar();
  }

  function picked(place) {
    // Of the n-best only the best has its attention here, and while an output grows nothing is certain.
    if (map) chooser(place, map, { steer, go: (row, words) => field.before(row, words ? map.target_words : map.target) }, touched);
  }

  function drawChips() {
    const off = (text, name, then) => make("li", {}, make("bdi", {}, text), make("button", { type: "button", class: "plain", "aria-label": `Remove: ${text}`, title: name, onclick: then }, "×"));
    const drop = (change) => () => {
      change();
      act.again(self);
      (chips.querySelector("button") ?? select).focus({ preventScroll: true });
    };
    const prefix = what.prefix ? [off(`begins “${what.prefix.trim()}”`, "Begin freely", drop(() => (what.prefix = null)))] : [];
    const edits = what.edits.map((edit, i) => off(described(edit, map), "Remove this edit", drop(() => (what.edits = what.edits.filter((_, j) => j !== i)))));
    const all = what.edits.length > 1 ? [make("li", { class: "all" }, make("button", { type: "button", class: "plain accent", onclick: drop(() => (what.edits = [])) }, "Remove all edits"))] : [];
    chips.replaceChildren(...prefix, ...edits, ...all);
    chips.hidden = !chips.children.length;
    hint.hidden = !chips.hidden || !map;
    if (!chips.hidden) picture.hidden = false;
  }

  // What can be done to the head that is on view.
  function drawBar() {
    const head = map && headOf(root, map.shape[1]);
    bar.hidden = !head;
    const key = JSON.stringify(head);
    if (!head || bar.dataset.head === key) return;
    bar.dataset.head = key;
    const name = headsOf(head.layers, head.heads);
    bar.setAttribute("aria-label", name);
    const button = (text, action) => make("button", { type: "button", onclick: () => steer({ action, ...head }) }, text);
    bar.replaceChildren(make("span", { class: "soft" }, `${name[0].toUpperCase()}${name.slice(1)}`), button("Drop", "drop"), button("Spread evenly", "flatten"));
  }

  function clear() {
    running?.abort();
    engine?.destroy();
    [engine, latest, said, map] = [null, null, null, null];
    field.set("");
    score.textContent = "";
    tell(null);
    beside.replaceChildren();
    examples.replaceChildren();
    picture.hidden = true;
    drawBar();
  }

  const self = {
    element, what, run, models, clear, stop: () => running?.abort(), removable: (yes) => (remove.hidden = !yes),
    get busy() { return running !== null; }, get text() { return said?.text ?? ""; },
    destroy: () => (clear(), element.remove()),
  };
  models();
  drawChips();
  return self;
}
