// Edits of the attention: what a place in the picture offers, and how an edit is said in words.

export const ACTIONS = {
  force: { label: "Only here", chip: "only", word: true },
  forbid: { label: "Never here", chip: "never", word: true },
  strengthen: { label: "More", chip: "more", word: true },
  weaken: { label: "Less", chip: "less", word: true },
  flatten: { label: "Spread evenly", chip: "spread evenly", word: false },
  freeze: { label: "Hold the weights", chip: "held", word: false },
  drop: { label: "Drop", chip: "dropped", word: false },
};
const STRENGTH = 2; // nats: weights about seven times as large, or as small
const AHEAD = 20; // "from here on" reaches so many steps beyond the present output

// Positions of the tokens of a word; a token is its own.
const tokens = (wordOf, at, words) => (words ? wordOf.flatMap((word, token) => (word === at ? [token] : [])) : [at]);

// `place` is what the picture's onpick says. `when` is "here", "on" or "all"; `heads` says whether only the chosen ones.
export function edit(name, place, map, when, heads) {
  const action = name === "strengthen" || name === "weaken" ? "bias" : name;
  const made = { action };
  if (ACTIONS[name].word) made.source = tokens(map.source_word_of, place.column, place.words);
  if (action === "bias") made.strength = name === "weaken" ? -STRENGTH : STRENGTH;
  const steps = place.row === null ? [] : tokens(map.target_word_of, place.row, place.words);
  if (when === "here") made.steps = steps;
  if (when === "on") made.steps = Array.from({ length: map.target.length + AHEAD - steps[0] }, (_, i) => steps[0] + i);
  if (heads && place.layer !== null) made.layers = [place.layer];
  if (heads && place.head !== null) made.heads = [place.head];
  return made;
}

export function described(edit, map) {
  const name = edit.action === "bias" ? (edit.strength < 0 ? "weaken" : "strengthen") : edit.action;
  const parts = [ACTIONS[name]?.chip ?? edit.action];
  if (edit.source?.length) parts[0] += ` “${sourceOf(edit.source, map)}”`;
  else if (edit.source_words?.length) parts[0] += ` word ${edit.source_words.map((word) => word + 1).join(", ")}`;
  if (edit.steps?.length) parts.push(stepsOf(edit.steps, map));
  const heads = headsOf(edit.layers, edit.heads);
  if (heads) parts.push(heads);
  return parts.join(" · ");
}

function sourceOf(source, map) {
  const words = map && new Set(source.map((token) => map.source_word_of[token]));
  return words ? [...words].map((word) => map.source_words[word] ?? "…").join(" ") : `token ${source.map((token) => token + 1).join(", ")}`;
}

function stepsOf(steps, map) {
  const [first, last] = [steps[0] + 1, steps.at(-1) + 1];
  if (steps.length > 1 && map && last > map.target.length) return `from step ${first} on`;
  return first === last ? `step ${first}` : `steps ${first}–${last}`;
}

export function headsOf(layers, heads) {
  const each = (name, list) => (list?.length ? `${name} ${list.map((number) => number + 1).join(", ")}` : null);
  return [each("layer", layers), each("head", heads)].filter(Boolean).join(", ");
}
