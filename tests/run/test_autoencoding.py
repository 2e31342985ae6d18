"""Pictures by the commands: trained, made small and large again, cleaned, judged; and all that can be wrong with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import regard
from regard.cli import main
from regard.errors import UsageError
from regard.evaluation import FineScore
from regard.run.autoencoder.model import PictureModel
from regard.run.autoencoder.report import held_out
from regard.run.loading import examples

KEYS = [
    "task=autoencoder", "training.device=cpu", "model.width=12", "model.code_channels=1", "training.batch=32",
    "training.learning_rate=0.01", "training.validate_every=50", "training.warmup=10",
]  # fmt: skip


def bars(count: int, seed: int, size: int = 12) -> np.ndarray:
    """Grey pictures, each of a bright bar, across or upright, on a dark ground."""
    chance = np.random.default_rng(seed)
    images = np.full((count, size, size), 20, np.uint8)
    for image in images:
        at, thick, shade = chance.integers(0, size - 3), chance.integers(2, 5), chance.integers(120, 250)
        (image if chance.integers(2) else image.T)[at : at + thick] = shade
    return images


def train(folder: Path, out: Path, *keys: str, data: str = "train.npz", more: tuple[str, ...] = ()) -> int:
    settings = [part for key in (*KEYS, *keys) for part in ("--set", key)]
    return main(["train", "--data", str(folder / data), "--out", str(out), *settings, *more])


def decibels(made: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((made / 255 - truth / 255) ** 2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    np.savez(folder / "train.npz", images=bars(512, 0))
    [one] = bars(1, 9)
    np.savez(folder / "one.npz", images=one[None])
    Image.fromarray(one).save(folder / "one.png", optimize=True)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    out = folder / "runs" / "bars"
    assert train(folder, out, "training.steps=250") == 0
    return out


@pytest.fixture(scope="module")
def cleaner(folder: Path) -> Path:
    out = folder / "runs" / "clean"
    assert train(folder, out, "training.steps=200", "data.noise=0.3", "model.code_channels=4") == 0
    return out


def test_a_run_says_what_it_learned_and_how_well(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert report["scored_on"] == "held out from training" and report["pictures"] == 512 // 20
    scores = {score["name"]: score for score in report["scores"]}
    # three principal components of such bars give 14.4 dB, and nine, as many as a code has numbers, 19.5
    assert scores["PSNR"]["low"] > 19 and 0.7 < scores["SSIM"]["value"] <= 1 and 24 < scores["bytes"]["value"] < 40
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert max(row["valid_psnr"] for row in rows if "valid_psnr" in row) <= scores["PSNR"]["value"] + 1e-3


def test_a_compressed_picture_is_smaller_than_png_and_is_what_evaluate_judges(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, back = tmp_path / "one.rgpc", tmp_path / "back.png"
    assert main(["compress", str(run), str(folder / "one.png"), str(small)]) == 0
    assert small.stat().st_size < (folder / "one.png").stat().st_size
    assert main(["decompress", str(run), str(small), str(back)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(folder / "one.npz"), "--json", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = report["tables"]["compressed"]
    made, truth = np.asarray(Image.open(back)), np.asarray(Image.open(folder / "one.png"))
    assert made.shape == (12, 12) and made.dtype == np.uint8
    assert rows["model"]["psnr"] == pytest.approx(decibels(made, truth))
    assert rows["model"]["bytes"] == small.stat().st_size and report["numbers"] == 9
    assert rows.keys() == {"model", "PCA-9", "JPEG", "PNG"} and report["notes"] == []
    assert main(["evaluate", str(run), "--data", str(folder / "one.npz"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert f"{rows['model']['psnr']:.2f}" in said and "exact" in said and "PCA-9" in said


def test_fewer_levels_make_a_smaller_file_and_other_sizes_follow(run: Path, folder: Path, tmp_path: Path) -> None:
    wide = np.concatenate([bars(1, 3, size=37)[0]] * 2, axis=1)[:31]
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for levels in ("256", "8"):
        assert main(["compress", str(run), str(tmp_path / "wide.png"), str(tmp_path / levels), "--levels", levels]) == 0
    assert (tmp_path / "8").stat().st_size < (tmp_path / "256").stat().st_size
    assert main(["decompress", str(run), str(tmp_path / "8"), str(tmp_path / "8.png")]) == 0
    assert np.asarray(Image.open(tmp_path / "8.png")).shape == (31, 74)


def test_denoising_gives_back_decibels(
    cleaner: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [clean] = bars(1, 5)
    drawn = np.random.default_rng(1).normal(0, 0.3, clean.shape)
    noisy = np.clip(np.rint(clean + 255 * drawn), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    assert main(["denoise", str(cleaner), str(tmp_path / "noisy.png"), str(tmp_path / "clean.png")]) == 0
    made = np.asarray(Image.open(tmp_path / "clean.png"))
    assert decibels(made, clean) > decibels(noisy, clean) + 2
    capsys.readouterr()
    np.savez(tmp_path / "some.npz", images=bars(40, 4))
    assert main(["evaluate", str(cleaner), "--data", str(tmp_path / "some.npz"), "--json", "--device", "cpu"]) == 0
    [(title, rows)] = json.loads(capsys.readouterr().out)["tables"].items()
    assert title == "noise σ = 0.3" and rows.keys() == {"model", "model, of files", "Wiener filter", "left alone"}
    assert rows["model"]["psnr"] > rows["left alone"]["psnr"] + 2 and rows["model"]["bytes"] is None


def test_a_folder_of_pictures_in_colour_is_trained_on_in_the_size_of_the_first(tmp_path: Path) -> None:
    pictures = tmp_path / "photos"
    (pictures / "more").mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(40):
        size = (13, 17, 3) if number < 39 else (26, 34, 3)
        place = pictures / "more" if number % 2 else pictures
        Image.fromarray(chance.integers(0, 256, size, dtype=np.uint8)).save(place / f"{number}.png")
    (pictures / "notes.txt").write_text("not a picture")
    assert train(tmp_path, tmp_path / "run", "training.steps=2", data="photos") == 0
    model = regard.load(tmp_path / "run", "cpu")
    assert isinstance(model, PictureModel)
    data = model.recipe.data
    assert (data.height, data.width, data.channels) == (13, 17, 3)
    # One grey picture that comes first takes no colour from the others; where all are, there is one channel.
    grey = np.repeat(chance.integers(0, 256, (13, 17, 1), dtype=np.uint8), 3, axis=2)
    mixed, plain = tmp_path / "mixed", tmp_path / "plain"
    for folder, first in ((mixed, 0), (plain, 40)):
        folder.mkdir()
        for number in range(40):
            pixels = grey if number <= first else chance.integers(0, 256, (13, 17, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
        assert train(tmp_path, tmp_path / f"run-{folder.name}", "training.steps=2", data=folder.name) == 0
        channels = regard.load(tmp_path / f"run-{folder.name}", "cpu").recipe.data.channels
        assert channels == (3 if folder is mixed else 1)
    picture = model.read(pictures / "0.png")
    back = model.decompress(model.compress(picture))
    assert back.shape == (13, 17, 3)
    assert model.evaluate(pictures).pictures == 40
    # the decoded pictures are there to be read again, and a run that goes on insists on the same ones
    assert train(tmp_path, tmp_path / "run", data="photos", more=("--resume", "--steps", "3")) == 0
    shutil.copy(pictures / "0.png", pictures / "2.png")
    assert train(tmp_path, tmp_path / "run", data="photos", more=("--resume", "--steps", "4")) == 2


def test_a_training_that_goes_on_comes_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    keys = ("training.schedule=constant", "training.validate_every=7", "data.noise=[0.1, 0.4]")
    assert train(folder, tmp_path / "whole", *keys, "training.steps=21") == 0
    assert train(folder, tmp_path / "cut", *keys, "training.steps=9") == 0
    assert train(folder, tmp_path / "cut", *keys, more=("--resume", "--steps", "21")) == 0
    # the end of a budget validates, which must change nothing
    whole, cut = (load_file(tmp_path / name / "state" / "tensors.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)


# --- what can be wrong ------------------------------------------------------------------------------------------


def said_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    return sentence


def test_a_picture_that_is_none_is_named_and_nothing_is_written(
    run: Path, cleaner: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (folder / "one.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (12, 12), (255, 0, 0)).save(tmp_path / "red.png")
    before = sorted(tmp_path.iterdir())
    out = str(tmp_path / "out.png")
    for name, sentence in (
        ("cut.png", "cut.png is a broken picture"),
        ("text.png", "text.png is no picture that can be read"),
        ("red.png", "red.png is in colour, and this run was trained on grey pictures"),
        ("none.png", "none.png does not exist"),
    ):
        for command, model in (("compress", run), ("denoise", cleaner)):
            assert sentence in said_of([command, str(model), str(tmp_path / name), out], capsys)
    for arguments, sentence in (
        (["denoise", str(run), str(folder / "one.png"), out], "was trained to make pictures small, not clean"),
        (["denoise", str(cleaner), str(folder / "one.png"), out[:-4]], "does not end in .png"),
        (["compress", str(run), str(folder / "one.png"), str(folder / "one.png")], "is what is to be read"),
        (["compress", str(run), str(folder / "one.png"), str(tmp_path / "no" / "x")], "make it first"),
        (["compress", str(run), str(folder / "one.png"), out, "--levels", "257"], "levels = 257 is out of range"),
    ):
        assert sentence in said_of(arguments, capsys)
    assert sorted(tmp_path.iterdir()) == before and (folder / "one.png").read_bytes() == whole


def test_a_file_that_no_run_or_another_one_made_is_named_and_nothing_is_written(
    run: Path, cleaner: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, out = tmp_path / "small", str(tmp_path / "out.png")
    assert main(["compress", str(run), str(folder / "one.png"), str(small)]) == 0
    whole = small.read_bytes()
    for name, data, sentence in (
        ("cut", whole[:-1], "cut is damaged: it was cut off or changed"),
        ("head", whole[:11], "head was cut off: 11 bytes are too few"),
        ("changed", whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:], "changed is damaged"),
        ("png", (folder / "one.png").read_bytes(), "png is no compressed picture"),
    ):
        (tmp_path / name).write_bytes(data)
        assert sentence in said_of(["decompress", str(run), str(tmp_path / name), out], capsys)
    assert "was compressed with another model" in said_of(["decompress", str(cleaner), str(small), out], capsys)
    assert "does not exist" in said_of(["decompress", str(run), str(tmp_path / "none"), out], capsys)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out")]


def test_it_shows_what_it_restores_what_is_lost_and_its_code(
    run: Path, cleaner: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, picture, small = PictureModel.load(run), str(folder / "one.png"), tmp_path / "small"
    view = model.view(picture)
    panels = dict(view.panels)
    assert list(panels) == ["the picture", "restored", "difference × 4", "code 1 of 1"]
    assert main(["compress", str(run), picture, str(small)]) == 0
    restored = model.decompress(small.read_bytes())
    original = model.read(picture)
    assert np.array_equal(panels["the picture"], original) and np.array_equal(panels["restored"], restored)
    apart = 4 * np.abs(original.astype(int) - restored.astype(int))
    assert np.array_equal(panels["difference × 4"], apart.clip(max=255)) and apart.any()
    assert panels["code 1 of 1"].shape == (3, 3, 1)
    assert (panels["code 1 of 1"].min(), panels["code 1 of 1"].max()) == (0, 255)
    error = np.mean((original / 255 - restored / 255) ** 2)
    assert (
        f"one.png, 12×12 pixels: {len(small.read_bytes())} bytes, PSNR {-10 * np.log10(error):.1f} dB, SSIM"
        in view.headline
    )
    capsys.readouterr()
    png, page = tmp_path / "seen.png", tmp_path / "seen.html"
    assert main(["show", str(run), picture, "--png", str(png), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert view.headline in out and "restored" in out and "█" in out and "·" in out
    with Image.open(png) as made:
        assert made.size[0] > 4 * 224
    text = page.read_text(encoding="ascii")
    for said in (out, text):
        assert "Each code goes from its least number, black, to its greatest, white." in " ".join(said.split())
    assert text.count("<img") == 4 and "<script" not in text and "http:" not in text and "https:" not in text
    cleaned = PictureModel.load(cleaner)
    shown = cleaned.view(picture)
    names = [name for name, _ in shown.panels]
    assert names[1] == "without noise" and names[-1] == "code 4 of 4" and "bytes" not in shown.headline
    assert np.array_equal(dict(shown.panels)["without noise"], cleaned.denoise(original))


def test_pictures_of_any_shape_are_shown(run: Path, tmp_path: Path) -> None:
    """One pixel has no SSIM, and a long one no room in the width."""
    model = PictureModel.load(run)
    for size in ((1, 1), (300, 7), (7, 300)):
        Image.new("L", size, 90).save(tmp_path / "it.png")
        view = model.view(tmp_path / "it.png")
        assert ("SSIM" in view.headline) is (min(size) >= 11)
        for color in (True, False):
            drawn = model.shown(str(tmp_path / "it.png"), 20, color)
            assert drawn.startswith(view.headline)


def test_commands_for_text_say_which_ones_are_for_pictures(
    run: Path, cleaner: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text"
    text.write_text("one two\n")
    no_text = "bars is a run of autoencoder, which reads pictures and no text: use 'regard compress'"
    assert no_text in said_of(["predict", str(run), str(text)], capsys)
    assert "use 'regard denoise'" in said_of(["predict", str(cleaner), str(text)], capsys)
    assert "one two does not exist" in said_of(["show", str(run), "one two"], capsys)
    assert "text" in said_of(["show", str(run), str(text)], capsys)
    assert "give --data FILE.npz" in said_of(["evaluate", str(run), "--source", str(text)], capsys)
    assert "is a run of autoencoder" in said_of(
        ["align", str(run), "--source", str(text), "--target", str(text)], capsys
    )
    (tmp_path / "recipe.toml").write_text('task = "translation"\n')
    small = ["compress", str(tmp_path), str(folder / "one.png"), str(tmp_path / "x")]
    assert "is a run of translation, and this needs one of autoencoder" in said_of(small, capsys)


@pytest.mark.parametrize(
    ("keys", "data", "sentence"),
    [
        (["model.widht=3"], "train.npz", "there is no key 'model.widht'; did you mean 'model.width'?"),
        (["data.height=13"], "train.npz", "have height 12, and data.height is 13"),
        ([], "none.npz", "none.npz does not exist"),
        ([], "broken.npz", "broken.npz is no .npz file of pictures, or was cut off"),
        ([], "empty", "empty holds no pictures"),
        ([], "photos", "b.png is a broken picture"),
    ],
)
def test_a_training_that_cannot_begin_says_why_and_leaves_no_folder(
    keys: list[str], data: str, sentence: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "train.npz", tmp_path)
    (tmp_path / "broken.npz").write_bytes((folder / "train.npz").read_bytes()[:500])
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    shutil.copy(folder / "one.png", tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_bytes((folder / "one.png").read_bytes()[:60])
    assert train(tmp_path, tmp_path / "run", *keys, data=data) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert sentence in said and not (tmp_path / "run").exists()


def test_too_few_pictures_to_keep_some_apart(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, tmp_path / "run", data="one.npz") == 1
    assert "1 pictures are too few to keep some for validation" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_fewer_training_pictures_than_components_are_said(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", images=bars(21, 3))
    more = ("--steps", "1", "--valid-data", str(folder / "one.npz"))
    assert train(tmp_path, tmp_path / "run", "model.code_channels=3", data="few.npz", more=more) == 0
    [note] = PictureModel.load(tmp_path / "run", "cpu").evaluate(folder / "one.npz").notes
    assert note == "no principal components: 27 of them come from as many training pictures, of which there are 21"


def test_what_to_try_is_what_a_run_can_do(run: Path, cleaner: Path) -> None:
    assert examples(run) == [
        f"regard {words}"
        for words in (f"compress {run} IN.png OUT", f"show {run} IN.png", f"evaluate {run} --data FILE")
    ]
    assert examples(cleaner)[0] == f"regard denoise {cleaner} NOISY.png CLEAN.png"


def test_without_the_training_pictures_there_are_no_principal_components_and_it_says_so(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    recipe = copied / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("train.npz", "gone.npz"))
    found = PictureModel.load(copied, "cpu").evaluate(folder / "one.npz")
    assert found.tables["compressed"].keys() == {"model", "JPEG", "PNG"}
    assert "gone.npz does not exist" in found.notes[0] and found.notes[0] in str(found)
    with pytest.raises(UsageError, match=r"lacks data\.channels"):
        recipe.write_text('task = "autoencoder"\n')
        PictureModel.load(copied, "cpu")


def test_a_packed_run_reads_the_files_of_the_run_and_says_why_it_has_no_principal_components(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    assert main(["pack", str(run), str(packed)]) == 0
    assert main(["compress", str(run), str(folder / "one.png"), str(tmp_path / "small")]) == 0
    for model, name in ((run, "a.png"), (packed, "b.png")):
        assert main(["decompress", str(model), str(tmp_path / "small"), str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    found = PictureModel.load(packed, "cpu").evaluate(folder / "one.npz")
    assert found.tables["compressed"].keys() == {"model", "JPEG", "PNG"}
    assert found.notes == [
        "no principal components, which come from the training pictures: a packed run does not know where they are: "
        "evaluate the run it was made of"
    ]


# --- small and moving pictures ----------------------------------------------------------------------------------


def test_pictures_below_the_window_of_ssim_are_scored_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "train.npz", images=bars(60, 0, size=8))
    assert train(tmp_path, tmp_path / "run", "training.steps=2") == 0
    assert "SSIM" not in capsys.readouterr().out
    words = ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "train.npz"), "--device", "cpu"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["tables"]["compressed"]
    assert all(row["ssim"] is None and row["psnr"] > 0 for row in rows.values()) and len(rows) == 4
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "11×11" in out and out.count("–") == 4 + 1, "no SSIM, and no bytes of principal components"


def test_training_and_evaluation_print_ssim_in_one_form(
    run: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [score] = [each for each in json.loads((run / "report.json").read_text())["scores"] if each["name"] == "SSIM"]
    assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    assert str(FineScore(**score)).startswith(f"SSIM {score['value']:.3f} [")
    held = bars(512, 0)[held_out(512, 1)[1]]
    np.savez(folder / "held.npz", images=held)
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(folder / "held.npz"), "--json", "--device", "cpu"]) == 0
    judged = json.loads(capsys.readouterr().out)["tables"]["compressed"]["model"]["ssim"]
    assert judged == pytest.approx(score["value"], abs=0.02), "the same pictures; here as 8 bits restore them"


def moving(path: Path, pictures: np.ndarray) -> None:
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    first.save(path, save_all=True, append_images=rest)


def test_of_a_moving_picture_the_first_frame_is_read_and_that_is_said_once(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = bars(3, 8)
    moving(tmp_path / "moving.png", frames)
    Image.fromarray(frames[0]).save(tmp_path / "still.png")
    for name, said in (
        (
            "moving",
            f"{tmp_path / 'moving.png'} has 3 frames: the first alone is read, as of every picture that moves\n",
        ),
        ("still", ""),
    ):
        capsys.readouterr()
        assert main(["compress", str(run), str(tmp_path / f"{name}.png"), str(tmp_path / name)]) == 0
        assert capsys.readouterr().err == said
    assert (tmp_path / "moving").read_bytes() == (tmp_path / "still").read_bytes()
    (tmp_path / "many").mkdir()
    for number in range(40):
        moving(tmp_path / "many" / f"{number:02}.png", bars(2, number))
    capsys.readouterr()
    assert train(tmp_path, tmp_path / "trained", "training.steps=1", data="many") == 0
    assert capsys.readouterr().err.count("frames") == 1


def test_a_folder_is_no_small_file(run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, source, name in (("compress", "one.png", "one.rgpc"), ("denoise", "one.png", "picture.png")):
        said = said_of([command, str(run), str(folder / source), str(tmp_path)], capsys)
        assert said == f"regard: {tmp_path} is a folder: name a file to write, such as {tmp_path / name}"
