"""Pictures made small or clean: the loss, how good a picture is, and what simpler ways make of it.

Pictures are `[B, C, H, W]`, black 0 and white 1, unless said otherwise.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from regard.data.pictures import PictureBatch
from regard.errors import UsageError
from regard.models.autoencoder import Autoencoder, to_bytes, to_unit
from regard.models.codec import compress, decompress
from regard.training.loop import Loss

SSIM_WINDOW = 11  # pixels each way, as in the paper


def loss(model: Autoencoder, batch: PictureBatch) -> Loss:
    """The mean squared error of a picture's pixels, summed over the pictures. Where the batch has noise, the model sees
    the noisy pictures and is asked for those without."""
    clean = to_unit(batch.images)
    seen = clean if batch.noise is None else clean + batch.noise.permute(0, 3, 1, 2)
    total = (model(seen) - clean).square().flatten(1).mean(dim=1).sum()
    return Loss(total, total.detach(), len(batch))


@torch.no_grad()
def restore(model: Autoencoder, pictures: Float[Tensor, "B C H W"], batch_size: int = 256) -> Float[Tensor, "B C H W"]:
    """What the model makes of each picture: of a noisy one a clean one, if it was trained to. On the pictures' device."""
    before, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        made = [model(part.to(device)).to(pictures.device) for part in pictures.split(batch_size)]
    finally:
        model.train(before)
    return torch.cat(made)


# --- how good a picture is --------------------------------------------------------------------------------------


def psnr(pictures: Float[Tensor, "B C H W"], truth: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
    """Decibels of each picture: `-10 log10` of its mean squared error, as white is 1. 100 at most, where none is left."""
    error = (pictures.double() - truth.double()).square().flatten(1).mean(dim=1)
    return -10 * error.clamp_min(1e-10).log10()


def ssim(
    pictures: Float[Tensor, "B C H W"],
    truth: Float[Tensor, "B C H W"],
    *,
    window: int = SSIM_WINDOW,
    sigma: float = 1.5,
) -> Float[Tensor, " B"]:
    """Structural similarity (Wang et al. 2004, eq. 13), the mean over every window that lies within the picture: 1 for
    the same picture. The window is Gaussian and sums to 1, `K1 = 0.01`, `K2 = 0.03`; channels are taken one by one."""
    height, width = truth.shape[-2:]
    if min(height, width) < window:
        raise UsageError(
            f"a picture of {height}×{width} pixels has no SSIM, which looks through a window of {window}×{window}"
        )
    x, y = (p.double().flatten(0, 1).unsqueeze(1) for p in (pictures, truth))
    offsets = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    bell = torch.exp(-offsets.square() / (2 * sigma**2))
    bell = bell / bell.sum()

    def local(values: Tensor) -> Tensor:
        return functional.conv2d(functional.conv2d(values, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1))

    mean_x, mean_y = local(x), local(y)
    variance_x, variance_y = local(x * x) - mean_x.square(), local(y * y) - mean_y.square()
    covariance = local(x * y) - mean_x * mean_y
    c_1, c_2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c_1) * (2 * covariance + c_2)
    below = (mean_x.square() + mean_y.square() + c_1) * (variance_x + variance_y + c_2)
    return (above / below).unflatten(0, pictures.shape[:2]).flatten(1).mean(dim=1)


@dataclass(frozen=True)
class Quality:
    """Means over pictures: PSNR in decibels, SSIM from 0 to 1, and the bytes of a file, where there is one. Pictures that
    are smaller than the window of SSIM have none."""

    psnr: float
    ssim: float | None
    bytes: float | None = None

    @classmethod
    def of(
        cls,
        pictures: Float[Tensor, "B C H W"],
        truth: Float[Tensor, "B C H W"],
        sizes: Sequence[int] | None = None,
    ) -> Quality:
        size = None if sizes is None else sum(sizes) / len(sizes)
        like = float(ssim(pictures, truth).mean()) if min(truth.shape[-2:]) >= SSIM_WINDOW else None
        return cls(float(psnr(pictures, truth).mean()), like, size)


# --- what simpler ways make of it -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Components:
    """The principal components of pictures of one size: `R` directions, the one with most variance first.

    `basis [R, D]` has orthonormal rows, of `D = C H W` numbers; `variances`, `low` and `high` are those of the training
    pictures along each.
    """

    mean: Float[Tensor, " D"]
    basis: Float[Tensor, "R D"]
    variances: Float[Tensor, " R"]
    low: Float[Tensor, " R"]
    high: Float[Tensor, " R"]

    @classmethod
    def of(cls, pictures: Float[Tensor, "N C H W"]) -> Components:
        """From at least two training pictures; the time goes by the cube of the lesser of N and D."""
        if len(pictures) < 2:
            raise UsageError(f"principal components need 2 pictures or more, not {len(pictures)}")
        x = pictures.flatten(1).double()
        mean = x.mean(dim=0)
        x = x - mean
        if len(x) < x.shape[1]:
            _, scales, basis = torch.linalg.svd(x, full_matrices=False)
            variances = scales.square() / (len(x) - 1)
        else:
            variances, columns = torch.linalg.eigh(x.T @ x / (len(x) - 1))
            variances, basis = variances.flip(0).clamp_min(0), columns.T.flip(0)
        codes = x @ basis.T
        return cls(mean, basis, variances, codes.amin(dim=0), codes.amax(dim=0))

    def restored(
        self, pictures: Float[Tensor, "B C H W"], numbers: int, levels: int | None = 256
    ) -> Float[Tensor, "B C H W"]:
        """What is left of pictures of which only the first `numbers` coordinates are kept, each as one of `levels` at
        equal distance over what it ranges over in training, or as it is with None."""
        if not 0 < numbers <= len(self.basis):
            raise UsageError(f"numbers = {numbers} is out of range: there are {len(self.basis)} principal components")
        basis, low, high = self.basis[:numbers], self.low[:numbers], self.high[:numbers]
        codes = (pictures.flatten(1).double() - self.mean) @ basis.T
        if levels is not None:
            steps = (high - low).clamp_min(1e-12) / (levels - 1)
            codes = ((codes - low) / steps).round().clamp(0, levels - 1) * steps + low
        return self._pictures(codes @ basis, pictures)

    def wiener(self, noisy: Float[Tensor, "B C H W"], sigma: float) -> Float[Tensor, "B C H W"]:
        """`μ + C (C + σ²I)⁻¹ (y - μ)`: the linear estimate of least squared error of what lies under white noise of
        standard deviation `sigma`, for pictures with the mean and the covariance of the training pictures."""
        gains = self.variances / (self.variances + sigma**2) if sigma else torch.ones_like(self.variances)
        codes = (noisy.flatten(1).double() - self.mean) @ self.basis.T
        return self._pictures((codes * gains) @ self.basis, noisy)

    def _pictures(self, centred: Float[Tensor, "B D"], like: Tensor) -> Float[Tensor, "B C H W"]:
        return (centred + self.mean).clamp(0, 1).view_as(like).to(like.dtype)


@dataclass(frozen=True)
class Jpeg:
    """A picture as a JPEG file, and as it looks then."""

    picture: UInt8[Tensor, "H W C"]
    size: int
    quality: int


def jpeg(picture: UInt8[Tensor, "H W C"], most_bytes: int) -> Jpeg:
    """The JPEG of best quality (1 to 95) that takes `most_bytes` at most. If none is as small as that, as is so with
    small pictures, of which the tables alone take more, the one of quality 1, which is larger."""
    image_module = _pillow()
    image = _image(image_module, picture)

    def file(quality: int) -> bytes:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality, optimize=True)
        return stream.getvalue()

    low, best = 1, file(1)
    high = 95 if len(best) <= most_bytes else 1
    while low < high:
        middle = (low + high + 1) // 2
        if len(made := file(middle)) <= most_bytes:
            low, best = middle, made
        else:
            high = middle - 1
    with image_module.open(io.BytesIO(best)) as read:
        seen = torch.frombuffer(bytearray(read.tobytes()), dtype=torch.uint8)
    return Jpeg(seen.view(picture.shape), len(best), low)


def png_size(picture: UInt8[Tensor, "H W C"]) -> int:
    """The bytes of the picture's PNG file, packed as well as pillow can."""
    stream = io.BytesIO()
    _image(_pillow(), picture).save(stream, "PNG", optimize=True)
    return len(stream.getvalue())


def compression(
    model: Autoencoder,
    images: UInt8[Tensor, "N H W C"],
    components: Components | None = None,
    levels: int | None = None,
) -> dict[str, Quality]:
    """Pictures compressed and restored, by the model as files, and beside them by as many principal components with as
    many levels (if given), by JPEG of equal size or the least there is, and by PNG."""
    truth, found = to_unit(images), {}
    files = [compress(model, image, levels) for image in images]
    made = torch.stack([decompress(model, file) for file in files])
    found["model"] = Quality.of(to_unit(made), truth, [len(file) for file in files])
    if components is not None:
        numbers = model.numbers(*images.shape[1:3])
        restored = components.restored(truth, numbers, levels or model.quantiser.levels)
        found[f"PCA-{numbers}"] = Quality.of(to_unit(to_bytes(restored)), truth)
    as_jpeg = [jpeg(image, len(file)) for image, file in zip(images, files, strict=True)]
    pictures = torch.stack([each.picture for each in as_jpeg])
    found["JPEG"] = Quality.of(to_unit(pictures), truth, [each.size for each in as_jpeg])
    found["PNG"] = Quality.of(truth, truth, [png_size(image) for image in images])
    return found


def denoising(
    model: Autoencoder,
    clean: Float[Tensor, "N C H W"],
    noisy: Float[Tensor, "N C H W"],
    sigma: float,
    components: Components | None = None,
) -> dict[str, Quality]:
    """Pictures with noise of standard deviation `sigma`: as the model restores them, as the best linear filter does
    (if its components are given), and left alone."""
    found = {"model": Quality.of(restore(model, noisy), clean)}
    if components is not None:
        found["Wiener filter"] = Quality.of(components.wiener(noisy, sigma), clean)
    return found | {"left alone": Quality.of(noisy.clamp(0, 1), clean)}


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("comparing with JPEG and PNG needs pillow: pip install 'regard[vision]'") from error
    return Image


def _image(image_module: Any, picture: UInt8[Tensor, "H W C"]) -> Any:
    array = picture.cpu().numpy()
    return image_module.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
