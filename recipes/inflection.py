"""Lemma, features and form (SIGMORPHON 2016) as pairs of lines that Regard reads: a letter or a feature each a symbol.

    python recipes/inflection.py german-task1-train > german-train.tsv
    python recipes/inflection.py german-task1-dev --keys-of german-task1-train > german-dev.tsv

    aalen <TAB> pos=V,tense=PST <TAB> geaalt   becomes   pos=V - - tense=PST - - … a a l e n <TAB> geaalt

The features come first, each in the place of its key and "-" where the word has none, so that no letter moves when a
feature is added: positions say as little of features as in Wu et al. (2021). A space in a lemma is written "▁", and
the form is left as it is written. Keys are those of the training file, by how often they occur.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

SPACE, NONE = "▁", "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="lemma, features and form, with tabs between")
    parser.add_argument("--keys-of", type=Path, metavar="TRAIN", help="the training file, if FILE is another")
    options = parser.parse_args()
    try:
        keys = keys_of([features for _, features, _ in rows(options.keys_of or options.file)])
        for lemma, features, form in rows(options.file):
            print(f"{symbols(lemma, features, keys)}\t{form}")
    except OSError as error:
        sys.exit(f"inflection.py: {error.filename} cannot be read ({error.strerror})")
    except ValueError as error:
        sys.exit(f"inflection.py: {error}")


def rows(path: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """ValueError for a line that is something else."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != 3 or not all(cell.strip() for cell in cells):
                raise ValueError(f"{path}, line {number}: write lemma, features and form with tabs between")
            parts = [feature.partition("=") for feature in cells[1].split(",")]
            features = {key: value for key, _, value in parts}
            if not all(features.values()) or any(cell != "".join(cell.split()) for cell in features.values()):
                raise ValueError(f"{path}, line {number}: write features as key=value,key=value, not {cells[1]!r}")
            yield cells[0], features, cells[2]


def keys_of(features: Sequence[dict[str, str]]) -> list[str]:
    count = Counter(key for each in features for key in each)
    return sorted(count, key=lambda key: (-count[key], key))


def symbols(lemma: str, features: dict[str, str], keys: Sequence[str]) -> str:
    """A key that training has not seen is left out."""
    slots = [f"{key}={features[key]}" if key in features else NONE for key in keys]
    return " ".join([*slots, *(SPACE if letter == " " else letter for letter in lemma)])


if __name__ == "__main__":
    main()
