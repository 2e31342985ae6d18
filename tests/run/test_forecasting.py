"""Forecasting by the commands, on numbers of which the least possible error is known."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import regard
from regard.cli import main
from regard.data.series import Series

NOISE, SEASON, HORIZON, HISTORY = 1.0, 7, 5, 21
SHARED = [
    "task=forecasting", "training.device=cpu", "data.history=21", "data.horizon=5", "model.hidden=16", "model.heads=2",
    "model.feed_forward=32", "model.layers=1", "model.dropout=0", "training.batch=32", "training.warmup=10",
    "training.validate_every=100", "training.learning_rate=0.01",
]  # fmt: skip


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def write(path: Path, first: int, days: int, seed: int) -> None:
    """A week's shape and white noise: of it the least MAE is `NOISE √(2/π)`, and repeating a week misses by √2 of that."""
    shape = [0, 3, 9, 4, -2, -8, -5]
    noise = np.random.default_rng(seed).normal(0, NOISE, days)
    start = datetime(2022, 1, 3)
    rows = [
        f"{start + timedelta(days=first + d):%Y-%m-%d},{50 + shape[(first + d) % 7] + noise[d]:.3f}\n"
        for d in range(days)
    ]
    path.write_text("date,sold\n" + "".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("numbers")
    write(made / "train.csv", 0, 400, 1)
    write(made / "test.csv", 400, 200, 2)
    arguments = ["--data", str(made / "train.csv"), "--out", str(made / "run"), "--steps", "300"]
    assert main(["train", *arguments, *settings([*SHARED, "model.kind=transformer"])]) == 0
    return made


def test_it_is_better_than_repeating_a_week(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "test.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["forecasts"] == 200 - HISTORY - HORIZON + 1 and found["season"] == SEASON
    mae = {name: row["mae"][0] for name, row in found["beside"].items()}
    least = NOISE * math.sqrt(2 / math.pi)
    assert mae["seasonal naive"] == pytest.approx(least * math.sqrt(2), rel=0.1)
    assert mae["naive"] > 3 * least and mae["drift"] > 3 * least
    # Between what nothing can beat (but for luck of 200 days) and what the eye can do.
    assert 0.9 * least < mae["regard"] < 0.9 * mae["seasonal naive"]
    scores = {each["name"]: each["value"] for each in found["scores"]}
    assert scores["MAE"] == pytest.approx(mae["regard"]) and scores["MASE"] < 0.9
    assert 65 < scores["coverage"] < 95
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "test.csv")]) == 0
    shown = capsys.readouterr().out
    assert "seasonal naive" in shown and "drift" in shown and "coverage" in shown


def test_two_runs_forecast_from_the_same_lines(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer, far = tmp_path / "longer", tmp_path / "far"
    arguments = ["train", "--data", str(folder / "train.csv"), "--steps", "2"]
    for out, key in ((longer, f"data.history={2 * HISTORY}"), (far, f"data.horizon={HORIZON + 1}")):
        keys = [each for each in SHARED if not each.startswith(key.split("=")[0])]
        assert main([*arguments, "--out", str(out), *settings([*keys, "model.kind=transformer", key])]) == 0
    capsys.readouterr()
    command = ["evaluate", str(folder / "run"), "--data", str(folder / "test.csv"), "--against"]
    assert main([*command, str(longer), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["forecasts"] == 200 - 2 * HISTORY - HORIZON + 1, "both have read what is before the first"
    [paired] = found["paired"]
    scores = {each["name"]: each["value"] for each in found["scores"]}
    assert paired["a"]["value"] == pytest.approx(scores["MASE"])
    assert main(["evaluate", str(longer), "--data", str(folder / "test.csv"), "--json"]) == 0
    alone = next(each for each in json.loads(capsys.readouterr().out)["scores"] if each["name"] == "MASE")
    assert paired["b"]["value"] == pytest.approx(alone["value"]), "it was scored from the same lines alone"
    assert paired["difference"] < 0 and paired["p_value"] < 0.01, "two steps taught nothing"
    assert main([*command, str(longer)]) == 0
    assert "p = 0.0" in capsys.readouterr().out.splitlines()[-1]
    assert main([*command, str(far)]) == 2
    said = capsys.readouterr().err
    assert "a test needs two runs that say the same" in said and len(said.splitlines()) == 1


def test_predict_writes_the_next_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "run"), str(folder / "test.csv")]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["date", "sold", "sold_0.1", "sold_0.9"]
    assert [row[0] for row in rows[1:]] == ["2023-08-26", "2023-08-27", "2023-08-28", "2023-08-29", "2023-08-30"]
    assert all(float(low) < float(middle) < float(high) for _, middle, low, high in rows[1:])
    assert main(["predict", str(folder / "run"), str(folder / "test.csv"), "--jsonl"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["date"] for each in objects] == [row[0] for row in rows[1:]]
    assert [each["sold"] for each in objects] == pytest.approx([float(row[1]) for row in rows[1:]], rel=1e-5)
    # Saturday is a day of −8, Monday one of 0: the shape of the week is in the forecast.
    assert objects[0]["sold"] < objects[2]["sold"] - 2


def test_other_columns_and_line_ends_change_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "test.csv").read_text(encoding="utf-8")
    assert main(["predict", str(folder / "run"), str(folder / "test.csv")]) == 0
    plain = capsys.readouterr().out
    rows = text.splitlines()
    more = "".join(
        f"{'note' if i == 0 else 'حر'};{row.replace(',', ';').replace('.', ',')}\r\n" for i, row in enumerate(rows)
    )
    (folder / "more.csv").write_bytes(b"\xef\xbb\xbf" + more.encode())
    assert main(["predict", str(folder / "run"), str(folder / "more.csv")]) == 0
    assert capsys.readouterr().out == plain


def test_show_draws_the_forecast_and_what_it_looked_at(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(folder / "run"), str(folder / "test.csv")]) == 0
    out = capsys.readouterr().out
    assert "sold: 21 lines, and the next 5" in out and "2023-08-30" in out and "of the row" in out
    model = regard.load(folder / "run")
    seen = model.predict(folder / "test.csv")
    assert seen.weights.shape == (1, 2, HORIZON, HISTORY)
    np.testing.assert_allclose(seen.weights.sum(-1), 1, rtol=1e-5)
    model.save_page(str(folder / "test.csv"), tmp_path / "a.html")
    model.save_picture(str(folder / "test.csv"), tmp_path / "a.png", layer=0, head=1)
    assert "sold" in (tmp_path / "a.html").read_text() and (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_after_the_cut_is_learned_from(folder: Path, tmp_path: Path) -> None:
    """The last lines of the training file may be anything: the weights and the scaling stay."""
    lines = (folder / "train.csv").read_text(encoding="utf-8").splitlines()
    other = [row if i <= 340 else f"{row.split(',')[0]},{1000 + i}" for i, row in enumerate(lines)]
    (tmp_path / "other.csv").write_text("\n".join(other) + "\n", encoding="utf-8")
    keys = settings([*SHARED, "training.average=1", "training.validate_every=7", "training.save_every=7"])
    for name, data in (("a", folder / "train.csv"), ("b", tmp_path / "other.csv")):
        assert main(["train", "--data", str(data), "--out", str(tmp_path / name), "--steps", "7", *keys]) == 0
    for part in ("series.json", "model.safetensors"):
        assert (tmp_path / "a" / part).read_bytes() == (tmp_path / "b" / part).read_bytes()


def test_a_run_of_several_columns_goes_on(folder: Path, tmp_path: Path) -> None:
    rows = ["time,a,b,still"]
    rows += [f"{2000 + i // 12}-{i % 12 + 1:02},{i % 12},{100 - i},5" for i in range(150)]
    (tmp_path / "m.csv").write_text("\n".join(rows), encoding="utf-8")
    keys = settings([*SHARED, "model.kind=recurrent", "training.save_every=5"])
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", "--data", str(tmp_path / "m.csv"), *out, "--steps", "5", *keys]) == 0
    assert main(["train", *out, "--resume", "--steps", "11"]) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 11
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    assert "season = 12" in recipe and 'columns = ["a", "b", "still"]' in recipe
    found = regard.load(tmp_path / "run").predict(tmp_path / "m.csv")
    assert isinstance(found.series, Series) and found.middle.shape == (5, 3)
    assert found.times == ["2012-07", "2012-08", "2012-09", "2012-10", "2012-11"]
    assert found.middle[:, 2] == pytest.approx(5, abs=1)


def test_mistakes_are_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(arguments: list[str], *words: str) -> None:
        assert main(arguments) in (1, 2)
        caught = capsys.readouterr()
        said = caught.err.strip()
        assert "\n" not in said and "Traceback" not in said and all(word in said for word in words), said
        assert caught.out == ""

    def file(name: str, rows: list[str]) -> str:
        (tmp_path / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
        return str(tmp_path / name)

    run, out = str(folder / "run"), str(tmp_path / "r")
    lines = (folder / "test.csv").read_text(encoding="utf-8").splitlines()
    gap = file("gap.csv", lines[:30] + lines[31:])
    fails(["predict", run, gap], f"{gap}, line 31", "missing", "1 day")
    fails(["show", run, gap, "--html", gap], "is what is to be read")
    fails(["show", run, gap, "--png", gap], "is what is to be read")
    fails(["evaluate", run, "--data", gap], "gap.csv, line 31")
    fails(["train", "--data", gap, "--out", out, *settings(SHARED)], "gap.csv, line 31")
    fails(["predict", run, file("short.csv", lines[:15])], "14 lines", "last 21")
    fails(["evaluate", run, "--data", file("short2.csv", lines[:24])], "23 lines", "26")
    fails(
        ["predict", run, file("hours.csv", ["date,sold", "2024-01-01 00:00,1", "2024-01-01 01:00,2"])],
        "1 hour",
        "1 day",
    )
    fails(["predict", run, file("named.csv", ["date,price", "2024-01-01,1", "2024-01-02,2"])], "no column 'sold'")
    fails(["train", "--data", file("few.csv", lines[:20]), "--out", out, *settings(SHARED)], "too few for a window")
    fails(["train", "--data", file("empty.csv", [""]), "--out", out, *settings(SHARED)], "empty.csv", "is empty")
    fails(["train", "--data", str(folder / "train.csv"), "--out", run, *settings(SHARED)], "already holds a run")
    fails(["evaluate", run, "--source", gap, "--target", gap], "--data FILE.csv")
    keys = settings([*SHARED, "model.interval=1.5"])
    fails(["train", "--data", str(folder / "train.csv"), "--out", out, *keys], "interval", "less than 1")
    keys = settings([*SHARED, "model.hiden=8"])
    fails(["train", "--data", str(folder / "train.csv"), "--out", out, *keys], "did you mean 'model.hidden'")
    assert not (tmp_path / "r").exists()
