"""Text to ids and back, by the `tokenizers` library: characters, words, BPE, unigram, trained from the corpus."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Library

from regard.batch import EOS, SPECIAL_TOKENS, UNK
from regard.data.merges import Halves, halves_of
from regard.errors import RegardError, UsageError

Kind = Literal["characters", "words", "bpe", "unigram"]
SPACE = "▁"
ALPHABET = 2000  # the commonest characters; a rarer one is unknown, and so is what it spells


@dataclass(frozen=True, slots=True)
class Encoding:
    """`offsets` are the characters [from, to) of each token, `words` the number of the word it lies in."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    words: list[int]

    def first(self, count: int) -> Encoding:
        return Encoding(self.ids[:count], self.tokens[:count], self.offsets[:count], self.words[:count])


class Tokenizer:
    """One side's tokens. Ids 0 to 3 are the special tokens of `regard.batch`, which no text contains.

    `bpe` (Sennrich et al. 2016) and `unigram` (Kudo 2018) cut words, and punctuation from words; `characters` are
    what a reader takes for one, with their combining marks; `words` lie between white space. White space at the
    ends is lost, and so is, with `words`, how much of it stood between two.
    """

    def __init__(self, library: Library, kind: Kind) -> None:
        library.encode_special_tokens = True  # "</s>" within a text is text, and no end
        self._library = library
        self.kind: Kind = kind

    # --- making -------------------------------------------------------------------------------------------------

    @classmethod
    def train(cls, kind: Kind, lines: Iterable[str], vocabulary: int) -> Tokenizer:
        """Learns at most `vocabulary` tokens; what does not occur twice is not worth one."""
        special = list(SPECIAL_TOKENS)
        options: dict[str, Any] = {"vocab_size": vocabulary, "special_tokens": special, "show_progress": False}
        unknown = SPECIAL_TOKENS[UNK]
        match kind:
            case "bpe":
                library = Library(models.BPE(unk_token=unknown))
                trainer: Any = trainers.BpeTrainer(min_frequency=2, limit_alphabet=ALPHABET, **options)
            case "unigram":
                library = Library(models.Unigram())
                trainer = trainers.UnigramTrainer(unk_token=unknown, **options)
            case "characters" | "words":
                library = Library(models.WordLevel({unknown: 0}, unk_token=unknown))
                trainer = trainers.WordLevelTrainer(**options)
        if kind in ("bpe", "unigram"):
            library.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Metaspace(SPACE, prepend_scheme="always"), pre_tokenizers.Punctuation("isolated")]
            )
            library.decoder = decoders.Metaspace(SPACE, prepend_scheme="always")
        elif kind == "characters":
            library.pre_tokenizer = pre_tokenizers.Split(Regex(r"\X"), "isolated")
            library.decoder = decoders.Fuse()
        else:
            library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            # A word that is spelled like a special token would take its place.
            lines = (" ".join(w for w in line.split() if w not in SPECIAL_TOKENS) for line in lines)
        library.train_from_iterator((_clean(line) for line in lines), trainer)
        if library.get_vocab_size() <= len(special):
            raise RegardError(f"no {kind} tokens could be learned: the corpus has no text that occurs more than once")
        return cls(library, kind)

    def save(self, path: Path) -> None:
        text = self._library.to_str(pretty=True)
        try:
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise RegardError(
                f"{path} cannot be written ({error.strerror}): make room or choose another folder"
            ) from error

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        try:
            text = path.read_text(encoding="utf-8")
            facts = json.loads(text)
            library = Library.from_str(text)
            special = [library.id_to_token(i) for i in range(len(SPECIAL_TOKENS))]
            kind = _kind(facts)
        except FileNotFoundError as error:
            raise UsageError(f"{path} is missing: the run was not copied whole") from error
        except Exception as error:  # the library raises bare Exception for whatever it cannot read
            raise UsageError(f"{path} is no tokenizer ({error}): it was cut off or is another file") from error
        if special != list(SPECIAL_TOKENS):
            raise UsageError(
                f"{path} is another program's tokenizer: its first tokens are not {', '.join(SPECIAL_TOKENS)}"
            )
        return cls(library, kind)

    # --- using --------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return self._library.get_vocab_size()

    def equals(self, other: Tokenizer) -> bool:
        """Whether it makes the same tokens, with the same ids, of every text."""
        return self is other or (self.kind == other.kind and self._library.to_str() == other._library.to_str())

    def halves(self) -> Halves | None:
        """What each token of a BPE was merged from; None for the other kinds."""
        if self.kind != "bpe":
            return None
        model = json.loads(self._library.to_str())["model"]
        # Files of older versions write a merge as one string.
        return halves_of(model["vocab"], [m.split(" ") if isinstance(m, str) else m for m in model["merges"]])

    def encode(self, text: str) -> Encoding:
        """Without special tokens."""
        found = self._library.encode(_clean(text), add_special_tokens=False)
        starts, count = _word_starts(text, self.kind)
        words = [min(starts[a], count - 1) if a < len(starts) else count - 1 for a, _ in found.offsets]
        return Encoding(_text_only(found.ids), found.tokens, list(found.offsets), words)

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        """Only the ids, quickly."""
        found = self._library.encode_batch_fast([_clean(line) for line in lines], add_special_tokens=False)
        return [_text_only(encoding.ids) for encoding in found]

    def decode(self, ids: Sequence[int], unknown: Sequence[str] = ()) -> str:
        """The text; special tokens say nothing, but that of the unknown. `unknown` are texts that stand for those, one
        for each in order."""
        ids = [i for i in ids if i >= len(SPECIAL_TOKENS) or i == UNK]
        if not unknown:
            return self._library.decode(ids, skip_special_tokens=False).strip()
        instead = iter(unknown)
        pieces = [next(instead) if i == UNK else self._library.id_to_token(i) or "" for i in ids]
        decoder = self._library.decoder
        return (" ".join(pieces) if decoder is None else decoder.decode(pieces)).strip()

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """As a reader may see them: the mark of a word's beginning stays, special tokens show their names."""
        return [self._library.id_to_token(i) or "" for i in ids]

    def split_words(self, text: str) -> list[str]:
        """The words that `Encoding.words` counts."""
        return list(text.strip()) if self._spelled(text) else text.split()

    def words(self, ids: Sequence[int]) -> tuple[list[str], list[int]]:
        """The words that ids spell, and the number of the word of each id."""
        pieces = [self._library.id_to_token(i) or "" for i in ids]
        spelled = self.kind == "characters" and not any(p.isspace() for p in pieces)
        words: list[str] = []
        word_of: list[int] = []
        begin = True
        for piece in pieces:
            if self.kind == "characters":
                if piece.isspace() and words:  # white space belongs to the word before it
                    word_of.append(len(words) - 1)
                    begin = True
                    continue
                new, text = begin or spelled, piece
                begin = False
            elif self.kind == "words":
                new, text = True, piece
            else:
                # A lone mark, of a second space or before an unknown character, begins a word that goes on.
                new = not words or (piece.startswith(SPACE) and words[-1] != "")
                text = piece.removeprefix(SPACE)
            if new:
                words.append(text)
            else:
                words[-1] += text
            word_of.append(len(words) - 1)
        return words, word_of

    def _spelled(self, text: str) -> bool:
        """A single word cut into characters: each character is a unit of its own."""
        return self.kind == "characters" and not any(c.isspace() for c in text.strip())


def alike(source: Tokenizer, target: Tokenizer) -> list[int]:
    """For each source token the target token of the same letters, or -1; of the special ones only the end has one."""
    ids = {text: i for i, text in enumerate(target.tokens(range(target.size))) if i >= len(SPECIAL_TOKENS)}
    found = [ids.get(text, -1) for text in source.tokens(range(source.size))]
    return [EOS if i == EOS else -1 if i < len(SPECIAL_TOKENS) else same for i, same in enumerate(found)]


def _text_only(ids: list[int]) -> list[int]:
    """A word that looks like a special token is an unknown word."""
    return [i if i >= len(SPECIAL_TOKENS) else UNK for i in ids] if ids and min(ids) < len(SPECIAL_TOKENS) else ids


def _clean(text: str) -> str:
    """Lone surrogates, which no UTF-8 holds, would stop the library."""
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def _kind(facts: dict[str, Any]) -> Kind:
    match facts["model"]["type"], facts["pre_tokenizer"]["type"]:
        case "BPE", _:
            return "bpe"
        case "Unigram", _:
            return "unigram"
        case "WordLevel", "Split":
            return "characters"
        case "WordLevel", _:
            return "words"
        case other, _:
            raise ValueError(f"a model of type {other}")


def _word_starts(text: str, kind: Kind) -> tuple[list[int], int]:
    """For each character of the stripped text the number of its word, and how many words there are. White space
    belongs to the word after it, whose first piece it begins; where it is a token of its own, to the word before."""
    stripped = text.strip()
    if kind == "characters" and not any(c.isspace() for c in stripped):
        return list(range(len(stripped))), max(1, len(stripped))
    numbers: list[int] = []
    word, inside = 0, False
    for character in stripped:
        if character.isspace():
            word += inside
            inside = False
        else:
            inside = True
        numbers.append(word - (kind == "characters" and not inside))
    return numbers, word + 1


__all__ = ["Encoding", "Kind", "Tokenizer"]
