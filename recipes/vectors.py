"""Vectors of words from a text, by the skip-gram of word2vec (Mikolov et al. 2013), to begin a training with.

    pip install gensim
    python recipes/vectors.py runs/english.txt runs/english.vec
    regard train recipes/trec.toml --data data/trec/train.tsv --out runs/trec --set model.vectors=runs/english.vec \\
      --set model.embedding=128

A line of the text is a sentence, and its words lie between white space, as with `tokenizer = "words"`. 4.7 million words
take seven minutes of one core. Files of GloVe, fastText and word2vec that others have made serve as well.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from regard.data.reader import read_lines, refuse_pipe
from regard.errors import RegardError


class Sentences:
    """The text, read anew for each of several passes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[list[str]]:
        return (line.split() for line in read_lines(self.path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, metavar="TEXT", help="UTF-8, a sentence a line")
    parser.add_argument("vectors", type=Path, metavar="FILE", help="what is written: a word and its numbers a line")
    parser.add_argument("--size", type=int, default=128, help="numbers of a word, which are model.embedding (128)")
    parser.add_argument("--least", type=int, default=3, help="how often a word has to occur (3)")
    parser.add_argument("--passes", type=int, default=5, help="how often the text is read (5)")
    options = parser.parse_args()
    for name in ("size", "least", "passes"):
        if getattr(options, name) < 1:
            sys.exit(f"vectors.py: --{name} {getattr(options, name)} is below 1")
    try:
        from gensim.models import Word2Vec  # type: ignore[import-not-found]
    except ImportError:
        sys.exit("vectors.py: word2vec is in a package: pip install gensim")
    beside = options.vectors.with_name(options.vectors.name + ".part")
    try:
        refuse_pipe(options.text)
        sentences = Sentences(options.text)
        if not any(len(words) > 1 for words in sentences):
            sys.exit(f"vectors.py: {options.text} has no sentence of two words: give a text with a sentence a line")
        beside.touch()  # that it cannot be written is known before the learning
        # One worker, so that the same text gives the same vectors.
        model = Word2Vec(
            sg=1, window=4, negative=5, seed=1, workers=1, vector_size=options.size, min_count=options.least
        )
        model.build_vocab(sentences)
        if not len(model.wv):
            sys.exit(
                f"vectors.py: no word of {options.text} occurs {options.least} times: give more text, or a lower --least"
            )
        model.train(sentences, total_examples=model.corpus_count, epochs=options.passes)
        model.wv.save_word2vec_format(str(beside))
        os.replace(beside, options.vectors)
    except RegardError as error:
        sys.exit(f"vectors.py: {error}")
    except OSError as error:
        sys.exit(f"vectors.py: {options.vectors} cannot be written ({error.strerror})")
    finally:
        beside.unlink(missing_ok=True)
    print(f"{options.vectors}: {len(model.wv):,} words", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("vectors.py: stopped, and nothing was written")
