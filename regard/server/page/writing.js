// The output as a field that can be written in. What stands before the caret is how the next output begins.
import { make } from "../view/dom.js";
import { words } from "./differing.js";

const grows = CSS.supports("field-sizing", "content");
let count = 0;

// `go(prefix)` is called when the model shall write on.
export function outputField(go) {
  const hint = `hint-${(count += 1)}`;
  const area = make("textarea", { class: "said", rows: "1", dir: "auto", spellcheck: "false", "aria-label": "Output", "aria-describedby": hint, placeholder: "Translation", readOnly: true });
  const on = make("button", { type: "button", onclick: () => go(prefix()) });
  const foot = make("div", { class: "foot off" }, make("span", { class: "soft", id: hint }, "Edit, then ", make("kbd", {}, "Enter"), ": the model writes on."), on);
  const element = make("div", { class: "output" }, area, foot);
  let whole = "";

  function prefix() {
    const caret = area.selectionStart;
    if (area.value !== whole) return area.value.slice(0, caret);
    // Nothing was written: a click into a word means the whole word.
    let start = 0;
    for (const word of words(whole)) {
      if (start + word.length > caret) return whole.slice(0, start);
      start += word.length;
    }
    return whole;
  }

  function offer() {
    const text = prefix().trim();
    foot.classList.toggle("off", area.readOnly || !area.value);
    const short = text.length > 28 ? `…${text.slice(-26)}` : text;
    on.replaceChildren(...(text ? ["Write on after “", make("bdi", {}, short), "”"] : ["Begin anew"]));
  }

  function fit() {
    if (grows) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }

  function set(text) {
    whole = area.value = text;
    fit();
    offer();
  }

  // Puts the caret before the word of a row. Words are looked for in order, for the text between them is not known.
  function before(row, rows) {
    let at = 0;
    for (let i = 0; i <= row; i++) {
      const bare = rows[i].replaceAll("▁", "");
      const found = whole.indexOf(bare, at);
      if (i === row) at = found < 0 ? (row === rows.length - 1 ? whole.length : at) : found;
      else if (found >= 0) at = found + bare.length;
    }
    area.focus();
    area.setSelectionRange(at, at);
    offer();
  }

  area.addEventListener("input", () => (fit(), offer()));
  for (const kind of ["click", "keyup", "focus"]) area.addEventListener(kind, offer);
  area.addEventListener("keydown", (event) => {
    if (event.isComposing || area.readOnly) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      go(prefix());
    } else if (event.key === "Escape" && area.value !== whole) {
      event.stopPropagation();
      set(whole);
    }
  });

  return {
    element, set, before,
    grow: (text) => ((area.value = text), fit()),
    busy(yes) {
      area.readOnly = yes || !whole;
      offer();
    },
    speaks(language, model) {
      area.lang = language ?? "";
      area.setAttribute("aria-label", `Output of ${model ?? "the model"}`);
    },
  };
}
