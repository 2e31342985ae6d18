"""What probing says of each head is what a model without that head does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from regard.attention import MultiHead
from regard.batch import BOS, EOS, Batch, rectangle
from regard.cli import main
from regard.config import recipe_of, write_toml
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.evaluation import Gold
from regard.run import Model
from regard.run.probing import probe, validation_pairs
from regard.run.translation.model import new_network
from regard.training.checkpoint import parameters_of, save_tensors

LINES = [("a b c d", "w x y z"), ("c a", "y w"), ("", "x"), ("b d a", "x z w"), ("d", "z"), ("d c b a a", "z y x w w")]


def model_of(kind: str, **data: str) -> Model:
    torch.manual_seed(2)
    part: dict[str, Any] = {"kind": "recurrent", "embedding": 6, "hidden": 8}
    if kind == "transformer":
        part = {"kind": kind, "dim": 12, "heads": 3, "feed_forward": 20, "encoder_layers": 1, "decoder_layers": 2}
    elif kind != "recurrent":
        part["decoder"] = kind
    recipe = recipe_of(
        {"model": part, "data": {"source_tokenizer": "words", "target_tokenizer": "words", "vocabulary": 30, **data}}
    )
    source = Tokenizer.train("words", [s for s, _ in LINES] * 2, 30)
    target = Tokenizer.train("words", [t for _, t in LINES] * 2, 30)
    network = new_network(recipe, source, target).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return Model(network, source, target, recipe, "small")


def loss(model: Model, lines: Sequence[tuple[str, str]]) -> float:
    """Pair by pair, from the logits."""
    total, tokens = 0.0, 0
    for source, target in lines:
        said = [*model.target_tokenizer.encode(target).ids, EOS]
        ids, lengths = rectangle([[*model.source_tokenizer.encode(source).ids, EOS]])
        read, read_lengths = rectangle([[BOS, *said]])
        with torch.no_grad():
            logits = model.network(Batch(ids, lengths, read, read_lengths, torch.arange(1)))[0].double()
        total -= sum(float(row.log_softmax(-1)[token]) for row, token in zip(logits, said, strict=True))
        tokens += len(said)
    return total / tokens


def test_each_head_costs_what_the_model_loses_without_it() -> None:
    model = model_of("transformer")
    found = probe(model, LINES)
    filled = [pair for pair in LINES if pair[0]]
    assert (found.sentences, found.left_out, found.tokens) == (5, 1, 20)
    assert found.loss == pytest.approx(loss(model, filled), abs=1e-5)
    assert [(h.where, h.layer, h.head) for h in found.heads] == [
        *(("cross", layer, head) for layer in range(2) for head in range(3)),
        *(("encoder", 0, head) for head in range(3)),
        *(("decoder", layer, head) for layer in range(2) for head in range(3)),
    ]
    parts: dict[str, list[nn.Module]] = {
        "cross": [layer.cross for layer in model.network.decoder.layers],  # type: ignore[union-attr]
        "encoder": [layer.attention for layer in model.network.encoder.layers],  # type: ignore[union-attr]
        "decoder": [layer.attention for layer in model.network.decoder.layers],  # type: ignore[union-attr]
    }
    for head in found.heads:
        part = parts[head.where][head.layer]
        assert isinstance(part, MultiHead)
        kept = part.output.weight.data.clone()
        part.output.weight.data[:, 4 * head.head : 4 * head.head + 4] = 0
        assert head.loss_change == pytest.approx(loss(model, filled) - found.loss, abs=2e-5)
        part.output.weight.data.copy_(kept)
    assert any(abs(head.loss_change) > 1e-3 for head in found.heads)


def test_entropy_is_the_mean_over_real_rows() -> None:
    model = model_of("recurrent")
    [head] = probe(model, LINES).heads
    rows = []
    for source, target in LINES:
        if not source:
            continue
        ids, lengths = rectangle([[*model.source_tokenizer.encode(source).ids, EOS]])
        read, read_lengths = rectangle([[BOS, *model.target_tokenizer.encode(target).ids, EOS]])
        weights = model.network.look(Batch(ids, lengths, read, read_lengths, torch.arange(1)))[0, 0, 0].numpy()
        rows += [-sum(w * np.log(w) for w in row if w > 0) for row in weights]
    assert len(rows) == 20
    assert head.entropy == pytest.approx(np.mean(rows), abs=1e-5)
    assert (head.where, head.layer, head.head) == ("cross", 0, 0)


def test_gold_scores_each_head_that_looks_at_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    # Head 1 of layer 0 looks where each word is said, head 2 of layer 1 where it was read; others at the first word.
    lines = [("a b c", "w x y"), ("d", "z"), ("b a", "x w")]

    def seen(network: Any, sources: Any, targets: Any) -> Any:
        for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
            weights = np.zeros((2, 3, len(target.ids) + 1, source.words), dtype=np.float32)
            weights[..., 0] = 0.1
            for word in range(source.words):
                weights[0, 1, word, word] = weights[1, 2, word + 1, word] = 1
            yield number, weights

    monkeypatch.setattr("regard.run.probing.forced_attention", seen)
    gold = [
        Gold(frozenset((n, n) for n in range(count)), frozenset((n, n) for n in range(count))) for count in (3, 1, 2)
    ]
    found = {(h.where, h.layer, h.head): h for h in probe(model_of("transformer"), lines, gold=gold).heads}
    assert found["cross", 0, 1].aer_said == pytest.approx(0) and found["cross", 1, 2].aer_read == pytest.approx(0)
    # At the first word of 3, 1 and 2: 3 of 6 links.
    assert found["cross", 0, 0].aer_said == pytest.approx(50) and found["cross", 0, 0].aer_read == pytest.approx(50)
    assert found["encoder", 0, 0].aer_said is None and found["decoder", 0, 0].aer_read is None
    assert "AER said" in str(probe(model_of("transformer"), lines, gold=gold))


def test_the_pairs_are_spread_over_the_files() -> None:
    model = model_of("recurrent")
    assert probe(model, [("a", "w")] * 5 + [("b c d", "x")] * 5, count=2).tokens == 4
    assert probe(model, LINES * 3, count=7).sentences + probe(model, LINES * 3, count=7).left_out == 7
    with pytest.raises(UsageError, match="no pair to probe with"):
        probe(model, [("", "x"), ("a", " ")])
    with pytest.raises(UsageError, match="gold links for 1 of 6 pairs"):
        probe(model, LINES, gold=[Gold(frozenset(), frozenset())])
    with pytest.raises(UsageError, match="small has a fixed context and has no heads to probe"):
        probe(model_of("fixed-initial"), LINES)


def written(tmp_path: Path, **changes: str) -> Path:
    files = {}
    for name, side in (("valid_source", 0), ("valid_target", 1)):
        path = tmp_path / name
        path.write_text("".join(pair[side] + "\n" for pair in LINES if pair[0]), encoding="utf-8")
        files[name] = str(path)
    files |= {"source": files["valid_source"], "target": files["valid_target"], **changes}
    model = model_of("transformer", **files)
    run = tmp_path / "small"
    run.mkdir()
    (run / "recipe.toml").write_text(write_toml(model.recipe.model_dump(mode="json")), encoding="utf-8")
    model.source_tokenizer.save(run / "source.tokenizer.json")
    model.target_tokenizer.save(run / "target.tokenizer.json")
    save_tensors(run / "model.safetensors", parameters_of(model.network))
    return run


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written(tmp_path)
    assert main(["probe", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == "small" and len(found["heads"]) == 15 and found["tokens"] == 20
    assert main(["probe", str(run), "--pairs", "3"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("small: 3 pairs, ") and len(table) == 17
    assert table[1].split() == ["where", "layer", "head", "loss", "without", "entropy"]
    gold = tmp_path / "gold"
    gold.write_text("0-0\n0-0\n0-0\n0-0\n0-0\n", encoding="utf-8")
    files = ["--source", str(tmp_path / "valid_source"), "--target", str(tmp_path / "valid_target")]
    assert main(["probe", str(run), *files, "--gold", str(gold)]) == 0
    assert len(capsys.readouterr().out.splitlines()[2].split()) == 7


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--gold", "links"], "--gold has the links of given pairs"),
        (["--source", "x"], "give --source FILE and --target FILE"),
        (["--source", "no-such", "--target", "y"], "no-such"),
        (["--pairs", "0"], "--pairs"),
    ],
)
def test_wrong_use_is_one_sentence(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", str(written(tmp_path)), *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_validation_pairs_that_have_gone_are_named(tmp_path: Path) -> None:
    model = model_of("recurrent", valid_source=str(tmp_path / "gone"), valid_target=str(tmp_path / "gone.too"))
    with pytest.raises(UsageError, match=r"small was validated on cannot be read .*gone.*give --source FILE"):
        validation_pairs(model)
    with pytest.raises(UsageError, match="names no pairs to probe with"):
        validation_pairs(model_of("recurrent"))
