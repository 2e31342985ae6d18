"""What a training of captions reads: JSONL files, pictures of one size, tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from regard.config.captioning import CaptionDataPart, CaptioningRecipe
from regard.data import Tokenizer
from regard.data.images import Shape, build_pictures
from regard.data.json_lines import parse_object
from regard.data.picture_lines import PictureLine, naming_lines, read_picture_lines
from regard.data.reader import raw_lines
from regard.errors import RegardError, UsageError
from regard.evaluation.captions import caption_words
from regard.run.corpus import held_out
from regard.run.folder import RunFolder
from regard.run.pictures import unchanged

VALIDATED_PICTURES = 1000  # more would cost minutes at each validation and change no choice

Captioned = Mapping[Path, list[str]]
"""Each picture and all that is said about it."""


@dataclass(frozen=True)
class CaptionData:
    """Pictures and (number of its picture, ids) of each caption, to train on; pictures and references to validate on,
    with the captions that the loss is measured on."""

    pictures: UInt8[np.ndarray, "N H W C"]
    captions: list[tuple[int, list[int]]]
    valid_pictures: UInt8[np.ndarray, "M H W C"]
    references: list[list[str]]
    valid_captions: list[tuple[int, list[int]]]
    held_out: bool


def shape_of(part: CaptionDataPart) -> Shape:
    return Shape(part.height, part.width, part.channels, part.fit)


def captioned(path: Path, split: str | None) -> dict[Path, list[str]]:
    """All captions of each picture in a JSONL file, whether its lines hold one or several. UsageError names the line
    that lacks something."""
    return _together(read_picture_lines(path, split=split))


def _together(lines: Iterable[PictureLine]) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for line in lines:
        found.setdefault(line.image, []).extend(line.captions)
    return found


def prepared(
    recipe: CaptioningRecipe, folder: RunFolder, console: Console, resume: bool
) -> tuple[CaptionData, Tokenizer]:
    """Everything a training reads, decoded and tokenised once. UsageError where a run would go on with other files."""
    data = recipe.data
    train, valid, apart = _sides(data, recipe.seed)
    if apart:
        console.print(
            f"no validation captions were given: {len(valid):,} pictures are kept from training for it", highlight=False
        )
    step = max(1, -(-len(valid) // VALIDATED_PICTURES))  # spread over the file, which may be sorted
    valid = dict(list(valid.items())[::step])
    shape = shape_of(data)
    with naming_lines(data.data, data.valid_data):
        lists = [Path(name) for name in (data.data, data.valid_data) if name is not None]
        unchanged(lists, [*train, *valid], recipe.seed, data, folder, resume)
        pictures = build_pictures(list(train), folder.corpus / "train", shape)
        valid_pictures = build_pictures(list(valid), folder.corpus / "valid", shape)
    place = folder.tokenizer("target", True)
    if resume:
        tokenizer = Tokenizer.load(place)
    else:
        texts = (plain(text, data) for those in train.values() for text in those)
        tokenizer = Tokenizer.train(data.tokenizer, texts, data.vocabulary)
        tokenizer.save(place)
    captions, long = _tokenised(train, tokenizer, data)
    valid_captions, _ = _tokenised(valid, tokenizer, data)
    if long:
        console.print(f"{long:,} captions are longer than data.max_length = {data.max_length} tokens; dropped")
    if not captions or not valid_captions:
        raise RegardError(f"{data.data}: no caption is within data.max_length = {data.max_length} tokens; raise it")
    found = CaptionData(pictures, captions, valid_pictures, list(valid.values()), valid_captions, apart)
    return found, tokenizer


def plain(text: str, data: CaptionDataPart) -> str:
    return " ".join(caption_words(text)) if data.plain else text


def _sides(data: CaptionDataPart, seed: int) -> tuple[Captioned, Captioned, bool]:
    """What to train on and what to validate on; whether the latter was kept from the former."""
    assert data.data is not None
    path = Path(data.data)
    lines = list(read_picture_lines(path, split=data.split))
    train = _together(lines)
    if data.valid_data is not None:
        return train, captioned(Path(data.valid_data), data.valid_split), False
    splits = _splits(path) - {data.split, None}
    if data.valid_split in splits:
        known = {line.line for line in lines}  # a line that says nothing belongs to every split
        rest = (line for line in read_picture_lines(path, split=data.valid_split) if line.line not in known)
        return train, _together(rest), False
    if splits:
        names = ", ".join(f'"{name}"' for name in sorted(str(split) for split in splits))
        raise UsageError(
            f'{path} has no line with "split": "{data.valid_split}" to validate on, but {names}: set data.valid_split, '
            "or give --valid-data"
        )
    chosen = held_out(len(train), seed)
    kept = {image: texts for image, texts in train.items() if chosen(image.name)}
    if not kept:
        raise RegardError(f"{path} has too few pictures to keep some for validation: give --valid-data")
    return {image: texts for image, texts in train.items() if image not in kept}, kept, True


def _splits(path: Path) -> set[str | None]:
    lines = ((f"{path}, line {number}", line) for number, line in enumerate(raw_lines(path), start=1) if line.strip())
    named = (parse_object(line, where).get("split") for where, line in lines)
    return {name if name is None else str(name) for name in named}


def splits_note(path: Path) -> list[str]:
    """A sentence where a file holds several splits, of which none was asked for."""
    names = ", ".join(sorted(name for name in _splits(path) if name is not None))
    return [f"{path} holds several splits ({names}), and all are scored: --split takes one"] if "," in names else []


def check_split(path: Path, split: str) -> None:
    """UsageError for a split that no line names: lines that name none belong to all, so that it would go unnoticed."""
    known = _splits(path)
    if split not in known:
        names = ", ".join(f'"{name}"' for name in sorted(name for name in known if name is not None))
        advice = f"name {names}" if names else "no line has one, so leave it out"
        raise UsageError(f'{path} has no line with "split": "{split}": {advice}')


def _tokenised(side: Captioned, tokenizer: Tokenizer, data: CaptionDataPart) -> tuple[list[tuple[int, list[int]]], int]:
    """(number of its picture, ids) of each caption, and how many were too long."""
    numbers = [number for number, texts in enumerate(side.values()) for _ in texts]
    ids = tokenizer.encode_batch([plain(text, data) for texts in side.values() for text in texts])
    within = [(n, i) for n, i in zip(numbers, ids, strict=True) if i and len(i) <= data.max_length]
    return within, sum(len(i) > data.max_length for i in ids)
