"""What it costs to look: predicting with one layer captured, with all, and not at all, in turn.

    python benchmarks/capture_speed.py [--run RUN] [--lines FILE] [--rounds 7]

Checks first that the outputs are the same bit by bit. Prints the median of the ratios to predicting unobserved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from pathlib import Path

from regard.attention import capture
from regard.embedded import english_french
from regard.run import Model

TEXT = "I don't know where the children went after the game. They are watching a film about the sea. "


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=english_french())
    parser.add_argument("--lines", type=Path, help="one input a line; a few English sentences if not given")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    text = options.lines.read_text(encoding="utf-8").splitlines()[:64] if options.lines else TEXT.split(". ")[:2] * 32
    model = Model.load(options.run, "cpu")
    names = model.network.sights()
    ways = {"not at all": None, "one layer": names[-1:], f"all {len(names)} layers": names}

    def said(which: list[str] | None) -> tuple[list[tuple[str, float]], float]:
        started = time.perf_counter()
        with capture(model.network, which) if which else nullcontext():
            found = [(p.text, p.score) for p in model.predict(text, 5)]
        return found, time.perf_counter() - started

    plain, _ = said(None)
    if any(said(which)[0] != plain for which in ways.values()):
        raise SystemExit("the outputs differ under observation: no speed for a wrong result")
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, which in ways.items():
            times[way].append(said(which)[1])
    for way, spent in times.items():
        ratio = statistics.median(a / b for a, b in zip(spent, times["not at all"], strict=True))
        print(f"{way:14} {statistics.median(spent):6.3f} s   {ratio:.2f}")


if __name__ == "__main__":
    main()
