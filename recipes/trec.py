"""Kinds of questions (Li & Roth 2002) as lines that `regard train --task classification` reads.

    python recipes/trec.py train_5500.label > train.tsv

A line `DESC:manner How did serfdom develop ?` becomes `How did serfdom develop ?`, a tab, and `DESC`: of the six coarse
kinds, the fine ones are left out. The file is Latin-1. A question that it holds more than once, if with other capitals, is
written once, so that none of those that are kept from training is trained on.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

LINE = re.compile(r"([A-Z]+):\S+ +(\S.*)")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python recipes/trec.py FILE > TABLE")
    path = Path(sys.argv[1])
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    try:
        content = path.read_bytes().decode("latin-1")  # which any bytes are
    except OSError as error:
        sys.exit(f"{path} cannot be read ({error.strerror})")
    lines = [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]
    if not any(lines):
        sys.exit(f"{path} is empty")
    kinds: dict[str, tuple[str, str]] = {}  # by the question in small letters: as it is written, and its kind
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found = LINE.fullmatch(line.strip())
        if found is None or "\t" in line:
            sys.exit(f"{path}, line {number}: write KIND:fine and a question, such as 'NUM:date When was it ?'")
        kind, text = found.groups()
        before = kinds.setdefault(text.lower(), (text, kind))[1]
        if before != kind:
            sys.exit(f"{path}, line {number}: '{text[:60]}' is {kind} here and {before} before: keep one")
    print("".join(f"{text}\t{kind}\n" for text, kind in kinds.values()), end="")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads it has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
