"""Text in every script goes to ids and back; what looks like a special token is text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.batch import SPECIAL_TOKENS, UNK
from regard.data import Kind, Tokenizer, alike
from regard.errors import RegardError, UsageError

LINES = [
    "Hello, world! It's a test.",
    "你好 世界",
    "مرحبا بالعالم",
    "👩‍👩‍👧 family",
    "e\u0301te\u0301 naïve",
    "<s> </s> <pad> x",
] * 3
KINDS: tuple[Kind, ...] = ("bpe", "unigram", "characters", "words")
TRAINED = {kind: Tokenizer.train(kind, LINES, 300) for kind in KINDS}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@given(st.lists(st.sampled_from([w for line in LINES for w in line.split()]), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_known_text_comes_back(kind: Kind, words: list[str]) -> None:
    tokenizer, text = TRAINED[kind], " ".join(words)
    encoding = tokenizer.encode(text)
    if kind == "words":  # whose vocabulary has the special tokens' names for other things
        text = " ".join("<unk>" if word in SPECIAL_TOKENS else word for word in words)
    assert tokenizer.decode(encoding.ids) == text
    assert tokenizer.encode_batch([text, text])[1] == tokenizer.encode(text).ids
    assert all(i == UNK or i >= len(SPECIAL_TOKENS) for i in encoding.ids)


@kinds
def test_tokens_point_into_the_text_and_its_words(kind: Kind) -> None:
    tokenizer, text = TRAINED[kind], "  Hello, world! 世界  "
    encoding = tokenizer.encode(text)
    words = text.split()
    assert encoding.words == sorted(encoding.words) and set(encoding.words) == set(range(len(words)))
    for (start, end), word in zip(encoding.offsets, encoding.words, strict=True):
        piece = text.strip()[start:end].strip()
        assert piece in words[word]
    assert tokenizer.split_words(text) == words
    assert tokenizer.words(encoding.ids) == (words, encoding.words)


def test_a_single_word_is_spelled_letter_by_letter() -> None:
    tokenizer = TRAINED["characters"]
    assert tokenizer.split_words("test") == list("test")
    assert tokenizer.encode("test").words == [0, 1, 2, 3]
    ids = tokenizer.encode("test").ids
    assert tokenizer.words(ids) == (list("test"), [0, 1, 2, 3])
    # A letter and its combining mark are one character to a reader.
    assert tokenizer.encode("e\u0301te\u0301").tokens == ["e\u0301", "t", "e\u0301"]


@kinds
def test_unknown_empty_and_huge_text(kind: Kind) -> None:
    tokenizer = TRAINED[kind]
    assert UNK in tokenizer.encode("ᚠ").ids
    assert tokenizer.encode("").ids == [] and tokenizer.decode([]) == ""
    huge = tokenizer.encode("Hello " * 10_000)
    assert huge.words[-1] == 9_999
    assert huge.first(5).tokens == huge.tokens[:5]
    assert tokenizer.encode("a\ud800b") is not None  # a lone surrogate, which no file in UTF-8 holds


@kinds
def test_saved_and_loaded_it_is_the_same(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    TRAINED[kind].save(path)
    loaded = Tokenizer.load(path)
    assert (loaded.kind, loaded.size) == (kind, TRAINED[kind].size)
    assert [loaded.encode(line).ids for line in LINES] == [TRAINED[kind].encode(line).ids for line in LINES]
    for text in (path.read_text()[:200], '{"model": {}}', "", "[]"):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"tokenizer\.json is no tokenizer"):
            Tokenizer.load(path)
    with pytest.raises(UsageError, match="is missing"):
        Tokenizer.load(tmp_path / "none.json")


def test_nothing_to_learn_is_said() -> None:
    with pytest.raises(RegardError, match="no words tokens could be learned"):
        Tokenizer.train("words", [], 100)


def test_tokens_that_are_written_alike_are_each_other_s_copies() -> None:
    source = Tokenizer.train("words", ["pos=V a b ä", "pos=N b ß"], 50)
    target = Tokenizer.train("characters", ["bäa", "ßab", "a c"], 50)
    same = alike(source, target)
    assert len(same) == source.size
    assert [same[i] for i in (0, 1, 2, 3)] == [-1, -1, -1, 3]  # of the special tokens only the end
    ids = source.encode("pos=V a b ä ß").ids
    assert same[ids[0]] == -1
    assert target.decode([same[i] for i in ids[1:]]) == "abäß"
    assert alike(target, target)[4:] == list(range(4, target.size))
