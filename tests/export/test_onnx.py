"""Graphs that speak as the model does, for every kind of model that speaks token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from regard import build
from regard.attention.normalizers import top_k
from regard.batch import BOS
from regard.config import recipe_of
from regard.errors import RegardError, UsageError
from regard.export import recurrence
from regard.export.onnx import compared, write_onnx
from regard.export.ranking import ByRank
from regard.models import EncoderDecoder

SMALL = {"dim": 12, "heads": 2, "feed_forward": 14, "encoder_layers": 1, "decoder_layers": 1}
THIN = {"kind": "recurrent", "hidden": 10, "embedding": 6}
KINDS: dict[str, dict[str, Any]] = {
    "pre-norm, sinusoidal, one head of keys": {**SMALL, "kv_heads": 1},
    "post-norm, rotary, sparsemax, windows": {
        **SMALL,
        "norm": "post",
        "positions": "rotary",
        "dim": 8,
        "attention": {"normalize": "sparsemax", "scope": {"kind": "window", "left": 2, "right": 1}},
    },
    "learned, copying": {**SMALL, "positions": "learned", "copy_source": True},
    "Bahdanau, GRU in both directions, additive": {**THIN, "cell": "gru"},
    "Luong, LSTM of two layers, general": {
        **THIN,
        "cell": "lstm",
        "decoder": "luong",
        "encoder_layers": 2,
        "decoder_layers": 2,
        "attention": {"score": "general"},
    },
    "exact hard, monotonic, RNN in one direction": {
        **THIN,
        "cell": "rnn",
        "bidirectional": False,
        "decoder": "exact-hard",
        "transition": "monotonic",
        "attention": {"score": "general"},
    },
    "location-sensitive, which remembers": {**THIN, "attention": {"score": "location-sensitive"}},
    "the best three, in a recurrent decoder": {**THIN, "attention": {"normalize": "top-k", "top_k": 3}},
    "the best two, in every head": {**SMALL, "attention": {"normalize": "top-k", "top_k": 2}},
}
SOURCE, TARGET = 11, 13


def network(model: dict[str, Any]) -> EncoderDecoder:
    torch.manual_seed(1)
    recipe = recipe_of({"model": model})
    shared = bool(model.get("copy_source"))
    made = build.encoder_decoder(
        recipe.model,
        TARGET if shared else SOURCE,
        TARGET,
        shared=shared,
        max_length=30,
        same=list(range(TARGET if shared else SOURCE)),
    )
    with torch.no_grad():  # large weights, so that nothing is right by being small
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_say_what_the_model_says(kind: str, tmp_path: Path) -> None:
    model = network(KINDS[kind])
    sizes = (TARGET if "copy_source" in KINDS[kind] else SOURCE, TARGET)
    graphs = write_onnx(model, sizes, tmp_path, longest=30)
    assert graphs.difference < 1e-4
    encoder, decoder = (onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")) for name in ("encoder", "decoder"))
    assert [each.name for each in encoder.get_outputs()] == [*graphs.memory, *graphs.state]
    assert [each.name for each in decoder.get_inputs()] == ["tokens", *graphs.memory, *graphs.state]
    # As somebody would use it, with other numbers than those by which it was checked, and padding after each end.
    source, lengths = torch.randint(4, 11, (3, 23)), torch.tensor([23, 2, 9])
    said = torch.randint(4, 13, (3, 8))
    said[:, 0] = BOS
    with torch.no_grad():
        memory = model.encode(source, lengths)
        wanted, _ = model.decoder(said, model.decoder.start(memory), memory)  # type: ignore[operator]
    found = encoder.run(None, {"source": source.numpy(), "lengths": lengths.numpy()})
    given = dict(zip([*graphs.memory, *graphs.state], found, strict=True))
    for step in range(said.shape[1]):
        logits, *after = map(np.asarray, decoder.run(None, {"tokens": said[:, step : step + 1].numpy(), **given}))
        given |= dict(zip(graphs.state, after, strict=True))
        np.testing.assert_allclose(logits[:, 0], wanted[:, step].numpy(), atol=2e-5)
    # And it is these weights that were written: with others the graphs are far off.
    with torch.no_grad():
        model.encoder.embedding.weight[5:] *= -1  # type: ignore[index,operator,union-attr]
    assert compared(model, sizes, encoder, decoder, graphs.memory, graphs.state, 30) > 0.01


def test_what_differs_is_no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(recurrence.GATES, "gru", [0, 1, 2])
    with pytest.raises(RegardError, match="differs from the model by"):
        write_onnx(network(KINDS["Bahdanau, GRU in both directions, additive"]), (SOURCE, TARGET), tmp_path, longest=30)


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = {**THIN, "attention": {"scope": {"kind": "local-monotonic", "window": 2}}}
    with pytest.raises(UsageError, match=r"the scope LocalMonotonic\(.*\) of a recurrent decoder goes on"):
        write_onnx(network(local), (SOURCE, TARGET), tmp_path, longest=30)

    def broken(*arguments: object, **named: object) -> None:
        raise ValueError("outside") from KeyError("no such operator\nand its stack")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(RegardError, match=r"cannot be written as ONNX .*no such operator"):
        write_onnx(network(THIN), (SOURCE, TARGET), tmp_path, longest=30)

    for full in (OSError(28, "No space left on device"), RuntimeError("step 3")):

        def refused(*arguments: object, full: Exception = full, **named: object) -> None:
            raise full from OSError(28, "No space left on device")

        monkeypatch.setattr(torch.onnx, "export", refused)
        with pytest.raises(RegardError) as raised:
            write_onnx(network(THIN), (SOURCE, TARGET), tmp_path, longest=30)
        assert str(raised.value).startswith(f"{tmp_path} cannot be written (No space left on device): make room")

    def unread(*arguments: object, **named: object) -> None:
        raise OSError("could not get source code")

    monkeypatch.setattr(torch.onnx, "export", unread)
    with pytest.raises(RegardError, match=r"cannot be written as ONNX .*could not get source code"):
        write_onnx(network(THIN), (SOURCE, TARGET), tmp_path, longest=30)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_by_rank_is_top_k_of_rows_of_any_length(k: int) -> None:
    for width in (1, 2, 7):
        scores = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(width)).double()
        scores[..., width // 2 :] = scores[..., width // 2 :].masked_fill(scores[..., width // 2 :] < 0, -torch.inf)
        scores[..., 0] = 0.5
        torch.testing.assert_close(ByRank(k)(scores), top_k(k)(scores))
    assert ByRank(2)(torch.zeros(5)).tolist() == [0.5, 0.5, 0, 0, 0], "of equal ones as many as are wanted"
