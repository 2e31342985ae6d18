// What is asked, as the part of the address behind the #, so that a link holds all of it.

const NUMBERS = ["beam", "nbest"];
const DRAWING = ["temperature", "top_k", "top_p", "seed"];

export const nothing = () => ({ text: "", beam: null, nbest: null, tree: false, sample: null, panes: [{ model: null, edits: [], prefix: null }] });

export function written(asked) {
  const out = new URLSearchParams({ text: asked.text });
  for (const name of NUMBERS) if (asked[name]) out.set(name, asked[name]);
  if (asked.tree) out.set("tree", "1");
  for (const name of asked.sample ? DRAWING : []) out.set(name, asked.sample[name]);
  asked.panes.forEach(({ model, edits, prefix }, i) => {
    if (model) out.set(`model${i || ""}`, model);
    if (edits.length) out.set(`steer${i || ""}`, JSON.stringify(edits));
    if (prefix) out.set(`prefix${i || ""}`, prefix);
  });
  return `#${out}`;
}

// Whatever does not make sense is left out: a link may have been cut.
export function read(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name) => (given.get(name)?.trim() && Number.isFinite(Number(given.get(name))) ? Number(given.get(name)) : null);
  const asked = nothing();
  asked.text = given.get("text") ?? "";
  for (const name of NUMBERS) asked[name] = number(name);
  asked.tree = given.has("tree");
  if (DRAWING.some((name) => number(name) !== null)) {
    const [temperature, k, p, seed] = DRAWING.map(number);
    asked.sample = { temperature: temperature ?? 1, top_k: k ?? 0, top_p: p ?? 1, seed: seed ?? 1 };
  }
  const pane = (i) => ({ model: given.get(`model${i}`), edits: edits(given.get(`steer${i}`)), prefix: given.get(`prefix${i}`) });
  asked.panes = given.has("model1") ? [pane(""), pane("1")] : [pane("")];
  return asked;
}

function edits(text) {
  try {
    const rows = JSON.parse(text ?? "[]");
    return Array.isArray(rows) ? rows.filter((row) => row && typeof row.action === "string") : [];
  } catch {
    return [];
  }
}
