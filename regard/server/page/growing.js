// An attention map that grows by a row with each token. Of a beam the best output may change in any step, so each row is
// kept with the tokens that were said before it, and a row that was never seen of the present output stays empty.
import { END } from "../view/dom.js";

const MARK = "▁"; // begins a word in a subword vocabulary

export function growing() {
  const rows = new Map();
  let sides = null;

  // `step` is the data of a "token" event; its last row is that of its last token, or of the end.
  function add({ step, tokens, attention }) {
    if (!attention) return;
    const said = step < tokens.length ? tokens : [...tokens, END];
    rows.set(JSON.stringify(said), attention);
  }

  // The source's tokens and words, as a map of the same source says them.
  function know({ source, source_words, source_word_of, layers }) {
    sides = { source, source_words, source_word_of, layers };
  }

  // As AttentionMap.to_json() says it; null as long as the source or every row is unknown.
  function map(tokens) {
    const first = rows.values().next().value;
    if (!sides || !first || !tokens.length) return null;
    const [L, H, S] = [first.length, first[0].length, first[0][0].length];
    if (S !== sides.source.length) return null;
    const empty = Array(S).fill(0);
    const seen = tokens.map((_, t) => rows.get(JSON.stringify(tokens.slice(0, t + 1))));
    const weights = [...Array(L).keys()].map((l) => [...Array(H).keys()].map((h) => seen.map((row) => row?.[l]?.[h] ?? empty)));
    const { words, wordOf } = joined(tokens);
    return { ...sides, weights, shape: [L, H, tokens.length, S], target: tokens, target_words: words, target_word_of: wordOf };
  }

  return { add, know, map };
}

// Subwords joined as far as their marks tell; the last map, from the server, has what is certain.
function joined(tokens) {
  const marked = tokens.some((token) => token.startsWith(MARK));
  const words = [];
  const wordOf = tokens.map((token, t) => {
    if (!marked || t === 0 || token.startsWith(MARK)) words.push("");
    words[words.length - 1] += token.replaceAll(MARK, "");
    return words.length - 1;
  });
  return { words, wordOf };
}
