"""A Transformer in another engine holds probable what it holds here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import torch

from regard import build
from regard.batch import BOS, PAD
from regard.config import recipe_of
from regard.data import Tokenizer
from regard.errors import RegardError, UsageError
from regard.export import ctranslate2 as export
from regard.export.ctranslate2 import compared, write_ctranslate2
from regard.models import EncoderDecoder
from regard.tasks.translation import Search, search

SMALL = {"dim": 12, "heads": 2, "feed_forward": 14, "encoder_layers": 1, "decoder_layers": 2}
LEFT = Tokenizer.train("words", ["one two three four five 六 سبعة 👍🏽 e\u0301t"], 50)
RIGHT = Tokenizer.train("words", ["eins zwei drei vier fünf sechs sieben acht"], 50)


def network(**model: Any) -> EncoderDecoder:
    torch.manual_seed(2)
    part = recipe_of({"model": model if "kind" in model else {**SMALL, **model}}).model
    made = build.encoder_decoder(part, LEFT.size, RIGHT.size, shared=False, max_length=20, same=[-1] * LEFT.size)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        made.output.bias[[PAD, BOS]] = -50.0  # which a search here never says, and a model that has learned neither
    return made.eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_it_says_the_same(norm: str, positions: str, tmp_path: Path) -> None:
    model = network(norm=norm, positions=positions, tie_embeddings=norm == "pre")
    assert write_ctranslate2(model, LEFT, RIGHT, tmp_path, longest=20) < 1e-4
    translator = ctranslate2.Translator(str(tmp_path), device="cpu")
    lines = ["one 六 سبعة", "👍🏽", "four five e\u0301t two three"]
    tokens = [LEFT.encode(line) for line in lines]
    found = translator.translate_batch([each.tokens for each in tokens], beam_size=1, max_decoding_length=7)
    how = Search(beam=1, max_length=7)
    own = search(model, [each.ids for each in tokens], how)
    assert [each.hypotheses[0] for each in found] == [RIGHT.tokens(hypotheses[0].ids) for hypotheses in own]
    with torch.no_grad():
        model.decoder.layers[1].cross.output.weight *= -1  # type: ignore[index,operator,union-attr]
    assert compared(model, LEFT, RIGHT, translator, 20) > 0.01


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"positions": "rotary", "dim": 8}, "positions inside self-attention"),
        ({"positions": "relative"}, "positions inside self-attention"),
        ({"kv_heads": 1}, "heads that share keys and values"),
        ({"attention": {"normalize": "entmax15"}}, "a normalizer other than softmax"),
        ({"cross_attention": {"score": "dot"}}, "the score Dot in heads"),
        ({"encoder_attention": {"scope": {"kind": "window", "left": 1, "right": 1}}}, "the scope Window"),
        ({"lexical": True}, "a decoder of the kind LexicalDecoder"),
        ({"kind": "recurrent"}, "a decoder of the kind BahdanauDecoder"),
    ],
)
def test_what_it_has_not_is_named(model: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"nothing like {sentence}"):
        write_ctranslate2(network(**model), LEFT, RIGHT, tmp_path, longest=20)


def test_what_differs_is_no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "_linear", lambda spec, layer: setattr(spec, "weight", export._array(layer.weight)))
    with pytest.raises(RegardError, match="differs from the model by"):
        write_ctranslate2(network(), LEFT, RIGHT, tmp_path, longest=20)
