"""Comparisons as a user makes them: letters to be reversed, mechanisms of a few steps, and some that fail."""

from __future__ import annotations

import io
import json
import math
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import regard.run.comparing.alone as alone
import regard.run.comparing.compare as comparing
from regard.cli import main
from regard.config import Recipe, read_toml, write_toml
from regard.data import TextPairs
from regard.errors import UsageError
from regard.evaluation import Score
from regard.run import Model, RunFolder
from regard.run.comparing.alone import Memory, memory_of, train_alone
from regard.run.comparing.comparison import Comparison, Measurement, Row, scored
from regard.run.comparing.measuring import GoldFile, entropy, training_speed

TREE = {
    "data": {"tokenizer": "words"},
    "model": {"kind": "recurrent", "hidden": 12, "embedding": 7, "dropout": 0.0},
    "training": {"warmup": 3, "batch_tokens": 100, "precision": "fp32", "device": "cpu", "validate_every": 3},
}
STEPS = ("--set", "training.steps=5")
GAVE_UP = "stopped before the comparison was whole; nothing is lost: run the same command to go on"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters")
    draw = random.Random(1)
    for name, count in (("train", 59), ("valid", 7), ("test", 13)):
        lines = [[draw.choice("abcde") for _ in range(draw.randint(2, 14))] for _ in range(count)]
        (folder / f"{name}.src").write_text("".join(" ".join(line) + "\n" for line in lines))
        (folder / f"{name}.tgt").write_text("".join(" ".join(reversed(line)) + "\n" for line in lines))
        links = [" ".join(f"{i}-{len(line) - 1 - i}" for i in range(len(line))) for line in lines]
        (folder / f"{name}.gold").write_text("\n".join(links) + "\n")
    data = {"source": "train.src", "target": "train.tgt", "valid_source": "valid.src", "valid_target": "valid.tgt"}
    (folder / "letters.toml").write_text(write_toml({**TREE, "data": TREE["data"] | data}))
    return folder


def compare(corpus: Path, out: Path, names: str, *more: str) -> int:
    test = ["--source", str(corpus / "test.src"), "--target", str(corpus / "test.tgt")]
    return main(
        ["compare", str(corpus / "letters.toml"), "--attention", names, "--out", str(out), *test, *STEPS, *more]
    )


@pytest.fixture(scope="module")
def out(corpus: Path) -> Path:
    """Two mechanisms that come to their end, one that no recipe can have, and one whose training fails."""
    folder = corpus / "compared"
    folder.mkdir()
    (folder / "dot-1").write_text("in the way")
    assert compare(corpus, folder, "top-k:2,mocha+window:2,none,dot") == 0
    return folder


def rows_of(out: Path) -> dict[str, dict]:
    return {row["attention"]: row for row in json.loads((out / "comparison.json").read_text())["rows"]}


def test_each_mechanism_is_a_row_and_so_is_each_failure(out: Path) -> None:
    rows = rows_of(out)
    assert list(rows) == ["top-k:2", "mocha+window:2", "none", "dot"]
    assert [len(row["runs"]) for row in rows.values()] == [1, 0, 1, 0]
    [impossible], [failed] = rows["mocha+window:2"]["failures"], rows["dot"]["failures"]
    assert impossible["seed"] == 1 and "leave out scope" in impossible["error"]
    assert failed["error"] == f"{out / 'dot-1'} is a file: choose another folder with --out"
    for name in ("top-k:2", "none"):
        [run] = rows[name]["runs"]
        assert (run["steps"], run["seed"]) == (5, 1)
        assert [s["name"] for s in run["scores"]] == ["BLEU", "chrF2", "TER", "exact match"]
        assert run["scores"][0]["low"] <= run["scores"][0]["value"] <= run["scores"][0]["high"]
        assert run["training_tokens_per_second"] > 0 and run["prediction_tokens_per_second"] > 0
        assert 50 < run["peak_memory"]["resident_mib"] < 4000
    assert [bucket["count"] for bucket in rows["none"]["runs"][0]["by_source_length"]][:2] != [0, 0]
    first, other = rows["top-k:2"]["runs"][0], rows["none"]["runs"][0]
    assert first["parameters"] > other["parameters"]
    # Of two positions that share a weight, the entropy is at most ln 2.
    assert 0 <= first["entropy"] <= math.log(2) + 1e-6 and other["entropy"] is None
    assert first["paired"] is None
    assert other["paired"]["difference"] == pytest.approx(other["scores"][0]["value"] - first["scores"][0]["value"])


def test_the_report_says_all_that_is_needed_to_repeat_it(out: Path, corpus: Path) -> None:
    text = (out / "comparison.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(
        re.match(rf"\| {re.escape(name)} +\|", line) for name, line in zip(rows_of(out), table[2:6], strict=True)
    )
    assert len({line.count(" | ") for line in table[:6]}) == 1, "every row has every column"
    for part in ("regard compare", "top-k:2,mocha+window:2,none,dot", "5 steps", "fp32", "seed 1", str(corpus / "test.src"),
                 "13 inputs, beam 5", "nrefs:1|bs:1000|seed:12345", "torch", "p against top-k:2", "BLEU by source words"):  # fmt: skip
        assert part in text, part


def test_the_page_shows_the_same_inputs_under_every_mechanism(out: Path, corpus: Path) -> None:
    page = (out / "comparison.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    scores, lengths = data["tables"]
    text = (out / "comparison.md").read_text()
    for shown in (scores, lengths):
        for cells in (shown["columns"], *shown["rows"]):
            assert any(all(cell in line for cell in cells) for line in text.splitlines() if line.startswith("|")), cells
    assert [row[0] for row in scores["rows"]] == list(rows_of(out)) and scores["columns"][-1] == "remark"
    assert all("[" in cell for row in lengths["rows"] for cell in row[1:]), "confidence in each length, too"
    assert any("5 steps" in fact for fact in data["facts"]) and "regard compare" in data["facts"][-1]
    items = data["items"]
    first = (corpus / "test.src").read_text().splitlines()[:5]
    assert [(i["source"], i["label"]) for i in items] == [(s, n) for s in first for n in ("top-k:2", "none")]
    assert all((i["attention"] is None) == (i["label"] == "none") for i in items)


def test_all_mechanisms_share_seed_data_and_precision(out: Path) -> None:
    one, other = (RunFolder(out / name).read_recipe_of(Recipe) for name in ("top-k-2-1", "none-1"))
    assert one.model.attention.normalize == "top-k" and one.model.attention.top_k == 2  # type: ignore[union-attr]
    assert other.model.decoder == "fixed-initial"  # type: ignore[union-attr]
    assert (one.seed, one.data, one.training, one.decoding) == (other.seed, other.data, other.training, other.decoding)


def test_what_is_finished_is_not_trained_again_and_gold_links_are_scored(
    out: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (out / "comparison.json").read_text()
    asked = []

    def interrupted(recipe: Path, run: Path, console: Console) -> None:
        asked.append((recipe.name, run.name))
        raise KeyboardInterrupt

    monkeypatch.setattr(comparing, "train_alone", interrupted)
    try:
        assert compare(corpus, out, "none,top-k:2,general,cosine", "--gold", str(corpus / "test.gold")) == 1
        said = capsys.readouterr()
        assert asked == [("general-1.toml", "general-1")], "two are there already, and one Ctrl-C ends it all"
        assert said.out.count("already trained in") == 2
        assert said.err == f"regard: {GAVE_UP}\n"
        rows = rows_of(out)
        assert {name: len(row["runs"]) for name, row in rows.items()} == {
            "none": 1, "top-k:2": 1, "general": 0, "cosine": 0, "dot": 0
        }  # fmt: skip
        failed = next(row for row in json.loads(before)["rows"] if row["attention"] == "dot")
        assert rows["dot"]["failures"] == failed["failures"], "what failed before is still said"
        assert rows["cosine"]["failures"] == [{"seed": 1, "error": "not finished: run the same command to go on"}]
        [run] = rows["top-k:2"]["runs"]
        assert 0 <= run["alignment_error_rate"]["value"] <= 100 and run["alignment_error_rate"]["name"] == "AER"
        assert rows["none"]["runs"][0]["alignment_error_rate"] is None
        assert run["scores"] == json.loads(before)["rows"][0]["runs"][0]["scores"]
        assert "| p against none |" in said.out and "| AER |" in re.sub(" +", " ", said.out)
    finally:
        (out / "comparison.json").write_text(before)


def test_more_mechanisms_are_added_to_the_table(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "more"
    for names, table in (
        ("dot,mocha+window:2", ["dot", "mocha+window:2"]),
        ("top-k:2", ["dot", "top-k:2"]),  # what could never be trained is gone
    ):
        assert compare(corpus, folder, names) == 0
        assert list(rows_of(folder)) == table
        assert all(len(row["runs"]) == 1 for name, row in rows_of(folder).items() if name != "mocha+window:2")
    assert compare(corpus, folder, "dot+softmax", "--seeds", "1,2") == 0
    rows = rows_of(folder)
    assert list(rows) == ["top-k:2", "dot+softmax"], "the same model stands once"
    assert [run["seed"] for run in rows["dot+softmax"]["runs"]] == [1, 2]
    assert [run["seed"] for run in rows["top-k:2"]["runs"]] == [1]
    assert rows["top-k:2"]["failures"] == [
        {"seed": 2, "error": "not trained with this seed: name top-k:2 in --attention, too"}
    ]


def test_a_term_signal_stops_the_training_which_goes_on_from_there(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    words = ["compare", str(corpus / "letters.toml"), "--attention", "dot", "--out", str(folder),
             "--set", "training.steps=100000"]  # fmt: skip
    program = "import sys; from regard.cli import main; sys.exit(main(sys.argv[1:]))"
    begun = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert begun.stdout is not None
    try:
        while "step 3," not in begun.stdout.readline():
            assert begun.poll() is None
        begun.send_signal(signal.SIGTERM)
        said, wrong = begun.communicate(timeout=60)
    finally:
        begun.kill()
    assert begun.returncode == 1 and wrong == f"regard: {GAVE_UP}\n" and "stopped; what is trained" in said
    assert RunFolder(folder / "dot-1").resumable
    assert "stopped at step" in (folder / "dot-1.log").read_text()


@pytest.mark.parametrize(
    ("names", "more", "sentence"),
    [
        ("none,dott", [], "there is no mechanism 'dott'; did you mean dot?"),
        ("none,dot,none", [], "none and none are the same model with this recipe: leave one out"),
        ("dot,dot+softmax", [], "dot and dot+softmax are the same model"),
        ("none,", [], "a mechanism has no name"),
        ("none", ["--minutes", "2"], "holds a comparison with training.minutes = None, not 2.0"),
        ("none", ["--minutes", "nan"], "the command line: 'training.minutes' is NaN"),
        ("none", ["--minutes", "-1"], "the command line: 'training.minutes' is -1"),
        ("none", ["--set", "model.hidden=14"], "holds a comparison with model.hidden = 12, not 14"),
        ("none", ["--seeds", "1,x"], "--seeds 1,x is no list of whole numbers"),
        ("none", ["--seeds", "1,1"], "seeds are different whole numbers"),
        ("none", ["--gold", "/nonexistent/gold"], "/nonexistent/gold is no file"),
        ("none", ["--set", "training.steps=many"], "'training.steps' is \"many\""),
    ],
)
def test_bad_wishes_are_one_sentence_before_anything_is_trained(
    out: Path, corpus: Path, capsys: pytest.CaptureFixture[str], names: str, more: list[str], sentence: str
) -> None:
    before = sorted(path.name for path in out.iterdir())
    assert compare(corpus, out, names, *more) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert sorted(path.name for path in out.iterdir()) == before


def test_the_table_is_not_written_over_what_is_read(
    out: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (out / "comparison.md").read_bytes()
    assert compare(corpus, out, "none", "--gold", f"{out}/../{out.name}/comparison.md") == 2
    assert "comparison.md is what is to be read" in capsys.readouterr().err
    assert (out / "comparison.md").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lines: lines[:-1], "are 12, but the sentences are 13"),
        (lambda lines: ["0-x", *lines[1:]], "line 1: '0-x' is not a link"),
        (lambda lines: [*lines[:4], "0-0 99-0", *lines[5:]], "line 5: '99-0' names source word 99"),
        (lambda lines: ["1-1", *[""] * 12], "say which (--zero-based or --one-based)"),
    ],
)
def test_gold_links_are_checked_before_anything_is_trained(
    change: Callable[[list[str]], list[str]],
    sentence: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gold = tmp_path / "gold"
    gold.write_text("\n".join(change((corpus / "test.gold").read_text().splitlines())) + "\n")
    assert compare(corpus, tmp_path / "out", "none,dot", "--gold", str(gold)) == 2
    said = capsys.readouterr()
    assert sentence in said.err and "=True" not in said.err and said.err.count("\n") == 1
    assert "[1 of" not in said.out and not (tmp_path / "out").exists()


def test_gold_links_of_words_that_may_be_spelled_are_refused_past_all_their_characters(tmp_path: Path) -> None:
    for name, text in (("a", "cat\ndoor\n"), ("b", "K AE T\nD AO R\n"), ("gold", "0-0 2-2\n3-2\n")):
        (tmp_path / name).write_text(text)
    pairs = TextPairs(tmp_path / "a", tmp_path / "b")
    GoldFile(tmp_path / "gold").check(pairs)
    (tmp_path / "gold").write_text("0-0 2-2\n6-2\n")
    with pytest.raises(UsageError, match="line 2: '6-2' names source word 6"):
        GoldFile(tmp_path / "gold").check(pairs)


def test_evaluation_files_that_do_not_go_together_are_said_before_anything_is_trained(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.tgt"
    short.write_text("a b\n")
    blank = tmp_path / "blank.tgt"
    blank.write_text("\n" * 13)
    for target, sentence in ((short, "test.src has 13 lines and"), (blank, "have no pair to score")):
        assert compare(corpus, tmp_path / "out", "none", "--target", str(target)) == 2
        said = capsys.readouterr()
        assert sentence in said.err and "[1 of" not in said.out and not (tmp_path / "out").exists()


def test_a_recipe_without_budget_data_or_validation_files_is_said(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    data = {"source": str(corpus / "train.src"), "target": str(corpus / "train.tgt")}
    for tree, more, sentence in (
        ({"data": data}, [], "say how long each mechanism may train, such as --minutes 5"),
        ({}, ["--minutes", "1"], "names no data to train on"),
        ({"data": data}, ["--minutes", "1"], "names no validation files to score on: give --source FILE --target FILE"),
    ):
        recipe.write_text(write_toml({**TREE, **tree} if tree else {"training": TREE["training"]}))
        assert main(["compare", str(recipe), "--attention", "dot", "--out", str(tmp_path / "out"), *more]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_where_all_fail_the_first_reason_is_the_error(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(corpus, tmp_path, "mocha+window:2,mocha+causal") == 1
    assert "no mechanism has come to its end; mocha+window:2: " in capsys.readouterr().err
    assert "| mocha+causal " in (tmp_path / "comparison.md").read_text()


def test_an_interrupted_training_saves_itself(out: Path, tmp_path: Path) -> None:
    class Impatient(Console):
        def print(self, *objects: object, **options: object) -> None:  # type: ignore[override]
            if "step 3," in str(objects[0]):
                raise KeyboardInterrupt

    tree = read_toml(out / "none-1.toml")
    tree["training"] |= {"steps": 3000}
    recipe, run = tmp_path / "r.toml", tmp_path / "run"
    recipe.write_text(write_toml(tree))
    with pytest.raises(KeyboardInterrupt):
        train_alone(recipe, run, Impatient(file=io.StringIO()))
    folder = RunFolder(run)
    assert folder.resumable and not folder.report.exists()
    step = json.loads((run / "state" / "facts.json").read_text())["progress"]["step"]
    assert 3 <= step < 3000
    resident = memory_of(folder).resident
    assert resident is not None and resident > 50
    assert f"stopped at step {step}" in (tmp_path / "run.log").read_text()


def test_a_training_that_was_begun_goes_on_and_the_most_memory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def train(tree: dict, out: Path, console: Console, *, origin: str, resume: bool) -> None:
        asked.append((tree, resume))
        out.mkdir(exist_ok=True)
        RunFolder(out).recipe.touch()

    monkeypatch.setattr(alone, "train", train)
    recipe = tmp_path / "r.toml"
    recipe.write_text("seed = 3\n")
    for peak in (70.0, 90.0, 80.0):
        monkeypatch.setattr(alone, "_peak", lambda now=peak: now)
        assert alone.child(str(recipe), str(tmp_path / "run")) == 0
    assert asked == [({"seed": 3}, False), ({"seed": 3}, True), ({"seed": 3}, True)]
    assert memory_of(RunFolder(tmp_path / "run")).resident == 90.0


@pytest.mark.parametrize(
    ("program", "sentence", "kept"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the training was killed by SIGKILL (is memory short?)", ""),
        ("raise TypeError('odd')", "TypeError: odd", "Traceback"),
        ("raise SystemExit(3)", "the training ended with status 3", ""),
        ("print('fine')", None, None),
    ],
)
def test_however_a_training_ends_it_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str | None, kept: str | None
) -> None:
    monkeypatch.setattr(alone, "_START", program)
    said = io.StringIO()
    assert train_alone(tmp_path / "r.toml", tmp_path / "run", Console(file=said)) == sentence
    log = tmp_path / "run.log"
    assert not log.exists() if kept is None else kept in log.read_text()
    assert ("fine" in said.getvalue()) == (sentence is None)


def test_entropy_is_the_mean_over_tokens(out: Path, corpus: Path) -> None:
    model = Model.load(out / "top-k-2-1", "cpu")
    sources = (corpus / "test.src").read_text().splitlines()
    rows = []
    for prediction in model.predict(sources, attention=True):
        assert prediction.attention is not None
        for row in prediction.attention.weights[0, 0].tolist():
            rows.append(-sum(w * math.log(w) for w in row if w > 0))
    assert entropy(model, sources) == pytest.approx(sum(rows) / len(rows), abs=1e-5)


def test_training_speed_leaves_validation_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert training_speed(folder) is None
    rows = [{"tokens": 100, "tokens_per_second": 50}, {"valid_loss": 1}, {"tokens": 300, "tokens_per_second": 100}]
    folder.metrics.write_text("".join(json.dumps({"seconds": 99, **row}) + "\n" for row in rows))
    assert training_speed(folder) == pytest.approx(400 / (2 + 3))


def test_several_seeds_are_a_mean_and_a_range() -> None:
    def run(seed: int, value: float) -> Measurement:
        score = Score("BLEU", value, value - 1, value + 1, "sig")
        return Measurement(
            seed, [score], [], None, 0.5 * seed, None, 1000.0 * seed, 70.0, Memory(200.0 + seed), 1234, 7, 60
        )

    rows = [
        Row("dot", [run(1, 20.0), run(3, 23.0)], {2: "the loss | exploded"}),
        Row("none", [], {1: "x", 2: "x", 3: "x"}),
    ]
    text = Comparison(rows, "", "r", "d", 9, 5, [1, 2, 3], "1 minutes", "fp32").markdown()
    cells = [cell.strip() for cell in next(line for line in text.splitlines() if line.startswith("| dot")).split(" | ")]
    assert cells[1:] == [
        "21.5 (20.0 to 23.0)", "–", "1.00", "2,000", "70", "203", "1,234", "7", "seed 2: the loss \\| exploded |"
    ]  # fmt: skip
    assert next(line for line in text.splitlines() if line.startswith("| none")).endswith("| x |")
    assert scored([]) == "–" and scored([rows[0].runs[0].scores[0]]) == "20.0 [19.0, 21.0]"
