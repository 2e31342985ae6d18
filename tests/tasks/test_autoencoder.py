"""Pictures made small or clean: the loss by hand, measures and baselines against plain formulas, and a tiny training."""

from __future__ import annotations

import builtins
import io
import math
from typing import Any

import numpy as np
import pytest
import torch

from regard.data.pictures import PictureBatch, PictureBatches
from regard.errors import UsageError
from regard.models.autoencoder import Autoencoder, PictureDecoder, PictureEncoder, Quantiser, to_bytes, to_unit
from regard.models.codec import compress, decompress
from regard.tasks.autoencoder import (
    Components,
    Quality,
    compression,
    denoising,
    jpeg,
    loss,
    png_size,
    psnr,
    restore,
    ssim,
)


def made(channels: int = 1, width: int = 8, blocks: int = 0, code_channels: int = 4) -> Autoencoder:
    torch.manual_seed(5)
    return Autoencoder(
        PictureEncoder(channels, code_channels, width, blocks),
        Quantiser(code_channels),
        PictureDecoder(channels, code_channels, width, blocks),
    )


def bars(count: int, size: int = 12, seed: int = 0) -> torch.Tensor:
    """Bytes of grey pictures, each of a bright bar, across or upright, on a dark ground: few numbers say all of it."""
    chance = np.random.default_rng(seed)
    images = np.full((count, size, size, 1), 20, np.uint8)
    for image in images:
        at, thick, shade = chance.integers(0, size - 3), chance.integers(2, 5), chance.integers(120, 250)
        (image if chance.integers(2) else image.transpose(1, 0, 2))[at : at + thick] = shade
    return torch.from_numpy(images)


def train(model: Autoencoder, steps: int, noise: float | None = None) -> None:
    batches = PictureBatches(bars(512).numpy(), 32, seed=1, noise=noise)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.98))
    model.train()
    step = 0
    while step < steps:
        for batch in batches.epoch(step):
            for group in optimiser.param_groups:
                group["lr"] = 1e-2 * max(0.02, 1 - step / steps)
            optimiser.zero_grad()
            made = loss(model, batch)
            (made.total / made.tokens).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
    model.eval()


# --- the loss ---------------------------------------------------------------------------------------------------


class Same(torch.nn.Module):
    """Gives back what it sees, and keeps it."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.seen = pictures
        return pictures


def test_the_loss_is_the_mean_square_of_a_picture_summed_over_pictures() -> None:
    images = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).view(2, 1, 2, 1)
    model: Any = Same()
    assert loss(model, PictureBatch(images, torch.arange(2))).total == 0
    noise = torch.tensor([0.1, -0.3, 0.2, 0.0]).view(2, 1, 2, 1)
    found = loss(model, PictureBatch(images, torch.arange(2), noise))
    # (0.01 + 0.09) / 2 and (0.04 + 0) / 2
    assert found.total.item() == pytest.approx(0.07) == found.likelihood.item() and found.tokens == 2
    torch.testing.assert_close(model.seen.flatten(), torch.tensor([0.1, -0.1, 0.6, 1.0]))


def test_noise_falls_on_the_pixel_it_was_drawn_for() -> None:
    images = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    noise = torch.zeros(2, 5, 7, 3)
    noise[1, 4, 2, 1] = 0.5
    model: Any = Same()
    loss(model, PictureBatch(images, torch.arange(2), noise))
    assert (model.seen - to_unit(images)).nonzero().tolist() == [[1, 1, 4, 2]]


def test_a_tiny_training_says_bars_better_than_as_many_principal_components() -> None:
    model, held = made(width=12, blocks=1, code_channels=1), bars(64, seed=9)
    train(model, 450)
    components = Components.of(to_unit(bars(512)))
    found = compression(model, held, components)
    assert found["PCA-9"].psnr + 1 < found["model"].psnr
    like = [found[name].ssim or 0.0 for name in ("PCA-9", "model", "PNG")]
    assert like == sorted(set(like)) and like[2] == pytest.approx(1)
    bytes_ = [found[name].bytes for name in ("model", "JPEG", "PNG")]
    assert None not in bytes_ and found["model"].bytes == sum(len(compress(model, p)) for p in held) / 64
    made_ = torch.stack([decompress(model, compress(model, p)) for p in held])
    assert found["model"].psnr == pytest.approx(psnr(to_unit(made_), to_unit(held)).mean().item())
    # what training's noise stood for has come true: rounding costs next to nothing
    with torch.no_grad():
        exact = model.decode(model.code(to_unit(held)), 12, 12)
    assert psnr(exact, to_unit(held)).mean().item() - found["model"].psnr < 0.3


def test_a_tiny_training_cleans_better_than_the_wiener_filter() -> None:
    model, clean = made(width=12, blocks=1), to_unit(bars(64, seed=9))
    train(model, 450, noise=0.3)
    noisy = clean + 0.3 * torch.randn(clean.shape)
    found = denoising(model, clean, noisy, 0.3, Components.of(to_unit(bars(512))))
    assert found["left alone"].psnr + 3 < found["Wiener filter"].psnr < found["model"].psnr - 1


def test_restoring_goes_by_parts_and_leaves_the_mode_as_it_was() -> None:
    model, pictures = made(3), torch.rand(7, 3, 9, 6)
    model.train()
    parts = restore(model, pictures, batch_size=3)
    assert model.training and parts.shape == pictures.shape
    torch.testing.assert_close(parts, model.eval()(pictures))


# --- how good a picture is --------------------------------------------------------------------------------------


def test_psnr_by_hand() -> None:
    truth = torch.zeros(3, 1, 5, 4)
    pictures = truth.clone()
    pictures[0] += 0.1  # a mean square of 0.01
    pictures[1, 0, 0, 0] = 1  # of 1 / 20
    found = psnr(pictures, truth).tolist()
    assert found == pytest.approx([20.0, 10 * math.log10(20), 100.0])


def plain_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 13 of the paper, window by window."""
    bell = np.array([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)])
    bell /= bell.sum()
    found = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (bell * a).sum(), (bell * b).sum()
            var_a, var_b = (bell * (a - mean_a) ** 2).sum(), (bell * (b - mean_b) ** 2).sum()
            both = (bell * (a - mean_a) * (b - mean_b)).sum()
            found.append(
                ((2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4))
                / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
            )
    return float(np.mean(found))


@pytest.mark.parametrize(("height", "width"), [(11, 11), (13, 19)])
def test_ssim_is_the_papers(height: int, width: int) -> None:
    truth = torch.rand(2, 3, height, width)
    pictures = (truth + 0.2 * torch.randn(truth.shape)).clamp(0, 1)
    expected = [
        np.mean([plain_ssim(pictures[b, c].double().numpy(), truth[b, c].double().numpy()) for c in range(3)])
        for b in range(2)
    ]
    assert ssim(pictures, truth).tolist() == pytest.approx(expected, abs=1e-9)
    assert ssim(truth, truth).tolist() == pytest.approx([1, 1])
    assert ssim(truth, pictures).tolist() == pytest.approx(expected, abs=1e-9)


def test_a_picture_smaller_than_the_window_has_no_ssim() -> None:
    with pytest.raises(
        UsageError, match=r"a picture of 10×28 pixels has no SSIM, which looks through a window of 11×11"
    ):
        ssim(torch.rand(1, 1, 10, 28), torch.rand(1, 1, 10, 28))


def test_a_quality_is_of_means() -> None:
    truth = torch.rand(2, 1, 11, 13)
    found = Quality.of((truth + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)), truth, [10, 15])
    assert found.psnr == pytest.approx(30, abs=1e-4) and found.bytes == 12.5
    small = Quality.of(truth[..., :10] + 0.1, truth[..., :10])
    assert small.psnr == pytest.approx(20, abs=1e-4) and small.ssim is None, "the rest is told"
    same = Quality.of(truth, truth)
    assert same.psnr == 100 and same.ssim == pytest.approx(1) and same.bytes is None


# --- what simpler ways make of it -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [7, 61])  # fewer pictures than the 30 numbers of one, and more
def test_components_are_those_of_the_covariance(count: int) -> None:
    pictures = (torch.randn(count, 30) @ torch.randn(30, 30) * 0.02 + 0.5).view(count, 2, 3, 5)
    components = Components.of(pictures)
    covariance = np.cov(pictures.flatten(1).double().numpy().T)
    basis, variances = components.basis.numpy(), components.variances.numpy()
    assert np.allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-9)
    assert np.allclose(basis.T @ np.diag(variances) @ basis, covariance, atol=1e-12)
    assert (np.diff(variances) <= 1e-12).all()


def test_pca_is_what_a_decomposition_of_the_pictures_gives() -> None:
    pictures = (torch.randn(41, 30) @ torch.randn(30, 30) * 0.02 + 0.5).clamp(0, 1).view(41, 1, 6, 5)
    others = (torch.randn(3, 30) * 0.1 + 0.5).clamp(0, 1).view(3, 1, 6, 5)
    x, y = pictures.flatten(1).double().numpy(), others.flatten(1).double().numpy()
    mean = x.mean(0)
    _, _, rows = np.linalg.svd(x - mean)
    expected = (((y - mean) @ rows[:7].T) @ rows[:7] + mean).clip(0, 1)
    components = Components.of(pictures)
    found = components.restored(others, 7, None)
    assert found.shape == others.shape and np.allclose(found.flatten(1).numpy(), expected, atol=1e-6)
    # at 5 levels: each coordinate is the nearest of 5 between its least and its greatest in training
    codes, trained = (y - mean) @ rows[:7].T, (x - mean) @ rows[:7].T
    for i in range(7):
        stops = np.linspace(trained[:, i].min(), trained[:, i].max(), 5)
        codes[:, i] = [stops[np.abs(stops - c).argmin()] for c in codes[:, i]]
    expected = (codes @ rows[:7] + mean).clip(0, 1)
    assert np.allclose(components.restored(others, 7, 5).flatten(1).numpy(), expected, atol=1e-6)
    with pytest.raises(UsageError, match="numbers = 31 is out of range: there are 30 principal components"):
        components.restored(others, 31)


@pytest.mark.parametrize("count", [13, 61])
def test_the_wiener_filter_is_its_formula(count: int) -> None:
    pictures = (torch.randn(count, 30) @ torch.randn(30, 30) * 0.02 + 0.5).view(count, 1, 5, 6)
    noisy = pictures[:3] + 0.1 * torch.randn(3, 1, 5, 6)
    x, y = pictures.flatten(1).double().numpy(), noisy.flatten(1).double().numpy()
    mean, covariance = x.mean(0), np.cov(x.T)
    gain = covariance @ np.linalg.inv(covariance + 0.01 * np.eye(30))
    expected = (mean + (y - mean) @ gain.T).clip(0, 1)
    components = Components.of(pictures)
    assert np.allclose(components.wiener(noisy, 0.1).flatten(1).numpy(), expected, atol=1e-6)
    clean = pictures[:3].clamp(0, 1)  # where there is no noise there is nothing to do
    torch.testing.assert_close(components.wiener(clean, 0.0), clean)


def test_one_picture_has_no_components() -> None:
    with pytest.raises(UsageError, match="need 2 pictures or more, not 1"):
        Components.of(torch.rand(1, 1, 5, 5))


def test_jpeg_takes_what_it_may_and_no_more() -> None:
    from PIL import Image

    chance = np.random.default_rng(0)
    picture = torch.from_numpy((chance.random((40, 56, 3)) * 80 + np.arange(56)[:, None] * 3).astype(np.uint8))
    sizes = {}
    for quality in range(1, 96):
        stream = io.BytesIO()
        Image.fromarray(picture.numpy()).save(stream, "JPEG", quality=quality, optimize=True)
        sizes[quality] = len(stream.getvalue())
    for most in (sizes[1], sizes[30], sizes[60] + 3, 10**6):
        found = jpeg(picture, most)
        assert found.size == sizes[found.quality] <= most and found.picture.shape == picture.shape
        assert found.quality == 95 or sizes[found.quality + 1] > most
    low, high = (psnr(to_unit(jpeg(picture, n).picture[None]), to_unit(picture[None])) for n in (sizes[1], 10**6))
    assert low + 2 < high
    assert jpeg(picture, 10).quality == 1 and jpeg(picture, 10).size == sizes[1]


def test_a_png_file_is_as_long_as_it_is_said_to_be() -> None:
    from PIL import Image

    grey = bars(1)[0]
    stream = io.BytesIO()
    Image.fromarray(grey[..., 0].numpy()).save(stream, "PNG", optimize=True)
    assert png_size(grey) == len(stream.getvalue())
    assert jpeg(grey, 10**6).picture.shape == (12, 12, 1)
    assert torch.equal(to_bytes(to_unit(grey[None]))[0], grey)


def test_without_pillow_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs pillow: pip install 'regard\[vision\]'"):
        jpeg(bars(1)[0], 100)
    with pytest.raises(UsageError, match="needs pillow"):
        png_size(bars(1)[0])
