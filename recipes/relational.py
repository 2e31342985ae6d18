"""Drawn pictures of six coloured shapes as files, with questions about them and their answers: recipes/relational.toml
draws such pictures for itself, and leaves none to look at.

    python recipes/relational.py data/relational

Writes questions.jsonl into the folder, a line {"image": …, "question": …, "answer": …} for each question, and a PNG for
each picture into images/ in it. Without --seed they are the first of those that `regard evaluate` draws, which no
training has seen.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from PIL import Image

from regard.data.relational import generate
from regard.errors import UsageError
from regard.run.questions.data import TEST_SEED


def write(folder: Path, count: int, seed: int, size: int) -> None:
    pictures, questions = generate(count, seed, size=size)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
    rows = [
        {"image": f"images/{row.picture}.png", "question": row.text, "answer": row.answer} for row in questions.rows
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8", newline="\n")
    print(f"{folder / 'questions.jsonl'}: {len(rows):,} questions about {count:,} pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where questions.jsonl and images/ go")
    parser.add_argument("--pictures", type=int, default=20, metavar="N", help="how many to draw (20)")
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="of the drawing")
    parser.add_argument("--size", type=int, default=64, help="pixels each way (64)")
    options = parser.parse_args()
    try:
        write(options.folder, options.pictures, options.seed, options.size)
    except UsageError as error:
        sys.exit(f"relational.py: {error}")
    except OSError as error:
        sys.exit(f"relational.py: {error.filename} cannot be written ({error.strerror})")


if __name__ == "__main__":
    main()
