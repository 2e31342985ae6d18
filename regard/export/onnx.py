"""An encoder–decoder as two ONNX graphs that speak as the model does: `encode` once, then one token after the other.

`encoder.onnx`: source [batch, source], lengths [batch] → memory.*, state.*
`decoder.onnx`: tokens [batch, 1], memory.*, state.* → logits [batch, 1, vocabulary], next.*

The memory stays still; what comes out as `next.X` goes in as `state.X`. Both graphs are of the plain formulas.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard.attention import attends
from regard.attention.normalizers import TopK
from regard.attention.scopes import Global, LocalPredictive
from regard.batch import BOS
from regard.errors import RegardError, UsageError
from regard.export.leaves import filled, leaves
from regard.export.ranking import ByRank
from regard.export.recurrence import OnnxRecurrent
from regard.layers import Recurrent
from regard.layers.embedding import Sinusoidal
from regard.models import EncoderDecoder
from regard.models.exact_hard import HardState
from regard.models.recurrent import AttentiveDecoder
from regard.models.transformer import TransformerState
from regard.training.checkpoint import Unwritable

CLOSE = 1e-3  # logits may differ by so much: float32 added up in another order
SIZES = ((3, 7, 3), (5, 11, 4))  # sources, tokens of each, tokens said: what differs between two such is dynamic


@dataclass(frozen=True)
class Graphs:
    """Names in the order in which the graphs have them."""

    memory: tuple[str, ...]
    state: tuple[str, ...]
    difference: float  # the largest between logits, over all that was compared


def write_onnx(network: EncoderDecoder, vocabularies: tuple[int, int], out: Path, *, longest: int) -> Graphs:
    """Writes `encoder.onnx` and `decoder.onnx` into the folder `out`, which exists, and compares them with the model,
    whose `vocabularies` are of so many tokens, of the source and of what is said. Neither a source nor what is said of it may have more than `longest` tokens.

    Raises:
        UsageError: the packages are missing, or the model is of a kind that says no tokens one by one.
        RegardError: the exporter cannot write it, or what it wrote does something else.
    """
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise UsageError(
            f"exporting to ONNX needs {error.name}, which is not installed: pip install 'regard[onnx]'"
        ) from error
    plain = _plain(network, longest)
    if isinstance(network.decoder, AttentiveDecoder):
        scope = network.decoder.attend.scope
        if scope is not None and not isinstance(scope, Global | LocalPredictive):
            raise UsageError(
                f"the scope {scope} of a recurrent decoder goes on with every step, which a graph of one step does not know: "
                "train with another one to export"
            )
    examples = [_example(plain, min(vocabularies), *sizes) for sizes in SIZES]
    memory, state = ({**leaves(getattr(examples[0], part), part)} for part in ("memory", "state"))
    try:
        with _quiet(), torch.no_grad():
            read = _write_decoder(plain, examples, memory, state, out / "decoder.onnx")
            _write_encoder(plain, examples, read, state, out / "encoder.onnx")
    except Exception as error:  # whatever stops the exporter, of which there is no list
        refused = _refused(error)
        if refused is not None:
            raise Unwritable(out, refused) from error
        raise RegardError(
            f"this model cannot be written as ONNX ({_reason(error)}): leave it to Regard, or train one without the "
            "mechanism that is named"
        ) from error
    encoder, decoder = (onnxruntime.InferenceSession(str(out / f"{name}.onnx")) for name in ("encoder", "decoder"))
    difference = compared(network, vocabularies, encoder, decoder, read, tuple(state), longest)
    if not difference < CLOSE:
        raise RegardError(
            f"what was written as ONNX differs from the model by {difference:.2g} in its logits: it was taken away; "
            "please report this with the run's recipe.toml"
        )
    return Graphs(tuple(read), tuple(state), difference)


def _refused(error: BaseException | None) -> OSError | None:
    """What the system refused below what the exporter says about itself; its own errors of that kind have no number."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__cause__
    return None


def _reason(error: BaseException) -> str:
    """The first line of what stopped the exporter, below what it says about itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join([f"{type(error).__name__}:", *str(error).strip().splitlines()[:1]])


@dataclass(frozen=True)
class Example:
    source: Tensor
    lengths: Tensor
    tokens: Tensor
    memory: Any
    state: Any


def _plain(network: EncoderDecoder, longest: int) -> EncoderDecoder:
    """A copy on the CPU that takes no fast path and asks for no number that only running shows."""
    plain = copy.deepcopy(network).float().cpu().eval()
    for attend in attends(plain).values():
        attend.recorder = _look_away  # who records weights gets them by the plain formula
        if isinstance(attend.normalize, TopK):
            attend.normalize = ByRank(attend.normalize.k)
    for module in plain.modules():
        if isinstance(module, Sinusoidal):
            module.table = module.encodings(longest + 1)
    return plain


def _look_away(weights: Tensor) -> None:
    return None


def _example(network: EncoderDecoder, size: int, rows: int, width: int, said: int) -> Example:
    draw = torch.Generator().manual_seed(width)
    source, tokens = (torch.randint(4, size, (rows, count), generator=draw) for count in (width, said))
    lengths = torch.randint(1, width, (rows,), generator=draw)
    lengths[0] = width
    decoder: Any = network.decoder
    with torch.no_grad():
        memory = network.encode(source, lengths)
        state = decoder.start(memory)
        for step in tokens.split(1, dim=1):
            _, state = decoder(step, state, memory)
    return Example(source, lengths, tokens[:, -1:], memory, state)


def _dynamic(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[dict[int, Any]]:
    """Which dimensions are not always equally large, of each tensor."""
    shapes = [(one.shape, two.shape) for one, two in zip(first.values(), second.values(), strict=True)]
    return [
        {number: torch.export.Dim.DYNAMIC for number, (a, b) in enumerate(zip(one, two, strict=True)) if a != b}
        for one, two in shapes
    ]


def _write_decoder(
    network: EncoderDecoder,
    examples: Sequence[Example],
    memory: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    path: Path,
) -> list[str]:
    """Writes it, and says which of the memory it reads."""
    first, second = examples
    shapes = (
        {0: torch.export.Dim.DYNAMIC},
        _dynamic(memory, leaves(second.memory, "memory")),
        _dynamic(state, leaves(second.state, "state")),
    )
    program = torch.onnx.export(
        _Decoder(network, first.memory, first.state).eval(),
        (first.tokens, list(memory.values()), list(state.values())),
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=["tokens", *memory, *state],
        output_names=["logits", *(name.replace("state", "next", 1) for name in state)],
        verbose=False,
    )
    assert program is not None
    graph = program.model.graph
    unread = [each for each in graph.inputs if each.name in memory and not each.uses()]
    for each in unread:
        graph.inputs.remove(each)
    program.save(str(path))
    return [name for name in memory if name not in {each.name for each in unread}]


def _write_encoder(
    network: EncoderDecoder, examples: Sequence[Example], read: Sequence[str], state: Mapping[str, Tensor], path: Path
) -> None:
    example = examples[0]
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        _Encoder(network, read).eval(),
        (example.source, example.lengths),
        dynamo=True,
        dynamic_shapes=({0: dynamic, 1: dynamic}, {0: dynamic}),
        input_names=["source", "lengths"],
        output_names=[*read, *state],
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


def _first(decoder: Any, memory: Any) -> Any:
    """The state before the first token, in the form that it has later, so that the first step is like every other."""
    match decoder.start(memory):
        case TransformerState() as state:  # keys and values of no token
            return replace(state, past=tuple((k[:, :, :0], v[:, :, :0]) for k, v in memory.layers))
        case HardState(place=place) as state:  # no token was said: each position holds it certain
            return replace(state, of=place.new_zeros(*place.shape, decoder.output.out_features))
        case state:
            return state


class _Encoder(nn.Module):
    def __init__(self, network: EncoderDecoder, read: Sequence[str]) -> None:
        super().__init__()
        self.network = _with_operators(network)
        self.read = list(read)

    def forward(self, source: Tensor, lengths: Tensor) -> list[Tensor]:
        memory = self.network.encode(source, lengths)
        state = _first(self.network.decoder, memory)
        found = leaves(memory, "memory")
        return [*(found[name].clone() for name in self.read), *leaves(state, "state").values()]


class _Decoder(nn.Module):
    def __init__(self, network: EncoderDecoder, memory: Any, state: Any) -> None:
        super().__init__()
        self.network = _with_operators(network)
        self.memory, self.state = memory, state

    def forward(self, tokens: Tensor, memory: list[Tensor], state: list[Tensor]) -> list[Tensor]:
        before = filled(self.state, iter(state))
        if isinstance(before, TransformerState):
            before = replace(before, position=before.past[0][0].shape[2])
        decoder: Any = self.network.decoder
        logits, after = decoder(tokens, before, filled(self.memory, iter(memory)))
        return [logits, *leaves(after, "next").values()]


def _with_operators(network: EncoderDecoder) -> EncoderDecoder:
    """A copy whose recurrent layers are ONNX's."""
    made = copy.deepcopy(network)
    for name, module in list(made.named_modules()):
        if isinstance(module, Recurrent):
            holder, _, last = name.rpartition(".")
            setattr(made.get_submodule(holder), last, OnnxRecurrent(module))
    return made


def compared(
    network: EncoderDecoder,
    vocabularies: tuple[int, int],
    encoder: Any,
    decoder: Any,
    memory: Sequence[str],
    state: Sequence[str],
    longest: int,
) -> float:
    """The largest difference between the logits of the graphs and those of the model as it runs, over batches of one
    and of several sources, short and long, said token by token."""
    plain = copy.deepcopy(network).float().cpu().eval()
    target: Any = plain.decoder
    source_size, target_size = vocabularies
    draw = torch.Generator().manual_seed(1)
    worst = 0.0
    for rows, width in ((1, 1), (1, min(9, longest)), (4, min(17, longest))):
        source = torch.randint(4, source_size, (rows, width), generator=draw)
        lengths = torch.randint(1, width + 1, (rows,), generator=draw)
        lengths[-1] = width
        said = torch.randint(4, target_size, (rows, min(6, longest)), generator=draw)
        said[:, 0] = BOS
        with torch.no_grad():
            known = plain.encode(source, lengths)
            wanted, _ = target(said, target.start(known), known)
        given = dict(
            zip(
                (*memory, *state),
                encoder.run(None, {"source": source.numpy(), "lengths": lengths.numpy()}),
                strict=True,
            )
        )
        for step in range(said.shape[1]):
            logits, *after = decoder.run(None, {"tokens": said[:, step : step + 1].numpy(), **given})
            given |= dict(zip(state, after, strict=True))
            difference = np.abs(logits[:, 0] - wanted[:, step].numpy())
            worst = max(worst, float(np.nanmax(difference)) if not np.isnan(logits).any() else float("inf"))
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells about itself and about packages that nobody asked for."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
