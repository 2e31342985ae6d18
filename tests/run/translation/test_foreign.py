"""Runs on text without spaces and on text that is spelled, trained for a few steps: what they are scored by, and when."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

import regard
from regard.cli import main
from regard.data import TablePairs
from regard.run.comparing.measuring import ScoredSet
from tests.run.translation.numbers import settings, write_corpus

WHO = {"我": "I", "他们": "they", "汤姆": "Tom", "你的朋友": "your friend"}
DOES = {"喜欢": "likes", "没有看见": "did not see", "今天买了": "bought today"}
WHAT = {"苹果。": "apples.", "那只黑色的猫！": "that black cat!", "一本书吗？": "a book?"}
KANA = dict(zip("あいうえおかきくけこ", ["a", "i", "u", "e", "o", "ka", "ki", "ku", "ke", "ko"], strict=True))
SMALL = [
    "model.kind=recurrent", "model.hidden=16", "model.embedding=8", "training.warmup=2", "training.batch_tokens=400",
    "training.precision=fp32", "training.device=cpu", "training.validate_every=3", "decoding.beam=1",
]  # fmt: skip
Begin = Callable[..., Path]


def sentences(count: int) -> list[tuple[str, str]]:
    draw = random.Random(1)
    chosen = [[draw.choice(list(part.items())) for part in (WHO, DOES, WHAT)] for _ in range(count)]
    return [("".join(z for z, _ in parts), " ".join(e for _, e in parts)) for parts in chosen]


def words(count: int) -> list[tuple[str, str]]:
    draw = random.Random(2)
    chosen = [draw.choices(list(KANA), k=draw.randint(1, 5)) for _ in range(count)]
    return [("".join(letters), " ".join(KANA[each] for each in letters)) for letters in chosen]


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return path


def began(folder: Path, rows: list[tuple[str, str]], *changes: str) -> Path:
    """A run of four steps, validated on 60 of its pairs."""
    files = [
        "--data",
        str(table(folder / "train.tsv", rows)),
        "--valid-data",
        str(table(folder / "valid.tsv", rows[:60])),
    ]
    assert main(["train", *files, "--out", str(folder / "run"), "--steps", "4", *settings([*SMALL, *changes])]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Begin:
    return lambda rows, *changes: began(tmp_path_factory.mktemp("foreign"), rows, *changes)


@pytest.fixture(scope="module")
def to_chinese(begin: Begin) -> Path:
    return begin([(e, z) for z, e in sentences(200)], "data.tokenizer=characters", "training.choose_by=chrf")


@pytest.fixture(scope="module")
def lexicon(begin: Begin) -> Path:
    return begin(words(200), "training.choose_by=bleu")


def scores(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(run.parent / "valid.tsv"), "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)["scores"]


def validated(run: Path) -> set[str]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {key for row in rows for key in row if key.startswith("valid_")}


def test_chinese_into_english_is_text(begin: Begin) -> None:
    run = begin(sentences(200), "training.choose_by=bleu")
    data = regard.load(run).recipe.data
    assert (data.source_tokenizer, data.spelling) == ("bpe", False)
    assert validated(run) == {"valid_loss", "valid_bleu", "valid_chrf2"}
    [first, *_] = json.loads((run / "report.json").read_text())["scores"]
    assert first["name"] == "BLEU" and "tok:13a" in first["signature"]


def test_english_into_chinese_is_scored_by_its_characters(to_chinese: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validated(to_chinese) == {"valid_loss", "valid_bleu", "valid_chrf2"}
    for found in (json.loads((to_chinese / "report.json").read_text())["scores"], scores(to_chinese, capsys)):
        assert [each["name"] for each in found] == ["BLEU", "chrF2", "TER", "exact match", "CER"]
        assert "tok:zh" in found[0]["signature"] and "norm:yes" in found[2]["signature"]
        assert "asian:yes" in found[2]["signature"]


@pytest.mark.parametrize("tokenize", ["13a", "char", "none"])
def test_another_tokenizer_may_be_asked_for(
    to_chinese: Path, tokenize: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.split("\t") for line in (to_chinese.parent / "valid.tsv").read_text(encoding="utf-8").splitlines()]
    said = [p.text for p in regard.load(to_chinese).predict([source for source, _ in rows])]
    theirs = sacrebleu.BLEU(tokenize=tokenize, force=True).corpus_score(said, [[target for _, target in rows]])
    found = scores(to_chinese, capsys, "--tokenize", tokenize)
    assert found[0]["value"] == pytest.approx(theirs.score) and f"tok:{tokenize}|" in found[0]["signature"]
    assert "asian:yes" in found[2]["signature"], "TER is left as it was"


def test_an_unknown_tokenizer_is_said_in_one_line_before_anything_is_read(
    to_chinese: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(to_chinese), "--data", "/nonexistent.tsv", "--tokenize", "chinese"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert "tokenize is 'chinese', which sacreBLEU does not know" in said and "none, zh, 13a, intl, char" in said


def test_the_language_that_was_named_counts_more_than_the_script(
    to_chinese: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(to_chinese, run)
    shutil.copy(to_chinese.parent / "valid.tsv", tmp_path)
    recipe = (run / "recipe.toml").read_text().replace("[data]", '[data]\ntarget_language = "ja"')
    (run / "recipe.toml").write_text(recipe)
    assert "tok:char|" in scores(run, capsys)[0]["signature"]


def test_a_comparison_scores_as_evaluate_does(to_chinese: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = ScoredSet.of(TablePairs(to_chinese.parent / "valid.tsv"), regard.load(to_chinese))
    signatures = [metric.measure(test.sources, test.references).signature({}) for metric in test.metrics]
    found = [each["signature"].replace("bs:1000|seed:12345|", "") for each in scores(to_chinese, capsys)]
    assert found == signatures


def test_words_of_a_lexicon_are_judged_as_wholes_and_may_be_chosen_by_bleu(
    lexicon: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = regard.load(lexicon).recipe.data
    assert (data.source_tokenizer, data.target_tokenizer, data.spelling) == ("characters", "words", True)
    assert validated(lexicon) == {"valid_loss", "valid_wer", "valid_per", "valid_bleu"}
    names = [each["name"] for each in json.loads((lexicon / "report.json").read_text())["scores"]]
    assert names == ["WER", "PER", "BLEU"]
    assert [each["name"] for each in scores(lexicon, capsys)] == ["WER", "PER"]
    pairs = ["--data", str(lexicon.parent / "valid.tsv")]
    assert main(["evaluate", str(lexicon), *pairs, "--tokenize", "13a"]) == 2
    assert "--tokenize is of runs that are scored by BLEU" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("kind", ["to_chinese", "lexicon"])
def test_a_run_of_before_is_judged_as_before(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(request.getfixturevalue(kind), run)
    shutil.copy(request.getfixturevalue(kind).parent / "valid.tsv", tmp_path)
    lines = (run / "recipe.toml").read_text().splitlines(keepends=True)
    (run / "recipe.toml").write_text("".join(line for line in lines if not line.startswith("spelling")))
    assert regard.load(run).recipe.data.spelling is None
    assert [each["name"] for each in scores(run, capsys)] == ["WER", "CER" if kind == "to_chinese" else "PER"]


def test_text_that_is_spelled_has_the_scores_of_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path, "numbers", 200, 1)
    sides = [(tmp_path / f"numbers.{side}").read_text(encoding="utf-8").splitlines() for side in ("src", "tgt")]
    run = began(tmp_path, list(zip(*sides, strict=True)), "data.tokenizer=characters", "training.choose_by=ter")
    assert validated(run) == {"valid_loss", "valid_bleu", "valid_chrf2", "valid_ter"}
    found = scores(run, capsys)
    assert [each["name"] for each in found] == ["BLEU", "chrF2", "TER", "exact match", "CER"]
    assert "tok:13a" in found[0]["signature"] and "asian:no" in found[2]["signature"]


@pytest.mark.parametrize("task", ["classification", "captioning", "language-model"])
def test_a_task_without_bleu_of_words_refuses_the_tokenizer(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(f'task = "{task}"\n')
    assert main(["evaluate", str(tmp_path), "--data", "x.tsv", "--tokenize", "13a"]) == 2
    assert f"--tokenize is of translation, and {tmp_path} is a run of {task}: leave it out" in capsys.readouterr().err
