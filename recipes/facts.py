"""Generated dialogues and reports, whose answer or summary has to repeat names and numbers that training never showed.

    python recipes/facts.py dialogue data/dialogue
    python recipes/facts.py summaries data/summaries

Writes train.tsv and dev.tsv into the folder: source, tab, target. Every name and number is drawn anew for each line, and
those of dev are in no line of train, so that only a model that looks at the source can say them. Beside what is asked
for, each source names somebody and counts something else: what is to be repeated has to be chosen.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TOWNS = ("paris", "rome", "oslo", "lima", "cairo", "delhi")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ONSETS = (*"bcdfghjklmnprstvwz", "br", "dr", "gl", "kr", "pl", "sh", "st", "tr")
VOWELS = (*"aeiou", "ai", "ea", "ou")
CODAS = ("", "", "l", "n", "r", "s", "ck", "x")


class Fresh:
    """Names and numbers that it has not given before."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.given: set[str] = set()

    def name(self) -> str:
        return self._new(lambda: "".join(self._syllable() for _ in range(self.random.choice((2, 2, 3)))))

    def number(self) -> str:
        return self._new(lambda: str(self.random.randrange(1000, 1_000_000)))

    def of(self, choices: Sequence[str]) -> str:
        return self.random.choice(choices)

    def shuffled(self, parts: Sequence[str]) -> list[str]:
        return self.random.sample(parts, len(parts))

    def _syllable(self) -> str:
        return self.of(ONSETS) + self.of(VOWELS) + self.of(CODAS)

    def _new(self, draw: Callable[[], str]) -> str:
        while (found := draw()) in self.given:
            pass
        self.given.add(found)
        return found


def dialogue(fresh: Fresh) -> tuple[str, str]:
    """Two turns and the answer to the second."""
    who, other, number, town, day = fresh.name(), fresh.name(), fresh.number(), fresh.of(TOWNS), fresh.of(DAYS)
    greeting = fresh.of(
        (
            f"A: good morning , {who} speaking . {other} gave me your number .",
            f"A: hello , i am calling for {other} . my name is {who} .",
            f"A: this is {who} , not {other} . B: how can i help ?",
        )
    )
    match fresh.random.randrange(4):
        case 0:
            ask = f"A: i lost my ticket {number} to {town} ."
            answer = f"B: do not worry , {who} , ticket {number} is found ."
        case 1:
            ask = f"A: when does train {number} leave for {town} ?"
            answer = f"B: train {number} leaves on {day} , {who} ."
            ask = f"{ask} i cannot go before {day} ."
        case 2:
            ask = f"A: please send {number} flowers to {town} on {day} ."
            answer = f"B: {number} flowers from {who} , on {day} ."
        case _:
            ask = f"A: who else is in room {number} ?"
            answer = f"B: room {number} is shared with {other} , {who} ."
    return f"{greeting} {ask}", answer


def summaries(fresh: Fresh) -> tuple[str, str]:
    """A report of five sentences in any order and the one sentence that says who won, what and where."""
    winner, loser, judge, score, crowd = (
        fresh.name(),
        fresh.name(),
        fresh.name(),
        fresh.number(),
        fresh.number(),
    )
    town, day = fresh.of(TOWNS), fresh.of(DAYS)
    sport = fresh.of(("chess", "tennis", "golf", "judo"))
    parts = [
        fresh.of((f"the title goes to {winner} .", f"{winner} could not be stopped .", f"{winner} is the champion .")),
        fresh.of((f"{loser} left in tears .", f"it was a bad day for {loser} .", f"{loser} had no chance .")),
        fresh.of((f"{judge} was the judge .", f"the music was by {judge} .", f"tea was served by {judge} .")),
        fresh.of((f"the prize was {score} euros .", f"{score} euros were paid for the first place .")),
        fresh.of((f"{crowd} people came to {town} .", f"in {town} , {crowd} people looked on .")),
    ]
    summary = f"{winner} beats {loser} in {town} and wins {score} euros ."
    return f"{sport} on {day} : {' '.join(fresh.shuffled(parts))}", summary


KINDS = {"dialogue": dialogue, "summaries": summaries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("folder", type=Path, metavar="DIR", help="where train.tsv and dev.tsv go")
    parser.add_argument("--train", type=int, default=10_000, help="lines to train on (10000)")
    parser.add_argument("--dev", type=int, default=500, help="lines to measure with (500)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fresh = Fresh(options.seed)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        for name, count in (("train", options.train), ("dev", options.dev)):
            lines = ("\t".join(KINDS[options.kind](fresh)) + "\n" for _ in range(count))
            (options.folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8", newline="\n")
    except OSError as error:
        sys.exit(f"facts.py: {error.filename} cannot be written ({error.strerror})")


if __name__ == "__main__":
    main()
