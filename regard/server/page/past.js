// What was asked in this session: kept in the tab, and gone with it.
import { make } from "../view/dom.js";

const KEY = "regard-past";
const MOST = 50;

export function past(box, restore) {
  const list = box.querySelector("ol");
  let entries = load();

  function load() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
    } catch {
      return [];
    }
  }

  function write() {
    sessionStorage.setItem(KEY, JSON.stringify(entries));
    box.hidden = !entries.length;
    list.replaceChildren(...entries.map(({ hash, text, outputs }) => make("li", {}, make("button", { type: "button", onclick: () => restore(hash) },
      make("span", { dir: "auto" }, text), ...outputs.map((output) => make("span", { dir: "auto", class: "soft" }, output))))));
  }

  box.querySelector("button").addEventListener("click", () => {
    entries = [];
    write();
  });
  write();
  return (entry) => {
    entries = [entry, ...entries.filter(({ hash }) => hash !== entry.hash)].slice(0, MOST);
    write();
  };
}
