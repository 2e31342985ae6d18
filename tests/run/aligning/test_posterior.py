"""Two directions made one by what both hold probable: `regard align --symmetrise posterior`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from regard.batch import BOS, EOS, Batch, rectangle
from regard.cli import main
from regard.run import Alignments, Model, Wanted
from regard.run.aligning.choosing import links_of_posteriors
from regard.run.aligning.forcing import Side, forced_posteriors, side
from tests.run.translation.numbers import settings, write_corpus

MARKOV = [
    "model.kind=hidden-markov", "model.dim=16", "data.tokenizer=words", "training.precision=fp32", "training.device=cpu",
    "training.learning_rate=0.03", "training.warmup=5", "training.batch_tokens=400", "training.validate_every=60",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both directions of a lexicon, and a model that only attends."""
    made = tmp_path_factory.mktemp("posterior")
    write_corpus(made, "train", 300, 1)
    write_corpus(made, "valid", 40, 2)
    sides = {"there": ("src", "tgt"), "back": ("tgt", "src"), "attending": ("src", "tgt")}
    for name, (source, target) in sides.items():
        words = ["--source", str(made / f"train.{source}"), "--target", str(made / f"train.{target}")]
        small = ["model.kind=recurrent", "model.hidden=8", "model.embedding=8", "data.tokenizer=words"]
        keys, steps = (small, "2") if name == "attending" else (MARKOV, "60")
        assert main(["train", *words, "--out", str(made / name), "--steps", steps, *settings(keys)]) == 0
    return made


def test_a_link_is_where_the_mean_is_above_one_half() -> None:
    forward = np.array([[0.9, 0.0, 0.1], [0.4, 0.55, 0.0]])  # two target words, three source words
    backward = np.array([[0.2, 0.7], [0.1, 0.5], [0.95, 0.0]])
    # (0.9+0.2)/2 = .55; (0.4+0.7)/2 = .55; (0.55+0.5)/2 = .525; (0.1+0.95)/2 = .525; the others are less
    assert links_of_posteriors(forward, backward) == {(0, 0), (0, 1), (1, 1), (2, 0)}
    assert links_of_posteriors(np.full((1, 1), 0.5), np.full((1, 1), 0.5)) == frozenset()
    assert links_of_posteriors(np.zeros((0, 2)), np.zeros((2, 0))) == frozenset()


def test_words_are_summed_over_source_tokens_and_averaged_over_target_tokens(folder: Path) -> None:
    """As if the first two tokens of both sides were one word; a batch of several pairs comes back in order of numbers."""
    model = Model.load(folder / "there")
    lines = [("one two three", "eins zwei drei"), ("five", "fünf"), ("六 one", "sechs eins")]
    sources = [side(model.source_tokenizer, s) for s, _ in lines]
    targets = [side(model.target_tokenizer, t) for _, t in lines]
    joined = [(0, 1), (0, 1), (1, 2)]
    sources[0], targets[0] = Side(sources[0].ids, joined, 2), Side(targets[0].ids, joined, 2)
    found = dict(forced_posteriors(model.network, sources, targets))
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        read, lengths = rectangle([[*source.ids, EOS]])
        said, said_lengths = rectangle([[BOS, *target.ids, EOS]])
        [raw] = model.network.posterior(Batch(read, lengths, said, said_lengths, torch.arange(1))).numpy()
        tokens = raw[: len(target.ids), : len(source.ids)]
        if number == 0:
            tokens = np.stack((tokens[:, :2].sum(1), tokens[:, 2]), axis=1)
            tokens = np.stack((tokens[:2].mean(0), tokens[2]))
        np.testing.assert_allclose(found[number], tokens, atol=1e-5)


def test_two_that_sum_over_alignments_are_made_one_by_it_without_being_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--source", str(folder / "valid.src"), "--target", str(folder / "valid.tgt")]
    assert main(["align", str(folder / "there"), "--reverse", str(folder / "back"), *words]) == 0
    said = capsys.readouterr()
    assert "there and back: 40 pairs, linked where the mean of both probabilities is above one half" in said.err
    lines = (folder / "valid.src").read_text(encoding="utf-8").splitlines()
    right = sum(
        found == " ".join(f"{i}-{i}" for i in range(len(line.split())))
        for line, found in zip(lines, said.out.splitlines(), strict=True)
    )
    assert right > 0.9 * len(lines)
    assert (
        main(["align", str(folder / "there"), "--reverse", str(folder / "back"), *words, "--symmetrise", "union"]) == 0
    )
    assert "made one by union" in capsys.readouterr().err


def test_an_empty_side_has_no_links_and_a_word(folder: Path) -> None:
    there, back = Model.load(folder / "there"), Model.load(folder / "back")
    found = list(Alignments(there, [("one", "eins"), ("", "eins"), ("سبعة never-seen", "☃ sieben")], reverse=back))
    assert found[0].links == {(0, 0)} and found[1].links == frozenset() and "source is empty" in found[1].notes[0]
    assert (0, 1) in found[2].links


def test_what_only_attends_has_no_posterior(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--source", str(folder / "valid.src"), "--target", str(folder / "valid.tgt"), "--symmetrise"]
    for run, more, sentence in (
        ("there", ["posterior", "--reverse", str(folder / "attending")], "attending attends and does not say which"),
        ("there", ["posterior", "--reverse", str(folder / "back"), "--layer", "0"], "needs no layer, head or shift"),
        ("there", ["posterior"], "give --reverse RUN2 with --symmetrise"),
        ("there", ["best", "--reverse", str(folder / "back")], "one of intersection, union, grow-diag,"),
    ):
        assert main(["align", str(folder / run), *words, *more]) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1
    there, attending = Model.load(folder / "there"), Model.load(folder / "attending")
    assert Alignments(there, [("one", "eins")], reverse=attending).report().heuristic == "grow-diag-final-and"
    assert Alignments(there, [("one", "eins")], reverse=there, wanted=Wanted(layer=0)).report().heuristic != "posterior"
