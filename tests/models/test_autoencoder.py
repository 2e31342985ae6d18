"""The autoencoder: a quarter of the numbers, pictures of any size, and codes that rounding does not hurt."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from regard.errors import UsageError
from regard.models.autoencoder import (
    Autoencoder,
    PictureDecoder,
    PictureEncoder,
    Quantiser,
    Residual,
    to_bytes,
    to_unit,
)


def made(channels: int = 1, code_channels: int = 4, levels: int = 256, width: int = 5) -> Autoencoder:
    torch.manual_seed(3)
    model = Autoencoder(
        PictureEncoder(channels, code_channels, width, 1),
        Quantiser(code_channels, levels),
        PictureDecoder(channels, code_channels, width, 1),
    )
    for module in model.modules():
        if isinstance(module, Residual):
            nn.init.normal_(module.second.weight, std=0.1)
    return model


def test_784_numbers_become_196() -> None:
    model = made().eval()
    code = model.encode(torch.rand(3, 1, 28, 28))
    assert code.shape == (3, 4, 7, 7) and code[0].numel() == 196 == model.numbers(28, 28)
    assert code.abs().max() <= 1
    levels = code.double() * 127.5 + 127.5  # whole numbers from 0 to 255
    assert len(levels.unique()) > 5 and (levels - levels.round()).abs().max() < 1e-4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (4, 4), (7, 13), (28, 29), (31, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_comes_back(height: int, width: int, channels: int) -> None:
    model = made(channels, code_channels=5)
    pictures = torch.rand(2, channels, height, width)
    for mode in (True, False):
        model.train(mode)
        code = model.encode(pictures)
        assert code.shape == (2, 5, (height + 3) // 4, (width + 3) // 4)
        assert code[0].numel() == model.numbers(height, width)
        assert model(pictures).shape == pictures.shape
        assert torch.isfinite(model(pictures)).all()


def test_a_picture_is_filled_up_with_its_edge() -> None:
    model = made().eval()
    pictures = torch.rand(2, 1, 5, 7)
    filled = torch.empty(2, 1, 8, 8)
    for i in range(8):
        for j in range(8):
            filled[:, :, i, j] = pictures[:, :, min(i, 4), min(j, 6)]
    assert torch.equal(model.code(pictures), model.code(filled))
    assert torch.equal(model(pictures), model(filled)[..., :5, :7])


def test_levels_are_the_nearest_of_equal_steps() -> None:
    quantiser = Quantiser(2, levels=5)
    code = torch.tensor([-1.0, -0.76, -0.74, -0.2, 0.3, 0.74, 1.0, 1.4]).view(1, 2, 2, 2)
    symbols = quantiser.symbols(code)
    assert symbols.flatten().tolist() == [0, 0, 1, 2, 3, 3, 4, 4]  # at -1, -0.5, 0, 0.5, 1
    assert quantiser.values(symbols).flatten().tolist() == [-1, -1, -0.5, 0, 0.5, 0.5, 1, 1]
    assert quantiser.symbols(code, levels=3).flatten().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]  # at -1, 0, 1


@pytest.mark.parametrize("levels", [2, 3, 17, 255, 256])
def test_every_level_stands_for_itself(levels: int) -> None:
    quantiser = Quantiser(1, levels)
    symbols = torch.arange(levels).view(1, 1, 1, -1)
    assert torch.equal(quantiser.symbols(quantiser.values(symbols)), symbols)


def test_a_code_that_is_no_number_shows_in_the_picture_alone() -> None:
    quantiser = Quantiser(1, levels=3).train()
    assert quantiser(torch.tensor([math.nan, 0.0, math.inf, -1.0]).view(1, 1, 2, 2)).isnan().sum() == 1
    assert quantiser.frequencies.sum().item() == pytest.approx(1)


def test_the_noise_of_training_is_as_wide_as_a_step_and_has_the_error_of_rounding() -> None:
    quantiser = Quantiser(3, levels=9).train()  # steps of 0.25
    code = torch.empty(5, 3, 61, 67).uniform_(-1, 1).requires_grad_()
    noisy = quantiser(code)
    off = (noisy - code).detach()
    assert 0.12 < off.max() <= 0.125 and -0.125 <= off.min() < -0.12
    assert off.square().mean().item() == pytest.approx(0.25**2 / 12, rel=0.02)
    rounded = quantiser.eval()(code.detach()) - code.detach()
    assert rounded.square().mean().item() == pytest.approx(0.25**2 / 12, rel=0.02)
    (gradient,) = torch.autograd.grad(noisy.sum(), code)
    assert torch.equal(gradient, torch.ones_like(code))


def test_it_follows_how_often_each_channel_takes_each_level() -> None:
    quantiser = Quantiser(2, levels=3, memory=0.5).train()
    code = torch.tensor([[-1.0, -0.9, 0.1, 1.0], [0.1, 0.0, -0.2, 0.3]]).view(1, 2, 2, 2)
    quantiser(code)
    share = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(quantiser.frequencies, 0.5 / 3 + 0.5 * share)
    quantiser(code)
    torch.testing.assert_close(quantiser.frequencies, 0.25 / 3 + 0.75 * share)
    before = quantiser.frequencies.clone()
    quantiser.eval()(code)
    assert torch.equal(quantiser.frequencies, before)
    assert "frequencies" in quantiser.state_dict()


def test_training_is_noisy_and_not_clipped_and_use_is_neither() -> None:
    model, pictures = made(levels=4), torch.rand(2, 1, 9, 11)
    last = model.decoder[-1]
    assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
    nn.init.constant_(last.bias, 1.5)
    model.train()
    assert not torch.equal(model(pictures), model(pictures)) and model(pictures).max() > 1
    model.eval()
    assert torch.equal(model(pictures), model(pictures)) and model(pictures).max() == 1


def test_codes_keep_their_levels_under_half_precision() -> None:
    model = made().train()
    with torch.autocast("cpu", torch.bfloat16):
        code = model.code(torch.rand(2, 1, 12, 12))
        out = model(torch.rand(2, 1, 12, 12))
    assert code.dtype == torch.float32 and out.dtype == torch.float32
    out.square().mean().backward()


def test_gradients_reach_every_weight() -> None:
    model = made(3).double().train()
    model(torch.rand(2, 3, 9, 10, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_a_residual_block_begins_as_nothing_and_is_what_it_says() -> None:
    block, x = Residual(3), torch.randn(2, 3, 5, 7)
    assert torch.equal(block(x), x)
    nn.init.normal_(block.second.weight)
    silu = lambda t: t * torch.sigmoid(t)  # noqa: E731
    torch.testing.assert_close(block(x) - x, block.second(silu(block.first(silu(x)))))


def test_channels_that_it_does_not_know_are_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"made for grey pictures \(1 channel\) and was given pictures in colour"):
        made(1).encode(torch.rand(1, 3, 8, 8))
    with pytest.raises(UsageError, match=r"in colour \(3 channels\) and was given pictures of 4 channels"):
        made(3).encode(torch.rand(1, 4, 8, 8))


@pytest.mark.parametrize("levels", [1, 0, 257])
def test_levels_that_a_byte_does_not_hold(levels: int) -> None:
    with pytest.raises(ValueError, match="from 2 to 256 levels"):
        Quantiser(1, levels)


def test_bytes_and_units_are_each_others_inverse() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 16, 8, 2)
    unit = to_unit(images)
    assert unit.shape == (1, 2, 16, 8) and unit[0, 1, 0, 1] == 3 / 255 and unit.max() == 1
    assert torch.equal(to_bytes(unit), images)
    assert to_bytes(torch.tensor([[[[-3.0, 1.7, 0.5]]]])).flatten().tolist() == [0, 255, 128]
