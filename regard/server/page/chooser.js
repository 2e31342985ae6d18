// The small panel that opens where the picture was clicked, and offers what can be done there.
import { make, seenText } from "../view/dom.js";
import { ACTIONS, edit, headsOf } from "./steering.js";

const EDGE = 12;
let close = () => {};

// `act` has steer(edit) and go(row, words), which continues from the word of that row. `at` is where it was clicked, or null.
export function chooser(place, map, act, at) {
  close();
  const back = document.activeElement;
  const [rows, columns] = place.words ? [map.target_words, map.source_words] : [map.target, map.source];
  const [said, seen] = [rows[place.row], columns[place.column]].map((text) => text && seenText(text));
  const word = place.by !== "row";
  const chosen = headsOf(place.layer === null ? null : [place.layer], place.head === null ? null : [place.head]);
  const when = radios("When", [["here", `saying “${said}”`], ["on", "from here on"], ["all", "always"]], place.by === "column" ? "all" : "here");
  const which = chosen ? radios("Which heads", [["these", chosen], ["every", "every head"]], "these") : null;
  const button = (name) => make("button", { type: "button", onclick: () => take(() => act.steer(edit(name, place, map, when.value(), which?.value() === "these"))) }, ACTIONS[name].label);
  const names = (kind) => Object.keys(ACTIONS).filter((name) => ACTIONS[name].word === kind);
  const title = word ? [make("bdi", {}, said), " ← ", make("bdi", {}, seen)] : [make("bdi", {}, said)];
  const dialog = make("div", { class: "chooser", role: "dialog", "aria-label": word ? `Steer: ${said} looks at ${seen}` : `Steer: ${said}` },
    make("div", { class: "top" }, make("strong", {}, ...title), make("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => shut(true) }, "×")),
    word ? make("div", { class: "row", role: "group", "aria-label": `The word ${seen}` }, ...names(true).map(button)) : null,
    make("div", { class: "row", role: "group", "aria-label": "The head" }, ...names(false).map(button)),
    when.element, which?.element ?? null,
    place.by === "column" ? null : make("div", { class: "row" }, make("button", { type: "button", class: "plain accent", onclick: () => take(() => act.go(place.row, place.words)) }, `Write on before “${said}”`)));
  const gone = new AbortController();

  function shut(focus) {
    gone.abort();
    dialog.remove();
    if (focus) back?.focus?.({ preventScroll: true });
    close = () => {};
  }
  function take(then) {
    shut(true);
    then();
  }
  close = () => shut(false);
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    shut(true);
  });
  document.addEventListener("pointerdown", (event) => dialog.contains(event.target) || shut(false), { signal: gone.signal, capture: true });
  document.body.append(dialog);
  if (innerWidth > 640) settle(dialog, at ?? middle(back));
  // Not at once, or the Enter that opened it would press what it finds.
  setTimeout(() => dialog.querySelector(".row button").focus({ preventScroll: true }));
}

export const closeChooser = () => close();

function settle(dialog, [x, y]) {
  const { width, height } = dialog.getBoundingClientRect();
  const below = y + EDGE + height < innerHeight - EDGE;
  dialog.style.left = `${Math.max(EDGE, Math.min(x - 40, innerWidth - width - EDGE))}px`;
  dialog.style.top = `${Math.max(EDGE, below ? y + EDGE : y - height - EDGE)}px`;
}

function middle(element) {
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, Math.min(innerHeight / 2, box.top + 60)];
}

function radios(name, choices, first) {
  const group = `radios-${name}-${performance.now()}`;
  const inputs = choices.map(([value]) => make("input", { type: "radio", name: group, value, checked: value === first }));
  const labels = choices.map(([, text], i) => make("label", {}, inputs[i], make("span", {}, text)));
  return { element: make("fieldset", { class: "radios" }, make("legend", {}, name), ...labels), value: () => inputs.find((input) => input.checked).value };
}
