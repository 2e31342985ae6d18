// Two texts, and which words of each the other does not have there: the longest common sequence of words is what they share.

const cutter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;
const MOST = 1500; // beyond so many words a table of all pairs is too large, and nothing is marked

export const words = (text) => (cutter ? [...cutter.segment(text)].map((part) => part.segment) : text.split(/(?<=\s)|(?=\s)/));

// For each text a list of { text, changed }, neighbours of one kind joined.
export function differing(first, second) {
  const [a, b] = [words(first), words(second)];
  if (a.length > MOST || b.length > MOST) return [[{ text: first, changed: false }], [{ text: second, changed: false }]];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const [left, right] = [[], []];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      put(left, a[i++], false);
      put(right, b[j++], false);
    } else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) put(left, a[i++], true);
    else put(right, b[j++], true);
  }
  return [trimmed(left), trimmed(right)];
}

// White space after the last changed word is no change.
const trimmed = (parts) => parts.flatMap(({ text, changed }) => {
  const end = changed ? text.trimEnd().length : text.length;
  return [{ text: text.slice(0, end), changed }, ...(end < text.length ? [{ text: text.slice(end), changed: false }] : [])];
});

function put(parts, text, changed) {
  const last = parts.at(-1);
  if (last && (last.changed === changed || (last.changed && text.trim() === ""))) last.text += text;
  else parts.push({ text, changed });
}
