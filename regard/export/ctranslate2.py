"""A Transformer as a model of CTranslate2, an engine for fast translation on CPUs and GPUs (Klein et al. 2020).

It knows the Transformer of the paper: scaled dot product and softmax over all positions, sinusoidal or learned
positions, pre- or post-norm. What else a model here may be made of is refused by its name.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard.attention import Attend, MultiHead
from regard.attention.normalizers import softmax
from regard.attention.scopes import Causal, Global
from regard.attention.scores import ScaledDot
from regard.batch import BOS, EOS, SPECIAL_TOKENS, UNK
from regard.data import Tokenizer
from regard.errors import RegardError, UsageError
from regard.layers import Embedding, FeedForward, Learned, Sinusoidal
from regard.models import EncoderDecoder, TransformerDecoder, TransformerEncoder

CLOSE = 1e-3  # log-probabilities may differ by so much: float32 added up in another order


def write_ctranslate2(
    network: EncoderDecoder, source: Tokenizer, target: Tokenizer, out: Path, *, longest: int
) -> float:
    """Writes the model into the folder `out`, which exists, and gives the largest difference between its
    log-probabilities and the model's, of sequences of at most `longest` tokens.

    Raises:
        UsageError: the package is missing, or CTranslate2 has nothing like this model.
        RegardError: what was written does something else.
    """
    try:
        import ctranslate2
        from ctranslate2.specs import TransformerSpec
    except ImportError as error:
        raise UsageError(
            f"exporting to CTranslate2 needs {error.name}, which is not installed: pip install 'regard[ctranslate2]'"
        ) from error
    encoder, decoder = network.encoder, network.decoder
    if not isinstance(encoder, TransformerEncoder) or not isinstance(decoder, TransformerDecoder):
        raise _unlike(f"a decoder of the kind {type(decoder).__name__}")
    first: Any = encoder.layers[0]
    pre_norm: bool = first.around_attention.pre_norm
    heads: int = first.attention.heads
    spec: Any = TransformerSpec.from_config((len(encoder.layers), len(decoder.layers)), heads, pre_norm=pre_norm)
    for side, part in ((spec.encoder, encoder), (spec.decoder, decoder)):
        _sides(side, part, longest)
    for there, here in zip(spec.encoder.layer, encoder.layers, strict=True):
        _self_attention(there.self_attention, here, causal=False)
        _feed_forward(there.ffn, here)
    for there, here in zip(spec.decoder.layer, decoder.layers, strict=True):
        _self_attention(there.self_attention, here, causal=True)
        _cross_attention(there.attention, here)
        _feed_forward(there.ffn, here)
    _linear(spec.decoder.projection, decoder.output)
    spec.register_source_vocabulary(source.tokens(range(source.size)))
    spec.register_target_vocabulary(target.tokens(range(target.size)))
    names = {"unk": UNK, "bos": BOS, "eos": EOS}
    for name, number in names.items():
        setattr(spec.config, f"{name}_token", SPECIAL_TOKENS[number])
    spec.config.decoder_start_token = SPECIAL_TOKENS[BOS]
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = first.around_attention.norm.eps
    spec.validate()
    spec.optimize()
    spec.save(str(out))
    difference = compared(network, source, target, ctranslate2.Translator(str(out), device="cpu"), longest)
    if not difference < CLOSE:
        raise RegardError(
            f"what was written for CTranslate2 differs from the model by {difference:.2g} in its log-probabilities: it was "
            "taken away; please report this with the run's recipe.toml"
        )
    return difference


def _unlike(what: str) -> UsageError:
    return UsageError(f"CTranslate2 has nothing like {what}: export to onnx instead")


def _sides(spec: Any, part: TransformerEncoder | TransformerDecoder, longest: int) -> None:
    """Embedding, positions and the last norm of encoder or decoder."""
    embeddings = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
    embedding: Embedding = part.embedding
    embeddings.weight = _array(embedding.weight)
    if not math.isclose(embedding.scale, math.sqrt(embedding.dim)):
        raise _unlike(f"embeddings that are multiplied by {embedding.scale:g}")
    positions = part.positions
    match positions:
        case Sinusoidal():
            spec.position_encodings.encodings = _array(positions.encodings(longest + 1))
        case Learned():
            spec.position_encodings.encodings = _array(positions.weight)
        case _:
            raise _unlike("positions inside self-attention")
    if isinstance(part.norm, nn.LayerNorm):
        _norm(spec.layer_norm, part.norm)


def _self_attention(spec: Any, layer: Any, *, causal: bool) -> None:
    attention: MultiHead = layer.attention
    _plain(attention, causal)
    _linear(spec.linear[0], attention.projection)
    _linear(spec.linear[1], attention.output)
    _norm(spec.layer_norm, layer.around_attention.norm)


def _cross_attention(spec: Any, layer: Any) -> None:
    attention: MultiHead = layer.cross
    _plain(attention, False)
    size = attention.sizes[0]
    weight, bias = attention.projection.weight, attention.projection.bias
    spec.linear[0].weight, spec.linear[0].bias = _array(weight[:size]), _array(bias[:size])
    spec.linear[1].weight, spec.linear[1].bias = _array(weight[size:]), _array(bias[size:])
    _linear(spec.linear[2], attention.output)
    _norm(spec.layer_norm, layer.around_cross.norm)


def _plain(attention: MultiHead, causal: bool) -> None:
    """UsageError unless these are the heads of Vaswani et al. 2017."""
    attend: Attend = attention.attend
    if not isinstance(attend.score, ScaledDot):
        raise _unlike(f"the score {type(attend.score).__name__} in heads")
    if attend.normalize is not softmax:
        raise _unlike("a normalizer other than softmax")
    if not isinstance(attend.scope, Causal if causal else Global | None):
        raise _unlike(f"the scope {attend.scope}")
    if attend.bias is not None or attention.rotary is not None:
        raise _unlike("positions inside attention")
    if attention.kv_heads != attention.heads:
        raise _unlike("heads that share keys and values")


def _feed_forward(spec: Any, layer: Any) -> None:
    inner: FeedForward = layer.feed_forward
    _linear(spec.linear_0, inner.rise)
    _linear(spec.linear_1, inner.fall)
    _norm(spec.layer_norm, layer.around_feed_forward.norm)


def _linear(spec: Any, layer: nn.Linear) -> None:
    spec.weight = _array(layer.weight)
    if layer.bias is not None:
        spec.bias = _array(layer.bias)


def _norm(spec: Any, layer: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(layer.weight), _array(layer.bias)


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def compared(network: EncoderDecoder, source: Tokenizer, target: Tokenizer, translator: Any, longest: int) -> float:
    """The largest difference between the log-probabilities of tokens that are said by force, over batches of sequences
    that chance has made."""
    draw = torch.Generator().manual_seed(1)
    decoder: Any = network.decoder
    device = decoder.embedding.weight.device
    worst = 0.0
    for rows, width in ((1, 1), (3, min(11, longest))):
        read = torch.randint(len(SPECIAL_TOKENS), source.size, (rows, width), generator=draw)
        said = torch.randint(len(SPECIAL_TOKENS), target.size, (rows, width), generator=draw)
        with torch.no_grad():
            ends = torch.full((rows, 1), EOS)
            memory = network.encode(
                torch.cat((read, ends), dim=1).to(device), torch.full((rows,), width + 1).to(device)
            )
            before = torch.cat((torch.full((rows, 1), BOS), said), dim=1).to(device)
            logits, _ = decoder(before, decoder.start(memory), memory)
            chances = torch.log_softmax(logits.float(), dim=-1).cpu()
        wanted = chances.gather(-1, torch.cat((said, ends), dim=1)[..., None])[..., 0]
        found = translator.score_batch(
            [source.tokens(row) for row in read.tolist()], [target.tokens(row) for row in said.tolist()]
        )
        for row, result in zip(wanted, found, strict=True):
            worst = max(worst, float(np.abs(np.array(result.log_probs) - row.numpy()).max()))
    return worst
