// Where the nodes of a beam tree stand: steps from left to right, the best path straight, others in rows below it.

const ROOT = "root";

// { roots, children: Map of id → nodes (the best first), byId, best: Set of ids }. A node whose parent is missing is a root.
export function grown(tree) {
  const byId = new Map(tree.nodes.map((node) => [node.id, node]));
  const children = new Map([[ROOT, []], ...tree.nodes.map((node) => [node.id, []])]);
  for (const node of tree.nodes) children.get(byId.has(node.parent) ? node.parent : ROOT).push(node);
  const best = new Set();
  for (const node of tree.nodes) {
    if (node.state !== "best") continue;
    for (let at = node; at && !best.has(at.id); at = byId.get(at.parent)) best.add(at.id);
  }
  const rank = (node) => (best.has(node.id) ? 0 : { best: 0, finished: 1, kept: 1, pruned: 2 }[node.state] ?? 2);
  for (const nodes of children.values()) nodes.sort((a, b) => rank(a) - rank(b) || (b.score ?? 0) - (a.score ?? 0));
  return { byId, children, best, roots: children.get(ROOT) };
}

// For each id the nodes from the root to it.
export function pathsOf(tree) {
  const { byId } = grown(tree);
  const paths = new Map();
  for (const node of tree.nodes) {
    const path = [];
    for (let at = node; at && !path.includes(at); at = byId.get(at.parent)) path.unshift(at);
    paths.set(node.id, path);
  }
  return paths;
}

// For each id its row. A path goes straight on in the row of its first child; each further child takes the nearest row
// below that is free from its own step to the end of its path.
export function rowsOf({ children, roots }) {
  const row = new Map();
  const taken = [];
  const stack = [...roots].reverse().map((node) => ({ node, above: -1 }));
  while (stack.length) {
    const { node, above } = stack.pop();
    const path = [node];
    while (children.get(path.at(-1).id).length) path.push(children.get(path.at(-1).id)[0]);
    const [first, last] = [node.step - 1, path.at(-1).step];
    let free = above + 1;
    while ((taken[free] ?? []).some(([from, to]) => first < to && from < last)) free++;
    (taken[free] ??= []).push([first, last]);
    for (const each of path) row.set(each.id, free);
    // The branches that leave last stand nearest, so that lines cross little.
    for (const each of path) for (const other of children.get(each.id).slice(1).reverse()) stack.push({ node: other, above: free });
  }
  return row;
}
