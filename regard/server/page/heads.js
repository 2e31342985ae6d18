// Which layer and head the picture shows, as the keys of an edit; null if it shows the mean of all. The engine tells
// this only when something is picked, so it is read from its buttons: a row of them for each layer, the means first.

export function headOf(root, heads) {
  const grid = root.querySelector(".heads .all");
  const at = grid ? [...grid.children].findIndex((button) => button.getAttribute("aria-pressed") === "true") : -1;
  const [layer, head] = [Math.floor(at / (heads + 1)) - 1, (at % (heads + 1)) - 1];
  if (at <= 0) return null;
  return { ...(layer >= 0 ? { layers: [layer] } : {}), ...(head >= 0 ? { heads: [head] } : {}) };
}
