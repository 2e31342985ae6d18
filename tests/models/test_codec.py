"""Compressed pictures: what comes out is what went in, in as few bytes as its entropy, and nothing else is believed."""

from __future__ import annotations

import math
import struct
import zlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import UsageError
from regard.models import codec
from regard.models.autoencoder import Autoencoder, PictureDecoder, PictureEncoder, Quantiser, to_bytes, to_unit
from regard.models.codec import compress, decompress, fingerprint, read_symbols, tables, write_symbols


def made(channels: int = 1, code_channels: int = 3, levels: int = 256, seed: int = 0) -> Autoencoder:
    torch.manual_seed(seed)
    model = Autoencoder(
        PictureEncoder(channels, code_channels, 3, 0),
        Quantiser(code_channels, levels),
        PictureDecoder(channels, code_channels, 3, 0),
    )
    for _ in range(50):
        model.train()(torch.rand(7, channels, 8, 12) * torch.rand(7, 1, 1, 1))
    return model.eval()


def picture(height: int, width: int, channels: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (height, width, channels), dtype=torch.uint8)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (28, 28), (13, 31), (4, 97)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_comes_back_as_the_model_makes_it(height: int, width: int, channels: int) -> None:
    model, given_ = made(channels), picture(height, width, channels)
    data = compress(model, given_)
    with torch.no_grad():
        expected = to_bytes(model(to_unit(given_[None])))[0]
    assert torch.equal(decompress(model, data), expected) and expected.shape == given_.shape
    assert data == compress(model, given_)


@pytest.mark.parametrize("levels", [2, 3, 16, 255])
def test_fewer_levels_are_fewer_bytes_and_the_rounding_that_they_say(levels: int) -> None:
    model, given_ = made(), picture(36, 52)
    data = compress(model, given_, levels)
    assert len(data) <= len(compress(model, given_))
    with torch.no_grad():
        code = model.code(to_unit(given_[None]))
        steps = 2 / (levels - 1)
        expected = to_bytes(model.decode(((code + 1) / steps).round() * steps - 1, 36, 52))[0]
    assert (decompress(model, data).int() - expected.int()).abs().max() <= 1


def test_whether_the_model_trains_does_not_matter_and_stays_so() -> None:
    model, given_ = made(), picture(9, 10)
    data = compress(model, given_)
    before = model.quantiser.frequencies.clone()
    model.train()
    assert compress(model, given_) == data and torch.equal(decompress(model, data), decompress(model, data))
    assert model.training and model.encoder.training and torch.equal(model.quantiser.frequencies, before)


# --- the entropy coder ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fine", "levels"), [(256, 256), (256, 2), (256, 100), (7, 7), (9, 5), (2, 2)])
def test_a_table_has_no_zero_and_sums_to_the_whole(fine: int, levels: int) -> None:
    quantiser = Quantiser(2, fine)
    quantiser.frequencies[0] = torch.rand(fine).pow(8)
    quantiser.frequencies[0] /= quantiser.frequencies[0].sum()
    quantiser.frequencies[1] = 0
    quantiser.frequencies[1, fine // 2] = 1
    for counts, before in tables(quantiser, levels):
        assert len(counts) == len(before) == levels and min(counts) >= 1
        assert sum(counts) == 65536 and all(before[i] == sum(counts[:i]) for i in range(levels))


def test_coarse_tables_gather_the_fine_levels_that_lie_nearest() -> None:
    quantiser = Quantiser(
        1, 9
    )  # at -1, -0.75, … 1; of three levels -1, 0, 1 take 2, 5 and 2 of them, with ties inwards
    quantiser.frequencies[0] = torch.tensor([0.25, 0.0, 0.125, 0.0, 0.25, 0.0, 0.125, 0.0, 0.25])
    counts = tables(quantiser, 3)[0][0]
    symbols = quantiser.symbols(torch.linspace(-1, 1, 9).view(1, 1, 1, -1), 3).flatten().tolist()
    expected = [
        sum(float(f) for f, s in zip(quantiser.frequencies[0], symbols, strict=True) if s == k) for k in range(3)
    ]
    # -0.5 and 0.5 lie between two levels, where either may be taken
    assert sum(counts) == 65536 and all(abs(c / 65536 - e) < 0.126 for c, e in zip(counts, expected, strict=True))
    quantiser.frequencies[0] = torch.tensor([0.25, 0.0, 0.0, 0.25, 0.25, 0.0, 0.0, 0.25, 0.0])
    assert [round(c / 65536, 3) for c in tables(quantiser, 3)[0][0]] == [0.25, 0.5, 0.25]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_symbols_come_back_whatever_they_are(data: st.DataObject) -> None:
    each = []
    for _ in range(data.draw(st.integers(1, 3))):
        cuts = sorted(data.draw(st.sets(st.integers(1, 65535), max_size=40)))
        counts = [b - a for a, b in zip([0, *cuts], [*cuts, 65536], strict=True)]
        each.append((counts, [0, *cuts]))
    places = data.draw(st.integers(0, 40))
    rows = [[data.draw(st.integers(0, len(t[0]) - 1)) for t in each] for _ in range(places)]
    state = data.draw(st.integers(2**32, 2**33 - 1))
    assert read_symbols(write_symbols(rows, each, state), places, each) == (rows, state)


def test_the_bytes_are_the_entropy_and_little_more() -> None:
    quantiser = Quantiser(2, 16)
    quantiser.frequencies[0] = torch.softmax(torch.linspace(-6, 3, 16), 0)
    quantiser.frequencies[1] = torch.softmax(torch.arange(16) % 5 * 1.0, 0)
    each = tables(quantiser, 16)
    rows = torch.multinomial(quantiser.frequencies, 3001, replacement=True).T.tolist()
    bits = sum(math.log2(65536 / counts[s]) for row in rows for s, (counts, _) in zip(row, each, strict=True))
    size = len(write_symbols(rows, each, 2**32))
    assert bits / 8 < size < bits / 8 * 1.001 + 6  # five bytes of state


# --- bytes that are none of this model's ------------------------------------------------------------------------


def test_other_models_have_other_fingerprints() -> None:
    model = made()
    own = fingerprint(model)
    assert len(own) == 8 and fingerprint(made()) == own and fingerprint(made(seed=1)) != own
    model.quantiser.frequencies[0, 0] += 1e-3
    assert fingerprint(model) != own
    torch.nn.init.zeros_(model.decoder[-1].bias)  # type: ignore
    assert len({fingerprint(model), own}) == 2
    assert fingerprint(made(levels=16)) != fingerprint(made(levels=17))


def refused(model: Autoencoder, data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        decompress(model, data, "IN.rgpc")
    assert str(error.value).startswith("IN.rgpc ") and "\n" not in str(error.value)


def test_foreign_bytes() -> None:
    model = made()
    for data in (b"", b"R", b"\x89PNG\r\n\x1a\n" + bytes(40), bytes(100), b"regard"):
        refused(model, data, "is no compressed picture: give a file that")
    data = compress(model, picture(7, 9))
    refused(made(seed=1), data, "was compressed with another model")
    refused(model, data[:4] + b"\x02" + data[5:], "is in version 2 of the format")
    refused(model, data[:19], "was cut off: 19 bytes")


def test_every_truncation_and_every_changed_byte_is_noticed() -> None:
    model = made()
    data = compress(model, picture(13, 14))
    for length in range(len(data)):
        refused(model, data[:length], "cut off|no compressed picture")
    refused(model, data + b"\0", "is damaged")
    for at in range(len(data)):
        for flipped in (1, 128, 255):
            changed = data[:at] + bytes([data[at] ^ flipped]) + data[at + 1 :]
            refused(model, changed, "damaged|no compressed picture|version|another model")


MODEL = made()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_after_a_true_header_is_one_sentence(garbage: bytes) -> None:
    refused(MODEL, compress(MODEL, picture(8, 8))[:19] + garbage, "damaged|cut off")


@pytest.mark.parametrize(
    ("height", "width", "channels", "steps"),
    [
        (65535, 65535, 3, 255), (0, 9, 3, 255), (9, 0, 3, 255), (2048, 2049, 3, 255), (8, 8, 4, 255), (8, 8, 0, 255),
        (8, 8, 3, 0), (2048, 2048, 3, 255), (1, 65535, 3, 255), (2048, 2048, 3, 1),
    ],
)  # fmt: skip
def test_a_forged_header_is_not_believed_nor_worked_for(
    height: int, width: int, channels: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made()
    header = codec.HEADER.pack(b"RGPC", 1, fingerprint(model), height, width, channels, steps)

    def decode(*_: object) -> torch.Tensor:
        raise AssertionError("a picture was made of forged bytes")

    monkeypatch.setattr(model, "decode", decode)
    refused(model, header + bytes(range(1, 40)), "is damaged")


def test_a_size_that_the_bytes_cannot_hold_is_known_before_a_symbol_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made()
    monkeypatch.setattr(codec, "read_symbols", None)  # calling it would be a TypeError
    header = codec.HEADER.pack(b"RGPC", 1, fingerprint(model), 2000, 2000, 3, 255)
    refused(model, header + bytes(50), "is damaged")


def test_a_symbol_takes_the_bits_that_are_asked_at_least() -> None:
    """Pictures of the likeliest symbols alone, the shortest that there are, are still read."""
    quantiser = Quantiser(1, 256)
    quantiser.frequencies[0] = 0
    quantiser.frequencies[0, 200] = 1
    each = tables(quantiser, 256)
    assert each[0][0][200] == 65536 - 255
    data = write_symbols([[200]] * 100_000, each, 2**32)
    assert 100_000 * codec._least_bits(each[0]) <= 8 * len(data)
    assert 100_000 * codec._least_bits(each[0]) > 0.95 * (8 * len(data) - 32)  # all but the first state


def test_a_checksum_that_does_not_fit_is_damage() -> None:
    model = made()
    rows = [[1, 2, 3]] * 4
    header = codec.HEADER.pack(b"RGPC", 1, fingerprint(model), 8, 8, 3, 255)
    each = tables(model.quantiser, 256)
    right = 2**32 + zlib.crc32(bytes([1, 2, 3] * 4), zlib.crc32(header))
    assert decompress(model, header + write_symbols(rows, each, right)).shape == (8, 8, 1)
    refused(model, header + write_symbols(rows, each, right ^ 1), "is damaged")
    assert header == struct.pack(">4sB8sHHBB", b"RGPC", 1, fingerprint(model), 8, 8, 3, 255)


@pytest.mark.parametrize(
    ("shape", "levels", "said"),
    [
        ((0, 5, 1), None, "without a pixel"),
        ((5, 0, 1), None, "without a pixel"),
        ((2049, 2048, 1), None, "2,049×2,048 pixels is too large"),
        ((1, 65536, 1), None, "1×65,536 pixels is too large"),
        ((8, 8, 3), None, r"made for grey pictures \(1 channel\)"),
        ((8, 8, 1), 257, "levels = 257 is out of range: this model's codes have from 2 to 256"),
        ((8, 8, 1), 1, "levels = 1 is out of range"),
    ],
)
def test_pictures_that_cannot_be_compressed(shape: tuple[int, ...], levels: int | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        compress(made(), torch.zeros(shape, dtype=torch.uint8), levels)
