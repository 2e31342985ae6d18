// The settings that are folded away: read from their fields, and written into them when a link is opened.

export function settings(form) {
  const field = (name) => form.elements[name];
  const drawing = form.querySelector(".drawing");
  const number = (name) => (field(name).value === "" ? null : field(name).valueAsNumber);
  const fold = () => (drawing.hidden = !field("sample").checked);
  field("sample").addEventListener("change", fold);

  function read() {
    const sample = field("sample").checked
      ? { temperature: number("temperature") ?? 1, top_k: number("top_k") ?? 0, top_p: number("top_p") ?? 1, seed: number("seed") ?? 1 } : null;
    return { beam: number("beam"), nbest: number("nbest"), tree: field("tree").checked, sample };
  }

  function write({ beam, nbest, tree, sample }) {
    field("beam").value = beam ?? "";
    field("nbest").value = nbest ?? "";
    field("tree").checked = tree;
    field("sample").checked = Boolean(sample);
    for (const [name, value] of Object.entries(sample ?? {})) field(name).value = value;
    if (beam || nbest || tree || sample) form.querySelector(".settings").open = true;
    fold();
  }
  return { read, write };
}
