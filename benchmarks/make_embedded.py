"""Make `regard/embedded/cmudict.tsv.gz` from the two files of CMUdict that the data folder holds.

    .venv/bin/python benchmarks/make_embedded.py

The data folder is $REGARD_DATA, or ../shared/data beside the repository; in it stand cmudict/train.tsv,
cmudict/dev.tsv (a line each: word, tab, phones without stress) and cmudict/LICENSE. The result has a line for each
pronunciation, in the order of those files: split, word, phones, between tabs. It is the same, byte for byte, each
time it is made from the same files by the same zlib. See `regard/embedded/README.md`.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1_500_000  # bytes that the package may carry for the demonstration


def rows(path: Path, split: str) -> list[tuple[str, str, str]]:
    """The pronunciations of one file. Raises ValueError with file and line where a line is not word, tab, phones."""
    found: list[tuple[str, str, str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), start=1):
        parts = line.split("\t")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"{path}:{number}: expected a word, a tab and phones, found {line!r}")
        found.append((split, parts[0], parts[1]))
    return found


def main() -> int:
    folder = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "cmudict"
    target = ROOT / "regard" / "embedded"
    if not (folder / "train.tsv").is_file():
        print(f"{folder} has no train.tsv: set REGARD_DATA to the folder that holds cmudict/", file=sys.stderr)
        return 2
    train, dev = rows(folder / "train.tsv", "train"), rows(folder / "dev.tsv", "dev")
    both = {word for _, word, _ in train} & {word for _, word, _ in dev}
    if both:
        print(f"{len(both)} words stand on both sides, such as {min(both)!r}: the split is no split", file=sys.stderr)
        return 1
    text = "".join("\t".join(row) + "\n" for row in train + dev)
    packed = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
    if len(packed) > LIMIT:
        print(f"{len(packed)} bytes are more than the {LIMIT} that the package may carry", file=sys.stderr)
        return 1
    (target / "cmudict.tsv.gz").write_bytes(packed)
    (target / "CMUDICT-LICENSE").write_bytes((folder / "LICENSE").read_bytes())
    print(f"{len(train)} + {len(dev)} pronunciations in {len(packed)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
