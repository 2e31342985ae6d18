"""How fast Regard trains, against JoeyNMT 2.3.0: target tokens a second, in turn, in one run, on one machine.

    .venv/bin/python benchmarks/joeynmt_speed.py

Both train the same Transformer (3 + 3 layers, 256 features, 4 heads, feed-forward 1024, pre-norm, sinusoidal
positions, ReLU, one tied matrix for both embeddings and the output) on Multi30k English → German, cut into the same
joint BPE of 8,000 units: Regard's own tokenizer cuts the text, and JoeyNMT gets its units as words. Dropout, label
smoothing, optimiser, clipping and the budget of 4,096 tokens a batch are equal too. JoeyNMT computes in float32, as it
does on every CPU; Regard once with its default (bf16 where the machine multiplies it faster) and once in float32.

A speed is target tokens, counted with the end of sentence and without filling, over the seconds of the updates after
a warm-up, as each program writes it down, over the same number of updates. No speed is printed where the two models
differ in size by more than a hundredth or a loss did not fall.

JoeyNMT goes into a virtual environment of its own (about a minute). The data folder is $REGARD_DATA, or
../shared/data beside the repository; in it stands multi30k/train.{en,de}. Exit status 2: something is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOW = 10  # updates that one report covers; the first report is the warm-up
VOCABULARY, BATCH_TOKENS, LEARNING_RATE, SEED = 8000, 4096, 5e-4, 1
# What JoeyNMT 2.3.0 imports for text on today's packages. Its own requirements pin protobuf < 3.21 and bring linters
# and web packages that training never touches; importlib_metadata, which it imports, they leave out.
JOEYNMT = "joeynmt==2.3.0"
JOEYNMT_NEEDS = (
    "torch==2.13.0 numpy importlib_metadata sentencepiece subword-nmt sacremoses sacrebleu matplotlib pandas pyyaml "
    "packaging tensorboard tqdm setuptools"
)

JOEYNMT_CONFIG = """\
name: "speed"
joeynmt_version: "2.3.0"
model_dir: "{folder}/joeynmt-run"
use_cuda: False
fp16: False
random_seed: {seed}
num_workers: 0

data:
    train: "{folder}/train"
    dev: "{folder}/dev"
    dataset_type: "plain"
    sample_train_subset: -1
    sample_dev_subset: -1
    src:
        lang: "en"
        level: "word"
        lowercase: False
        normalize: False
        max_length: 256
        voc_limit: 100000
        voc_min_freq: 1
        voc_file: "{folder}/units.txt"
        tokenizer_type: "none"
    trg:
        lang: "de"
        level: "word"
        lowercase: False
        normalize: False
        max_length: 256
        voc_limit: 100000
        voc_min_freq: 1
        voc_file: "{folder}/units.txt"
        tokenizer_type: "none"
    special_symbols:
        unk_token: "<unk>"
        unk_id: 0
        pad_token: "<pad>"
        pad_id: 1
        bos_token: "<s>"
        bos_id: 2
        eos_token: "</s>"
        eos_id: 3

testing:
    n_best: 1
    beam_size: 5
    beam_alpha: 1.0
    batch_size: 64
    batch_type: "sentence"
    max_output_length: 100
    eval_metrics: ["bleu"]

training:
    optimizer: "adam"
    adam_betas: [0.9, 0.98]
    learning_rate: {learning_rate}
    learning_rate_min: 0.0
    learning_rate_warmup: {warmup}
    scheduling: "warmupinversesquareroot"
    weight_decay: 0.0
    clip_grad_norm: 1.0
    loss: "crossentropy"
    normalization: "tokens"
    label_smoothing: 0.1
    batch_size: {batch_tokens}
    batch_type: "token"
    batch_multiplier: 1
    early_stopping_metric: "ppl"
    epochs: 1000
    updates: {updates}
    validation_freq: 1000000
    logging_freq: {window}
    print_valid_sents: [0]
    overwrite: True
    shuffle: True
    keep_best_ckpts: 1

model:
    initializer: "xavier_uniform"
    init_gain: 1.0
    bias_initializer: "zeros"
    embed_initializer: "xavier_uniform"
    embed_init_gain: 1.0
    tied_embeddings: True
    tied_softmax: True
    encoder:
        type: "transformer"
        num_layers: 3
        num_heads: 4
        embeddings:
            embedding_dim: 256
            scale: True
            dropout: {dropout}
        hidden_size: 256
        ff_size: 1024
        dropout: {dropout}
        layer_norm: "pre"
        activation: "relu"
    decoder:
        type: "transformer"
        num_layers: 3
        num_heads: 4
        embeddings:
            embedding_dim: 256
            scale: True
            dropout: {dropout}
        hidden_size: 256
        ff_size: 1024
        dropout: {dropout}
        layer_norm: "pre"
        activation: "relu"
"""

REGARD_RECIPE = """\
task = "translation"
seed = {seed}

[data]
source = "{data}/train.en"
target = "{data}/train.de"
valid_source = "{folder}/few.en"
valid_target = "{folder}/few.de"
tokenizer = "bpe"
vocabulary = {vocabulary}
shared_vocabulary = true
max_length = 256

[model]
kind = "transformer"
dim = 256
heads = 4
feed_forward = 1024
encoder_layers = 3
decoder_layers = 3
norm = "pre"
positions = "sinusoidal"
dropout = {dropout}
attention_dropout = {dropout}
tie_embeddings = true

[training]
steps = {updates}
batch_tokens = {batch_tokens}
learning_rate = {learning_rate}
schedule = "inverse-square-root"
warmup = {warmup}
label_smoothing = 0.1
weight_decay = 0.0
clip = 1.0
precision = "{precision}"
device = "cpu"
save_every = 1000000
validate_every = 1000000
"""


class Refused(Exception):
    """One sentence: what is missing, or why no speed may be printed."""


@dataclass(frozen=True)
class Measured:
    """One training: target tokens a second and an update, after the warm-up; loss at the first and last report."""

    speed: float
    batch: float
    losses: tuple[float, float]
    parameters: int


def run(command: list[str], log: Path, threads: int) -> str:
    """What the command printed, also kept in `log`. Raises Refused with its last line where it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
        raise Refused(f"'{' '.join(command[:5])} ...' left with status {done.returncode}: {last} (all of it in {log})")
    return done.stdout


def joeynmt_python(folder: Path, log: Path, threads: int) -> Path:
    """A Python that has JoeyNMT, made in `folder` unless it stands there from an earlier run."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print("installing JoeyNMT 2.3.0 into its own environment ...", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(folder)], log, threads)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, *JOEYNMT_NEEDS.split()], log, threads)
        run([*pip, "--no-deps", JOEYNMT], log, threads)
        (folder / "ready").touch()
    return python


def units(data: Path, folder: Path, tokenizer_file: Path | None) -> None:
    """Write the corpus cut into units for JoeyNMT, by Regard's tokenizer, or without one by a BPE trained here."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    special = ["<unk>", "<pad>", "<s>", "</s>"]  # in JoeyNMT's order
    if tokenizer_file is not None:
        try:
            tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises bare Exceptions
            raise Refused(f"{tokenizer_file} cannot be read as a tokenizer: {error}") from error
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
        tokenizer.train([str(data / "train.en"), str(data / "train.de")], trainer)
    vocabulary = [unit for unit, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    plain = [_word(unit) for unit in vocabulary if unit not in special]
    (folder / "units.txt").write_text("\n".join([*special, *plain]) + "\n", encoding="utf-8")
    for language in ("en", "de"):
        lines = (data / f"train.{language}").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        cut = tokenizer.encode_batch(lines, add_special_tokens=False)
        text = [" ".join(map(_word, found.tokens)) for found in cut]
        (folder / f"train.{language}").write_text("\n".join(text) + "\n", encoding="utf-8")
        (folder / f"dev.{language}").write_text("\n".join(text[:4]) + "\n", encoding="utf-8")


def _word(unit: str) -> str:
    """A unit that JoeyNMT, which splits at white space, takes as one word."""
    return "".join("▁" if letter.isspace() else letter for letter in unit)


def joeynmt(python: Path, folder: Path, options: argparse.Namespace) -> Measured:
    config = JOEYNMT_CONFIG.format(folder=folder, **_shared(options))
    (folder / "joeynmt.yaml").write_text(config, encoding="utf-8")
    shutil.rmtree(folder / "joeynmt-run", ignore_errors=True)
    command = [str(python), "-m", "joeynmt", "train", str(folder / "joeynmt.yaml"), "--skip-test"]
    said = run(command, folder / "joeynmt.log", options.threads)
    report = re.compile(
        r"^(\S+ \S+) - .*Step: +\d+, Batch Loss: +([\d.]+), .*Tokens per Sec: +(\d+)", flags=re.MULTILINE
    )
    reports = [
        (datetime.strptime(clock, "%Y-%m-%d %H:%M:%S,%f"), float(loss), float(speed))
        for clock, loss, speed in report.findall(said)
    ]
    size = re.search(r"Total params: (\d+)", said)
    if len(reports) < 2 or size is None:
        raise Refused(f"JoeyNMT reported {len(reports)} times instead of {options.updates // WINDOW}: see {folder}")
    speed = statistics.harmonic_mean([speed for _, _, speed in reports[1:]])
    seconds = (reports[-1][0] - reports[0][0]).total_seconds()  # JoeyNMT logs no tokens, only their rate
    batch = speed * seconds / (WINDOW * (len(reports) - 1))
    return Measured(speed, batch, (reports[0][1], reports[-1][1]), int(size[1]))


def regard(data: Path, run_folder: Path, precision: str, options: argparse.Namespace) -> Measured:
    folder = run_folder.parent
    for language in ("en", "de"):
        few = (data / f"train.{language}").read_text(encoding="utf-8").split("\n")[:4]
        (folder / f"few.{language}").write_text("\n".join(few) + "\n", encoding="utf-8")
    recipe = folder / f"{run_folder.name}.toml"
    recipe.write_text(
        REGARD_RECIPE.format(
            data=data.resolve(), folder=folder, vocabulary=VOCABULARY, precision=precision, **_shared(options)
        ),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "regard", "train", str(recipe), "--out", str(run_folder)]
    said = run(command, folder / f"{run_folder.name}.log", options.threads)
    metrics = run_folder / "metrics.jsonl"
    if not metrics.is_file():
        raise Refused(f"Regard wrote no {metrics}: see {run_folder}.log")
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if "tokens_per_second" in row and "loss" in row]
    size = re.search(r"([\d,]+) parameters", said)
    if len(rows) < 2 or size is None:
        raise Refused(f"Regard reported {len(rows)} times instead of {options.updates // WINDOW}: see {run_folder}.log")
    speed = statistics.harmonic_mean([row["tokens_per_second"] for row in rows[1:]])
    batch = statistics.mean(row["tokens"] for row in rows[1:]) / WINDOW
    return Measured(speed, batch, (rows[0]["loss"], rows[-1]["loss"]), int(size[1].replace(",", "")))


def _shared(options: argparse.Namespace) -> dict[str, object]:
    return {
        "seed": SEED,
        "batch_tokens": BATCH_TOKENS,
        "learning_rate": LEARNING_RATE,
        "warmup": WINDOW,
        "window": WINDOW,
        "updates": options.updates,
        "dropout": options.dropout,
    }


def check(results: dict[str, list[Measured]]) -> None:
    """Refuse where the programs did not train the same model, or one of them did not train."""
    sizes = {name: trained[0].parameters for name, trained in results.items()}
    if max(sizes.values()) > 1.01 * min(sizes.values()):
        raise Refused(f"the models differ in size, so their speeds do not compare: {sizes} parameters")
    for name, trained in results.items():
        for one in trained:
            if not one.losses[1] < one.losses[0]:
                raise Refused(f"the loss of {name} went from {one.losses[0]} to {one.losses[1]}: that is no training")


def show(results: dict[str, list[Measured]], options: argparse.Namespace) -> None:
    from torch import __version__ as torch_version

    print(
        f"\n{options.rounds} rounds of {options.updates} updates, the first {WINDOW} not counted; {options.threads} "
        f"threads, Python {platform.python_version()}, torch {torch_version}, dropout {options.dropout}\n"
    )
    base = "JoeyNMT" if "JoeyNMT" in results else next(iter(results))
    print(f"{'':16}{'tokens/s in each round':>28}{'ratio in each round':>24}{'tokens an update':>18}{'parameters':>13}")
    for name, trained in results.items():
        speeds = "  ".join(f"{one.speed:,.0f}" for one in trained)
        pairs = zip(trained, results[base], strict=True)
        ratios = "  ".join(f"{one.speed / other.speed:.2f}" for one, other in pairs)
        print(f"{name:16}{speeds:>28}{ratios:>24}{trained[0].batch:18,.0f}{trained[0].parameters:13,}")
        print(f"{'':16}loss {trained[-1].losses[0]:.2f} → {trained[-1].losses[1]:.2f}")


def measure(data: Path, folder: Path, options: argparse.Namespace) -> dict[str, list[Measured]]:
    names = [f"Regard {precision}" for precision in options.precision] if options.only != "joeynmt" else []
    results: dict[str, list[Measured]] = {name: [] for name in names}
    python = Path()
    if options.only != "regard":
        environment = (options.environment or folder / "environment").resolve()
        python = joeynmt_python(environment, folder / "environment.log", options.threads)
        results["JoeyNMT"] = []
    for number in range(1, options.rounds + 1):
        for name in results:
            if name == "JoeyNMT":
                if number == 1:
                    units(data, folder, folder / "regard-1-0" / "tokenizer.json" if names else None)
                results[name].append(joeynmt(python, folder, options))
            else:
                place = names.index(name)
                run_folder = folder / f"regard-{number}-{place}"
                results[name].append(regard(data, run_folder, options.precision[place], options))
            print(f"round {number}: {name} {results[name][-1].speed:,.0f} target tokens/s", flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description="Training speed of Regard against JoeyNMT 2.3.0, measured in turn.")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured")
    parser.add_argument("--updates", type=int, default=4 * WINDOW, help=f"of each training, in steps of {WINDOW}")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--precision", nargs="+", choices=["auto", "fp32", "bf16"], default=["auto", "fp32"])
    parser.add_argument("--only", choices=["joeynmt", "regard"], help="measure one side alone")
    parser.add_argument("--environment", type=Path, help="keep JoeyNMT's environment here, and find it here again")
    options = parser.parse_args()
    if options.updates < 2 * WINDOW or options.updates % WINDOW:
        parser.error(f"--updates is a multiple of {WINDOW}, at least {2 * WINDOW}: the first {WINDOW} are not counted")
    data = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "multi30k"
    try:
        if not (data / "train.en").is_file():
            raise Refused(f"{data} has no train.en: set REGARD_DATA to the folder that holds multi30k/")
        folder = Path(tempfile.mkdtemp(prefix="regard-joeynmt-"))
        results = measure(data, folder, options)
        check(results)
    except Refused as reason:
        print(reason, file=sys.stderr)
        return 2
    show(results, options)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
