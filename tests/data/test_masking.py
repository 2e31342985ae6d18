"""Masked text: the share of places, what becomes of them, whole words, and draws that three numbers decide."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chisquare

from regard.batch import EOS, PAD, UNK
from regard.data import Tokenizer
from regard.data.masking import MaskedBatches, mask, word_beginnings
from regard.data.text import TextCorpus

VOCABULARY = 29
DRAW = np.random.default_rng(5)
DOCUMENTS = [DRAW.integers(4, VOCABULARY, n).tolist() for n in DRAW.poisson(20, 403) + 1]
CORPUS = TextCorpus.in_memory(DOCUMENTS)


def test_80_10_10() -> None:
    ids = DRAW.integers(4, VOCABULARY, (997, 101))
    shown, places = mask(ids, np.random.default_rng(1), VOCABULARY)
    assert (places.sum(axis=1) == 15).all()  # of 101, 15.15
    assert (shown[~places] == ids[~places]).all()
    was, now = ids[places], shown[places]
    hidden, same = now == VOCABULARY, now == was
    # A token drawn evenly among 25 is the same one by chance in a 25th of the cases.
    shares = [0.8, 0.1 * 24 / 25, 0.1 + 0.1 / 25]
    counts = [hidden.sum(), (~hidden & ~same).sum(), same.sum()]
    assert chisquare(counts, np.array(shares) * len(was)).pvalue > 1e-3
    others = now[~hidden & ~same]
    assert chisquare(np.bincount(others, minlength=VOCABULARY)[4:]).pvalue > 1e-3
    where = np.bincount(np.nonzero(places)[1], minlength=101)
    assert chisquare(where).pvalue > 1e-3


def test_special_tokens_are_neither_masked_nor_drawn() -> None:
    ids = np.full((211, 13), PAD)
    ids[:, :9] = DRAW.integers(4, VOCABULARY, (211, 9))
    ids[:, 4], ids[:, 9] = UNK, EOS
    shown, places = mask(ids, np.random.default_rng(1), VOCABULARY, rate=0.9)
    assert (places.sum(axis=1) == 7).all()  # of 8, 7.2
    assert not places[ids < 4].any() and (shown[ids < 4] == ids[ids < 4]).all() and (shown[ids >= 4] >= 4).all()
    _, none = mask(np.array([[UNK, EOS], [7, EOS]]), np.random.default_rng(1), VOCABULARY)
    assert none.tolist() == [[False, False], [True, False]]


def test_words_are_masked_whole_at_the_same_rate() -> None:
    begins = np.zeros(VOCABULARY, dtype=bool)
    begins[4:14] = True
    ids = DRAW.integers(4, VOCABULARY, (499, 67))
    ids[:, -1] = EOS
    _, places = mask(ids, np.random.default_rng(2), VOCABULARY, beginnings=begins)
    first = begins[ids]
    first[:, 0] = True
    for row, starts in zip(places, first, strict=True):
        bounds = [*np.flatnonzero(starts).tolist(), 66]
        for a, b in pairwise(bounds):
            assert row[a:b].all() or not row[a:b].any()
        assert row.any() and not row[66]
    assert places.sum() / (499 * 66) == pytest.approx(0.15, abs=0.006)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("words", "the cat sat", [True, True, True]),
        ("characters", "ab c", [False, False, True, False]),
    ],
)
def test_words_begin_where_the_tokenizer_says(kind: str, text: str, expected: list[bool]) -> None:
    tokenizer = Tokenizer.train(kind, [text, text], 50)  # type: ignore[arg-type]
    assert word_beginnings(tokenizer)[tokenizer.encode(text).ids].tolist() == expected


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_belong_to_the_word_before_them(kind: str) -> None:
    lines = ["unlikely", "likely", "un", "kindly", "unkind, likely"] * 5
    tokenizer = Tokenizer.train(kind, lines, 40)  # type: ignore[arg-type]
    ids = tokenizer.encode("unlikely, unkindly").ids
    begins = word_beginnings(tokenizer)[ids]
    _, words = tokenizer.words(ids)
    assert begins.sum() == 2 < len(ids)
    assert (begins.cumsum() - 1).tolist() == words


def rows(batches: MaskedBatches, number: int, start: int = 0) -> list[tuple[list[list[int]], list[list[bool]]]]:
    return [(b.tokens.tolist(), b.places.tolist()) for b in batches.epoch(number, start)]


def test_seed_epoch_and_index_decide() -> None:
    def made(seed: int) -> MaskedBatches:
        return MaskedBatches(CORPUS, 64, 300, seed, vocabulary=VOCABULARY)

    assert rows(made(1), 0) == rows(made(1), 0)
    assert rows(made(1), 0) != rows(made(1), 1) and rows(made(1), 0) != rows(made(2), 0)
    assert rows(made(1), 2, start=5) == rows(made(1), 2)[5:]
    assert made(1).count(2) == len(rows(made(1), 2))
    fixed = MaskedBatches(CORPUS, 64, 300, 1, vocabulary=VOCABULARY, shuffle=False)
    assert rows(fixed, 0) == rows(fixed, 0)
    # The draw of a batch is no other batch's.
    same = TextCorpus.in_memory([list(range(4, 24))] * 30)
    drawn = MaskedBatches(same, 64, 21, 1, vocabulary=VOCABULARY, shuffle=False)
    assert len({str(p) for n in range(3) for _, p in rows(drawn, n)}) > 80


@pytest.mark.parametrize("context", [7, 64])
def test_every_document_comes_once_in_even_pieces(context: int) -> None:
    found: dict[int, list[list[int]]] = {}
    for batch in MaskedBatches(CORPUS, context, 200, 3, vocabulary=VOCABULARY).epoch(1):
        assert batch.labels.numel() <= 200 and batch.labels.shape[1] <= context
        assert batch.target_tokens == batch.places.sum() >= len(batch)
        for row, document in enumerate(batch.rows.tolist()):
            length = int(batch.lengths[row])
            assert batch.labels[row, length - 1] == EOS and (batch.labels[row, length:] == PAD).all()
            found.setdefault(document, []).append(batch.labels[row, : length - 1].tolist())
            assert batch.tokens[row][~batch.places[row]].equal(batch.labels[row][~batch.places[row]])
    assert sorted(found) == list(range(len(DOCUMENTS)))
    for document, pieces in found.items():
        assert sorted(i for piece in pieces for i in piece) == sorted(DOCUMENTS[document])
        assert len(pieces) == -(-len(DOCUMENTS[document]) // (context - 1))
        assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_documents_without_a_token_to_mask_are_left_out() -> None:
    corpus = TextCorpus.in_memory([[UNK, UNK], [5, UNK], [], [6, 7]])
    batches = MaskedBatches(corpus, 9, 99, 0, vocabulary=VOCABULARY)
    assert sorted(r for b in batches.epoch(0) for r in b.rows.tolist()) == [1, 3]


def test_wrong_use_is_said() -> None:
    for wrong, sentence in (({"context": 1}, "at least 2"), ({"rate": 1.0}, "share"), ({"vocabulary": 4}, "special")):
        options = {"context": 9, "batch_tokens": 9, "seed": 0, "vocabulary": VOCABULARY} | wrong
        with pytest.raises(ValueError, match=sentence):
            MaskedBatches(CORPUS, **options)  # type: ignore[arg-type]
