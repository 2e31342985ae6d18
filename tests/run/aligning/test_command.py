"""`regard align`, with runs that were trained on a corpus whose order is known."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from regard.cli import main
from regard.run import Alignments, Model, forced_attention
from regard.run.aligning.forcing import side
from tests.run.aligning.links import links

NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "六": "sechs"}
SETTINGS = [
    "data.tokenizer=words", "model.dropout=0.0", "training.warmup=10", "training.batch_tokens=400",
    "training.precision=fp32", "training.device=cpu", "model.kind=recurrent",
    "model.decoder=luong", "model.hidden=48", "model.embedding=32",
    "training.learning_rate=0.01", "training.validate_every=100", "data.max_length=20",
]  # fmt: skip


def write_reversed(folder: Path, name: str, count: int, seed: int) -> None:
    """Each target says its source's words from the last to the first."""
    draw = random.Random(seed)
    lines = [[draw.choice(list(NUMBERS)) for _ in range(draw.randint(1, 5))] for _ in range(count)]
    (folder / f"{name}.src").write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    (folder / f"{name}.tgt").write_text(
        "".join(" ".join(NUMBERS[w] for w in reversed(line)) + "\n" for line in lines), encoding="utf-8"
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`there` from source to target, and `back`, both with Luong's attention."""
    folder = tmp_path_factory.mktemp("align")
    write_reversed(folder, "train", 400, 1)
    write_reversed(folder, "valid", 30, 2)
    for run, source, target in (("there", "src", "tgt"), ("back", "tgt", "src")):
        files = [
            f"--{start}{side}={folder / name}.{ending}"
            for start, name in (("", "train"), ("valid-", "valid"))
            for side, ending in (("source", source), ("target", target))
        ]
        more = [part for key in SETTINGS for part in ("--set", key)]
        assert main(["train", *files, "--out", str(folder / run), "--steps", "200", *more]) == 0
    return folder


def given(folder: Path, *more: str) -> list[str]:
    return [str(folder / "there"), "--source", str(folder / "in.src"), "--target", str(folder / "in.tgt"), *more]


@pytest.fixture
def lines(runs: Path) -> list[str]:
    """Writes the files to align, with the gold links of what is reversed, counted from 1; returns the links."""
    draw = random.Random(7)
    # Each word once, so that only one alignment is right.
    chosen = [draw.sample(list(NUMBERS), draw.randint(2, 5)) for _ in range(23)]
    sources = [" ".join(line) for line in chosen]
    targets = [" ".join(NUMBERS[w] for w in reversed(line)) for line in chosen]
    wanted = [" ".join(f"{i}-{len(line) - 1 - i}" for i in range(len(line))) for line in chosen]
    for at, (source, target) in {3: ("", ""), 5: ("one", " "), 11: ("two " * 21, "zwei"), 23: ("", "eins")}.items():
        for side_, line in ((sources, source), (targets, target), (wanted, "")):
            side_.insert(at, line)
    (runs / "in.src").write_text("\r\n".join(sources) + "\r\n", encoding="utf-8")
    (runs / "in.tgt").write_text("\n".join(targets) + "\n", encoding="utf-8")
    gold = [" ".join(f"{int(b) + 1}-{int(a) + 1}" for a, b in re.findall(r"(\d)-(\d)", line)) for line in wanted]
    (runs / "in.gold").write_text("\n".join(gold) + "\n")
    return wanted


def share_right(found: list[str], wanted: list[str]) -> float:
    right = [links(a) & links(b) for a, b in zip(found, wanted, strict=True)]
    return sum(map(len, right)) / sum(len(links(line)) for line in wanted)


def test_as_many_lines_of_links_come_out_as_pairs_went_in(
    runs: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["align", *given(runs)]) == 0
    said = capsys.readouterr()
    found = said.out.split("\n")
    assert found.pop() == "" and len(found) == len(lines) == 27
    assert [i for i, line in enumerate(found) if not line] == [3, 5, 11, 23]
    assert share_right(found, lines) > 0.9
    assert "pair 4: no links, because both sides are empty\n" in said.err
    assert "pair 12: no links, because 21 source tokens are more than data.max_length = 20 of there" in said.err
    assert "there: 27 pairs, layer 0, the mean of all heads, shift output (by default)" in said.err


def test_a_prediction_that_is_forced_is_looked_at_as_when_it_was_said(runs: Path) -> None:
    model = Model.load(runs / "there", "cpu")
    sources = ["one two three four", "六 five", "four"]
    said = model.predict(sources, beam=1, attention=True)
    pairs = [(p.source, p.text) for p in said]
    read = [side(model.source_tokenizer, source) for source, _ in pairs]
    spoken = [side(model.target_tokenizer, target) for _, target in pairs]
    found = dict(forced_attention(model.network, read, spoken))
    for number, prediction in enumerate(said):
        assert prediction.attention is not None
        words = prediction.attention.words()[:, :-1]  # what it looked at while it said the same
        np.testing.assert_allclose(found[number][0, 0], words, atol=1e-5)
        links_then = [link for link in prediction.attention.alignment() if link[1] < len(words)]
        [one] = Alignments(model, [pairs[number]])
        assert one.links == frozenset(links_then)


def test_gold_links_score_both_directions_made_one(
    runs: Path, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    gold = ["--gold", str(runs / "in.gold"), "--reversed-gold"]
    out = tmp_path / "links.txt"
    both = ["--reverse", str(runs / "back"), "--symmetrise", "intersection", "--out", str(out)]
    assert main(["align", *given(runs, *gold, *both, "--json")]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    found = out.read_text().split("\n")[:-1]
    assert share_right(found, lines) > 0.9 and len(found) == 27
    assert report["reverse"] == "back" and report["symmetrise"] == "intersection" and report["sentences"] == 27
    assert report["chosen"] == "where both directions agree most on 23 pairs"
    assert report["choice"]["shift"] == report["reverse_choice"]["shift"] == "output"
    assert report["scores"]["aer"]["low"] <= report["scores"]["aer"]["value"] < 10
    assert report["scores"]["recall"]["value"] == pytest.approx(100 * share_right(found, lines))
    # The report does not mix with links on one stream.
    assert main(["align", *given(runs, *gold, "--tune", "9", "--one-based")]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 27 and "AER" not in said.out
    assert "against 18 gold sentences, without the 9 chosen on:\n  AER " in said.err
    assert "precision" in said.err and "recall" in said.err and "measure:aer|links:sure" in said.err


def test_pairs_of_a_table_are_aligned_too(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("target\tsource\nzwei eins\tone two\n\nfünf\tfive\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["align", str(runs / "there"), "--data", str(file), "--head", "0", "--layer", "0"]) == 0
    assert capsys.readouterr().out == "0-1 1-0\n\n0-0\n"
    file.write_bytes("eins\tone\nfünf\tfive\n".encode("latin1"))
    assert main(["align", str(runs / "there"), "--data", str(file)]) == 2
    assert "pairs.tsv, line 2: byte 2 of the source is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--gold", "short.gold"], r"lines of links in .*short\.gold are 2, but the sentences are 27; give one line"),
        (["--gold", "in.gold", "--tune", "27"], "--tune 27 leaves no gold sentence to score of 27"),
        (["--tune", "3"], "give --gold FILE with it"),
        (["--symmetrise", "union"], "give --reverse RUN2 with --symmetrise"),
        (["--layer", "1"], "there is no layer 1 in there: it has layers 0 to 0"),
        (["--head", "all"], "--head all is no head: write its number, from 0, or mean"),
        (["--head", "-1"], "--head -1 is no head"),
        (["--shift", "both"], "the shift is 'both'; it must be output or input"),
        (["--target", "short.gold"], r"differ in length: line 3 has no target"),
        (["--target", "latin1.txt"], r"regard: latin1\.txt, line 2, byte 2 is not UTF-8: save the file as UTF-8"),
        (["--source", "latin1.txt"], r"regard: latin1\.txt, line 2, byte 2 is not UTF-8"),
        (["--target", "binary"], r"regard: binary is a binary file"),
        (
            ["--gold", "far.gold", "--zero-based"],
            r"'9-1' names source word .* \(--(one|zero)-based\) or .* \(--reversed-gold\)",
        ),
        (
            ["--gold", "far.gold", "--one-based", "--reversed-gold"],
            r"\(--zero-based\) or .* \(leave out --reversed-gold",
        ),
        (["--gold", "vague.gold"], r"say which \(--zero-based or --one-based\)"),
        (["--out", "."], "is a folder: name a file to write"),
    ],
)
@pytest.mark.usefixtures("lines")
def test_wrong_use_is_one_sentence(
    runs: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    Path("short.gold").write_text("1-1\n1-1\n")
    Path("latin1.txt").write_bytes("eins\nfünf\n".encode("latin1"))
    Path("binary").write_bytes(bytes(range(256)) * 9 + bytes(99))
    Path("far.gold").write_text("9-1\n" + 26 * "\n")
    Path("vague.gold").write_text("1-1\n" + 26 * "\n")
    capsys.readouterr()
    assert main(["align", *given(runs), *more]) == 2
    said = capsys.readouterr()
    assert re.search(sentence, said.err) and said.err.count("\n") == 1 and said.err.startswith("regard: ")
    assert said.out == ""
