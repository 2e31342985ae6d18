"""A text as sentences by a plain rule, and their tokens with a mark where each of them ends.

The rule needs no language and no library, so that a run cuts a text today as it did when it was trained: `。 ！ ？ ؟ ۔ ।`
end a sentence wherever they stand; `. ! ? …` do so before white space, since within a number or an address they end
nothing; quotation marks and brackets that close belong to what they close; and the end of a line ends a sentence. A text
without any is one sentence. So "Dr. Who" is two: what reads sentences this way looks at words, and does not quote them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from regard.batch import EOS, SPECIAL_TOKENS
from regard.data.tokenizer import Encoding, Tokenizer

CLOSING = "[\"'”’»›)）」』\\]】》]*"
END = re.compile(f"[.!?…。！？؟۔।]*[。！？؟۔।][.!?…]*{CLOSING}|[.!?…]+{CLOSING}(?=\\s|$)")
ALONE = re.compile(f"(?:\\s|[.!?…。！？؟۔।]|{CLOSING[:-1]})*")
LINE = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
MARK = SPECIAL_TOKENS[EOS]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without the white space around them; none of a text of white space alone."""
    found: list[str] = []
    for line in LINE.split(text):
        begin = 0
        for end in END.finditer(line):
            part = line[begin : end.end()]
            # A stop by itself belongs to the sentence before it: "What is this ? ! " is one.
            if begin and ALONE.fullmatch(part):
                found[-1] += f" {part.strip()}" if part[0].isspace() else part.strip()
            else:
                found.append(part.strip())
            begin = end.end()
        found.append(line[begin:].strip())
    return [sentence for sentence in found if sentence]


class SentenceTokenizer:
    """A tokenizer whose texts have the mark `</s>` between two sentences: `regard.models.classifier` reads them apart.

    It stands where a `Tokenizer` reads. Each sentence is read as if it stood alone, and a mark counts as a token and as
    a word.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str) -> Encoding:
        """The offsets are those within each sentence."""
        ids: list[int] = []
        tokens: list[str] = []
        offsets: list[tuple[int, int]] = []
        words: list[int] = []
        count = 0
        for sentence in sentences_of(text):
            if count:
                ids.append(EOS)
                tokens.append(MARK)
                offsets.append((0, 0))
                words.append(count - 1)
            found = self.tokenizer.encode(sentence)
            ids += found.ids
            tokens += found.tokens
            offsets += found.offsets
            words += [count + word for word in found.words]
            count += len(self.tokenizer.split_words(sentence)) + 1  # and the mark that may follow
        return Encoding(ids, tokens, offsets, words)

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        """Only the ids, quickly."""
        parts = [sentences_of(line) for line in lines]
        found = iter(self.tokenizer.encode_batch(list(chain.from_iterable(parts))))
        return [list(chain.from_iterable([*next(found), EOS] for _ in each))[:-1] for each in parts]

    def split_words(self, text: str) -> list[str]:
        """The words that `Encoding.words` counts, the marks among them."""
        parts = (self.tokenizer.split_words(sentence) for sentence in sentences_of(text))
        return list(chain.from_iterable([*words, MARK] for words in parts))[:-1]
