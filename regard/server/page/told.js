// What a prediction tells beside its text: the comparison with the unsteered output, what deserves a second look, and
// examples from the training data.
import { make, signed } from "../view/dom.js";
import { differing } from "./differing.js";
import { ask } from "./server.js";

const score = (number) => make("span", { class: "number" }, Number.isFinite(number) ? signed(number) : "impossible");

export function compared({ before, after, score_of_before, score_of_after }) {
  const [left, right] = differing(before.text, after.text);
  const line = (name, parts, own, other, where) => make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, ...parts.map((part) => (part.changed ? make("mark", {}, part.text) : part.text))),
    make("dd", { class: "soft" }, "log-probability ", score(own), `, ${where} `, score(other)));
  const same = before.text === after.text;
  return make("section", { class: "compared", "aria-label": "With and without the edits" },
    make("dl", {}, line("Without edits", left, before.score, score_of_before, "with them"), line("With edits", right, after.score, score_of_after, "without them")),
    same ? make("p", { class: "soft" }, "The edits change the probability, not the words.") : null);
}

// The server's notes are about the input, those of the diagnostics about the output.
export function remarks({ input, text, notes, diagnostics }) {
  const found = diagnostics?.notes ?? [];
  return [
    input.trim() && !text ? make("p", { class: "soft" }, "The model ended at once: the output is empty.") : null,
    ...(notes ?? []).map((text) => make("p", { class: "note" }, text)),
    found.length ? make("p", { class: "soft looks", dir: "auto" }, found.map((text) => text[0].toUpperCase() + text.slice(1)).join(" · ")) : null,
  ].filter(Boolean);
}

export async function nearest(model, text, signal) {
  if (!text.trim()) return null;
  try {
    const { examples } = await ask(`v1/nearest?${new URLSearchParams({ model, text })}`, { signal });
    return examples.length ? listed(examples) : null;
  } catch {
    return null; // an extra, whose absence is no error
  }
}

const listed = (examples) => make("details", { class: "nearest" }, make("summary", {}, "Nearest training examples"),
  make("ol", {}, ...examples.map(({ source, target, similarity }) => make("li", {}, make("span", { dir: "auto" }, source), make("span", { dir: "auto" }, target),
    make("span", { class: "soft number" }, similarity.toFixed(2))))));
