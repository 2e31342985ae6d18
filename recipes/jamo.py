"""Korean words as the letters that a syllable is put together from, each a symbol, for models that read few words.

    python recipes/jamo.py kor_train.tsv > kor-train.tsv
    echo 가곡 | python recipes/jamo.py | regard predict runs/kor

A syllable such as 곡 is one of 11,172 characters, of which 8,000 words show too few; its letters ᄀ, ᅩ, ᆨ are few (Unicode
form NFD). What stands after a tab, the pronunciation, is left as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import unicodedata
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="words, one a line; stdin if not given")
    options = parser.parse_args()
    name = options.file or "standard input"
    try:
        data = sys.stdin.buffer.read() if options.file is None else options.file.read_bytes()
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except OSError as error:
        sys.exit(f"jamo.py: {options.file} cannot be read ({error.strerror})")
    except UnicodeDecodeError as error:
        sys.exit(f"jamo.py: {name}, byte {error.start} is no UTF-8: give a text file in UTF-8")
    if lines == [""]:
        sys.exit(f"jamo.py: {name} is empty: give words, one a line")
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    for line in lines:
        word, tab, rest = line.partition("\t")
        print(f"{letters(word)}{tab}{rest}")


def letters(word: str) -> str:
    return " ".join(unicodedata.normalize("NFD", "".join(word.split())))


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads it has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
