"""Pictures as small files: the whole numbers of an autoencoder's code, entropy-coded by what it saw in training.

A file, in big-endian order:

    4 bytes   magic "RGPC"
    1         version of the format, 1
    8         fingerprint of the model: BLAKE2b over its tensors
    2, 2      height and width of the picture
    1         channels of the code, K
    1         levels of the quantiser, less one: a step is 2 / (levels - 1)
    the rest  the symbols, row by row, the K of a place together, by rANS (Duda 2013)

The coder's first state is a checksum of the header and the symbols, so the last state that a reader comes to says
whether all of it was read as it was written. That costs no byte beyond those of the state.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from regard.errors import UsageError
from regard.models.autoencoder import SHRINK, Autoencoder, Quantiser, to_bytes, to_unit
from regard.training.checkpoint import parameters_of

MAGIC, VERSION = b"RGPC", 1
HEADER = struct.Struct(">4sB8sHHBB")
MOST_PIXELS, LONGEST = 2048 * 2048, 65535
PRECISION = 16
"""Frequencies of a channel's symbols add up to 2**PRECISION."""
LEAST_STATE, STATE_BYTES = 1 << 32, 5
"""Between symbols the state of the coder is from here to 256 times as much."""

Table = tuple[list[int], list[int]]
"""Of one channel: each symbol's frequency, and the sum of those before it."""


@torch.no_grad()
def compress(model: Autoencoder, picture: UInt8[Tensor, "H W C"], levels: int | None = None) -> bytes:
    """The picture as a file that `decompress` of the same model reads.

    Fewer `levels` than the model was trained with make a smaller file and a coarser picture. UsageError for a picture
    with channels that the model does not know, without a pixel, or with more than MOST_PIXELS.
    """
    quantiser = model.quantiser
    levels = quantiser.levels if levels is None else levels
    if not 2 <= levels <= quantiser.levels:
        raise UsageError(f"levels = {levels} is out of range: this model's codes have from 2 to {quantiser.levels}")
    height, width = picture.shape[:2]
    if not height * width:
        raise UsageError("a picture without a pixel cannot be compressed")
    if height * width > MOST_PIXELS or max(height, width) > LONGEST:
        raise UsageError(
            f"a picture of {height:,}×{width:,} pixels is too large to compress: make it smaller or cut it, to at most "
            f"{MOST_PIXELS:,} pixels and {LONGEST:,} in a row or a column"
        )
    with _evaluating(model):
        symbols = quantiser.symbols(model.code(to_unit(picture[None]).to(_device(model)))[0], levels)
    rows = symbols.permute(1, 2, 0).flatten(0, 1).tolist()
    header = HEADER.pack(MAGIC, VERSION, fingerprint(model), height, width, model.code_channels, levels - 1)
    return header + write_symbols(rows, tables(quantiser, levels), _first_state(header, rows))


@torch.no_grad()
def decompress(model: Autoencoder, data: bytes, origin: str = "the file") -> UInt8[Tensor, "H W C"]:
    """The picture in a file that `compress` made with the same model. UsageError, which names `origin`, for any other
    bytes; how long that takes, and how much memory, goes by their number and not by the size that they claim."""
    if data[: len(MAGIC)] != MAGIC:
        raise UsageError(f"{origin} is no compressed picture: give a file that 'regard compress' made")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UsageError(
            f"{origin} is in version {data[len(MAGIC)]} of the format, and this Regard reads version {VERSION}: "
            "decompress it with the Regard that made it"
        )
    if len(data) <= HEADER.size:
        raise UsageError(f"{origin} was cut off: {len(data)} bytes are too few for a compressed picture")
    _, _, made_by, height, width, channels, steps = HEADER.unpack_from(data)
    if made_by != fingerprint(model):
        raise UsageError(
            f"{origin} was compressed with another model ({made_by.hex()}, and this one is {fingerprint(model).hex()}): "
            "decompress it with the run that compressed it"
        )
    levels, damaged = (
        steps + 1,
        UsageError(f"{origin} is damaged: it was cut off or changed; compress the picture again"),
    )
    known = channels == model.code_channels and 2 <= levels <= model.quantiser.levels
    if not known or not 0 < height * width <= MOST_PIXELS:
        raise damaged
    rows, columns = -(-height // SHRINK), -(-width // SHRINK)
    each = tables(model.quantiser, levels)
    body = data[HEADER.size :]
    if rows * columns * sum(_least_bits(table) for table in each) > 8 * len(body):
        raise damaged
    read = read_symbols(body, rows * columns, each)
    if read is None or read[1] != _first_state(data[: HEADER.size], read[0]):
        raise damaged
    symbols = torch.tensor(read[0], device=_device(model)).T.reshape(1, channels, rows, columns)
    with _evaluating(model):
        return to_bytes(model.decode(model.quantiser.values(symbols, levels), height, width))[0].cpu()


def fingerprint(model: nn.Module) -> bytes:
    """8 bytes that are others for any other model: a hash of every tensor with its name, type and shape."""
    hashed = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(parameters_of(model).items()):
        hashed.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        hashed.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.digest()


def tables(quantiser: Quantiser, levels: int) -> list[Table]:
    """What each channel's symbols are coded by. No symbol has frequency zero: one that training never saw costs
    PRECISION bits. From the model's numbers on, all of it is whole numbers, the same on every machine."""
    shares = (quantiser.frequencies.double().clamp(0, 1) * 2.0**40).long().tolist()
    fine, made = quantiser.levels, []
    for channel in shares:
        weights = [1] * levels
        for symbol, weight in enumerate(channel):
            weights[(2 * symbol * (levels - 1) + fine - 1) // (2 * (fine - 1))] += weight
        free, total = 2**PRECISION - levels, sum(weights)
        counts = [1 + weight * free // total for weight in weights]
        counts[counts.index(max(counts))] += 2**PRECISION - sum(counts)
        made.append((counts, list(accumulate(counts[:-1], initial=0))))
    return made


def write_symbols(rows: Sequence[Sequence[int]], each: Sequence[Table], state: int) -> bytes:
    """rANS (Duda 2013, §2.3): `x' = ⌊x / f⌋ 2ⁿ + x mod f + F`, with a byte put out whenever x would grow too large.

    What is written last is read first, so the symbols go in from the last one, and the bytes come out turned round.
    """
    out = bytearray()
    for row in reversed(rows):
        for symbol, (counts, before) in zip(reversed(row), reversed(each), strict=True):
            count = counts[symbol]
            while state >= (LEAST_STATE >> PRECISION << 8) * count:
                out.append(state & 0xFF)
                state >>= 8
            state = (state // count << PRECISION) + state % count + before[symbol]
    out += state.to_bytes(STATE_BYTES, "little")
    return bytes(reversed(out))


def read_symbols(data: bytes, places: int, each: Sequence[Table]) -> tuple[list[list[int]], int] | None:
    """The symbols and the state that `write_symbols` began from; None if data end too early or too late."""
    state, at, rows = int.from_bytes(data[:STATE_BYTES], "big"), STATE_BYTES, []
    for _ in range(places):
        row = []
        for counts, before in each:
            share = state & (2**PRECISION - 1)
            symbol = bisect_right(before, share) - 1
            row.append(symbol)
            state = counts[symbol] * (state >> PRECISION) + share - before[symbol]
            while state < LEAST_STATE:
                if at >= len(data):
                    return None
                state = state << 8 | data[at]
                at += 1
        rows.append(row)
    return (rows, state) if at == len(data) else None


def _least_bits(table: Table) -> float:
    """What a symbol of this channel takes up at least. Taken off is what rounding in the coder can save."""
    return max(0.0, PRECISION - math.log2(max(table[0])) - 2.0 ** (PRECISION - 31))


def _first_state(header: bytes, rows: Sequence[Sequence[int]]) -> int:
    return LEAST_STATE + zlib.crc32(bytes(chain.from_iterable(rows)), zlib.crc32(header))


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """In training a model adds noise to its codes."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
