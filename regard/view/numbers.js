// Weights are unpacked, averaged and merged here, never computed. Letters: L layers, H heads, T target, S source.
import { rightToLeft } from "./writing.js";

function unpack(weights, size) {
  if (Array.isArray(weights)) return Float32Array.from(weights.flat(3));
  const bytes = Uint8Array.from(atob(weights.uint16), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: size }, (_, i) => (view.getUint16(2 * i, true) / 65535) * weights.scale);
}

export function opened(attention) {
  const [L, H, T, S] = attention.shape;
  const rtl = rightToLeft(attention.source_words);
  return { ...attention, L, H, T, S, rtl, numbers: unpack(attention.weights, L * H * T * S) };
}

// The mean over layers and heads, but for the one chosen (null: all), of tokens: { rows, columns, at(row, column) }.
export function tokensOf(map, layer, head) {
  const { L, H, T, S, numbers } = map;
  const layers = layer === null ? [...Array(L).keys()] : [layer];
  const heads = head === null ? [...Array(H).keys()] : [head];
  const sum = new Float32Array(T * S);
  for (const l of layers)
    for (const h of heads) {
      const start = (l * H + h) * T * S;
      for (let i = 0; i < T * S; i++) sum[i] += numbers[start + i];
    }
  const count = layers.length * heads.length;
  return matrix(map, map.target, map.source, sum.map((value) => value / count));
}

// The same of words: the sum over the tokens of a source word, the mean over those of a target word.
export function wordsOf(map, layer, head) {
  const tokens = tokensOf(map, layer, head);
  const columns = map.source_words.length;
  const values = new Float32Array(map.target_words.length * columns);
  const counts = new Array(map.target_words.length).fill(0);
  map.target_word_of.forEach((w) => counts[w]++);
  map.target_word_of.forEach((row, t) => {
    map.source_word_of.forEach((column, s) => {
      values[row * columns + column] += tokens.values[t * map.S + s] / counts[row];
    });
  });
  return matrix(map, map.target_words, map.source_words, values);
}

function matrix(map, rows, columns, values) {
  const width = columns.length;
  return { rows, columns, values, rtl: map.rtl, sure: null, at: (row, column) => values[row * width + column] };
}

// The probability with which each row was said: of a word, the product over its tokens. Null if it is not known.
export function sureness(map, logs, words) {
  if (!Array.isArray(logs) || logs.length !== map.T) return null;
  if (!words) return logs.map(Math.exp);
  const sums = new Array(map.target_words.length).fill(0);
  map.target_word_of.forEach((w, t) => (sums[w] += logs[t]));
  return sums.map(Math.exp);
}

export function largest(shown, row) {
  let best = -1;
  for (let c = 0; c < shown.columns.length; c++) if (best < 0 || shown.at(row, c) > shown.at(row, best)) best = c;
  return best;
}

export function largestRow(shown, column) {
  let best = 0;
  for (let r = 1; r < shown.rows.length; r++) if (shown.at(r, column) > shown.at(best, column)) best = r;
  return best;
}
