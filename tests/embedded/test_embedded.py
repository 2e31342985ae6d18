from __future__ import annotations

import gzip
import subprocess
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import regard.embedded
from regard.embedded import pronunciations
from regard.errors import RegardError, UsageError

FOLDER = Path(regard.embedded.__file__).parent
# The dictionary's own counts, taken with wc and cut | sort -u from the two files it came from.
COUNTS = {"train": (111_227, 119_036), "dev": (2_443, 2_618)}
ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"


@pytest.mark.parametrize("split", ["train", "dev"])
def test_counts_of_words_and_pronunciations(split: Any) -> None:
    words = pronunciations(split)
    assert (len(words), sum(len(spoken) for _, spoken in words)) == COUNTS[split]
    assert len({word for word, _ in words}) == len(words)
    assert all(len(set(spoken)) == len(spoken) >= 1 for _, spoken in words)


def test_the_file_counts_the_same_for_another_program() -> None:
    lines = subprocess.run(
        ["gzip", "-dc", str(FOLDER / "cmudict.tsv.gz")], check=True, capture_output=True
    ).stdout.splitlines()
    for split, (words, spoken) in COUNTS.items():
        of_split = [line.split(b"\t") for line in lines if line.startswith(split.encode() + b"\t")]
        assert len(of_split) == spoken
        assert len({word for _, word, _ in of_split}) == words
    assert len(lines) == 119_036 + 2_618


def test_no_word_is_on_both_sides() -> None:
    assert not {word for word, _ in pronunciations("train")} & {word for word, _ in pronunciations("dev")}


def test_known_words() -> None:
    dictionary = dict(pronunciations("train")) | dict(pronunciations("dev"))
    assert dictionary["read"] == ["R EH D", "R IY D"]
    assert dictionary["cat"] == ["K AE T"]
    assert dictionary["aaronson"] == ["EH R AH N S AH N", "AA R AH N S AH N"]
    assert dictionary["a's"] == ["EY Z"]


def test_spelling_and_phones_are_what_the_readme_says() -> None:
    dictionary = pronunciations("train") + pronunciations("dev")
    assert set("".join(word for word, _ in dictionary)) == set("abcdefghijklmnopqrstuvwxyz'")
    phones = {phone for _, spoken in dictionary for line in spoken for phone in line.split(" ")}
    assert " ".join(sorted(phones)) == ARPABET


def test_notice_stands_beside_the_data_and_in_notice() -> None:
    notice = (FOLDER / "CMUDICT-LICENSE").read_text(encoding="utf-8")
    assert notice.startswith("Copyright (C) 1993-2015 Carnegie Mellon University. All rights reserved.")
    assert "Redistributions in binary form must reproduce the above copyright" in notice
    root = FOLDER.parent.parent
    assert notice in (root / "NOTICE").read_text(encoding="utf-8")


def test_size_stays_small() -> None:
    assert (FOLDER / "cmudict.tsv.gz").stat().st_size <= 1_500_000


def test_read_from_a_zip_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """importlib.resources must find the data where the package is no folder."""
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed/__init__.py", (FOLDER / "__init__.py").read_text(encoding="utf-8"))
        archive.write(FOLDER / "cmudict.tsv.gz", "packed/cmudict.tsv.gz")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    import packed  # pyright: ignore[reportMissingImports]

    assert len(packed.pronunciations("dev")) == 2_443


def test_another_split_is_one_sentence() -> None:
    wrong: Any = "test"
    with pytest.raises(UsageError, match='"train" and "dev", not \'test\''):
        pronunciations(wrong)


WHOLE = gzip.compress(b"train\tcat\tK AE T\n" * 9)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"not gzip", WHOLE[:-12], WHOLE[:20] + b"\xff" * 6 + WHOLE[26:], gzip.compress(b"train cat\n")],
    ids=["missing", "empty", "foreign", "cut", "flipped", "two columns"],
)
def test_damage_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "cmudict.tsv.gz").write_bytes(content)
    monkeypatch.setattr(regard.embedded, "files", lambda name: tmp_path)
    with pytest.raises(RegardError, match=r"cmudict\.tsv\.gz cannot be read"):
        pronunciations("train")


def test_files_are_the_packages_own() -> None:
    assert files("regard.embedded").joinpath("cmudict.tsv.gz").is_file()
