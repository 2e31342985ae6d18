// Scripts of the world: which way a sentence runs, what may stand upright, and where a character ends.

const LETTER = /\p{L}/u;
const RIGHT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;
const SQUARE = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}ー。、，！？]{1,6}$/u;
const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

// What a reader takes for one character: an emoji family, a letter with all its marks.
export const characters = (text) => [...segmenter.segment(text)].map((part) => part.segment);

// Whether most letters run from right to left.
export function rightToLeft(words) {
  let balance = 0;
  for (const letter of words.join("")) if (LETTER.test(letter)) balance += RIGHT.test(letter) ? 1 : -1;
  return balance > 0;
}

// Chinese, Japanese and Korean, and whatever is one character to the eye, stands upright above its column.
export const upright = (text) => SQUARE.test(text) || characters(text).length === 1;

// Where each of the words stands in the text: [start, end], or null for what is not in it (an end, a word without
// letters). Null as a whole if a word is missing, for then the text was said in other words.
export function located(text, words) {
  const places = [];
  let from = 0;
  for (const each of words) {
    const wanted = each.replace(/^(▁|Ġ|##)|(@@|<\/w>)$/gu, "").trim();
    if (wanted === "" || wanted === "</s>") {
      places.push(null);
      continue;
    }
    const start = text.indexOf(wanted, from);
    if (start < 0 || /[\p{L}\p{N}]/u.test(text.slice(from, start))) return null;
    places.push([start, start + wanted.length]);
    from = start + wanted.length;
  }
  return places;
}
