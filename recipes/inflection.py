"""Lemma, features and form (SIGMORPHON 2016) as pairs of lines that Regard reads: a letter or a feature each a symbol.

    python recipes/inflection.py german-task1-train > german-train.tsv

    aalen <TAB> pos=V,tense=PST <TAB> geaalt   becomes   a a l e n pos=V tense=PST <TAB> geaalt

The features come behind the letters, for attention that goes from left to right says endings last, and what they are
hangs on the features. A space in a lemma is written "▁", and the form is left as it is written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

SPACE = "▁"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="lemma, features and form, with tabs between")
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        found = list(rows(options.file))
    except OSError as error:
        sys.exit(f"inflection.py: {error.filename} cannot be read ({error.strerror})")
    except ValueError as error:
        sys.exit(f"inflection.py: {error}")
    for lemma, features, form in found:
        letters = [SPACE if letter == " " else letter for letter in lemma]
        print(f"{' '.join([*letters, *features])}\t{form}")


def rows(path: Path) -> Iterator[tuple[str, list[str], str]]:
    """ValueError for an empty file, and for a line that is something else."""
    with open(path, "rb") as file:
        number = 0
        for number, line in enumerate(file, 1):
            try:
                cells = line.decode("utf-8").rstrip("\r\n").split("\t")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}, line {number}: byte {error.start} is no UTF-8: give a text file in UTF-8"
                ) from error
            if len(cells) != 3 or not all(cell.strip() for cell in cells):
                raise ValueError(f"{path}, line {number}: write lemma, features and form with tabs between")
            features = cells[1].split(",")
            if not all(part.partition("=")[2] and part == "".join(part.split()) for part in features):
                raise ValueError(f"{path}, line {number}: write features as key=value,key=value, not {cells[1]!r}")
            yield cells[0], features, cells[2]
        if not number:
            raise ValueError(f"{path} is empty: give lemma, features and form with tabs between, one word a line")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads it has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
