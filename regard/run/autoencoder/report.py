"""How good an autoencoder is: its pictures beside those of principal components, JPEG and PNG, or of the Wiener filter."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from regard.config.autoencoder import AutoencoderRecipe
from regard.errors import UsageError
from regard.evaluation import SEED
from regard.models.autoencoder import Autoencoder, to_bytes, to_unit
from regard.run.pictures import collection
from regard.tasks.autoencoder import SSIM_WINDOW, Components, Quality, compression, denoising, restore

HELD_OUT = 1000
# Principal components cost the cube of the lesser of pictures and numbers, and memory by their product.
MOST_DIRECTIONS, MOST_NUMBERS = 2048, 50_000_000


@dataclass(frozen=True)
class PictureReport:
    """What `regard evaluate` says of an autoencoder: a table for compression, or one for each deviation of noise."""

    run: str
    pictures: int
    size: tuple[int, int, int]
    numbers: int
    tables: dict[str, dict[str, Quality]]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "pictures": self.pictures,
            "size": list(self.size),
            "numbers": self.numbers,
            "tables": {title: {name: asdict(q) for name, q in rows.items()} for title, rows in self.tables.items()},
            "notes": self.notes,
        }

    def __str__(self) -> str:
        height, width, channels = self.size
        of = f"{height}×{width}×{channels}"
        lines = [f"{self.run}: {self.pictures:,} pictures of {of}, {self.numbers:,} numbers each"]
        for title, rows in self.tables.items():
            wide = max(len(title), *map(len, rows))
            heads = "" if all(row.bytes is None for row in rows.values()) else f"{'bytes':>10}"
            lines += [f"{title:{wide}}{'PSNR dB':>10}{'SSIM':>9}{heads}"]
            for name, row in rows.items():
                exact = row.psnr >= 99.995
                size = "" if not heads else f"{'–':>10}" if row.bytes is None else f"{row.bytes:>10.1f}"
                like = f"{'–' if row.ssim is None else f'{row.ssim:.4f}':>9}"
                lines.append(f"{name:{wide}}{'exact' if exact else f'{row.psnr:.2f}':>10}{like}{size}")
        return "\n".join([*lines, *self.notes])


def report(network: Autoencoder, recipe: AutoencoderRecipe, name: str, data: Path) -> PictureReport:
    """Of pictures in a .npz file, or a folder. Each is scored as a file would restore it: in 8 bits."""
    part = recipe.data
    images = collection(data, part if data.is_dir() else part.model_copy(update={"height": None, "width": None}))
    notes: list[str] = []
    components = _components(recipe, images.shape[1:], notes)
    pictures = torch.from_numpy(np.array(images))
    height, width, channels = images.shape[1:]
    if min(height, width) < SSIM_WINDOW:
        notes.append(
            f"no SSIM: it looks through a window of {SSIM_WINDOW}×{SSIM_WINDOW} pixels, which these do not fill"
        )
    tables: dict[str, dict[str, Quality]] = {}
    if part.noise is None:
        tables["compressed"] = compression(network, pictures, components)
    else:
        low, high = part.noise
        for sigma in sorted({low, (low + high) / 2, high} - {0.0}):
            tables[f"noise σ = {sigma:g}"] = _denoised(network, pictures, sigma, components)
    return PictureReport(name, len(images), (height, width, channels), network.numbers(height, width), tables, notes)


def _denoised(
    network: Autoencoder, pictures: UInt8[Tensor, "N H W C"], sigma: float, components: Components | None
) -> dict[str, Quality]:
    clean = to_unit(pictures)
    noisy = clean + noise_for(pictures, (sigma, sigma))
    found = denoising(network, clean, noisy, sigma, components)
    # A picture file cannot hold what noise has made darker than black or brighter than white.
    files = Quality.of(to_unit(to_bytes(restore(network, to_unit(to_bytes(noisy))))), clean)
    return {"model": found.pop("model"), "model, of files": files, **found}


def _components(recipe: AutoencoderRecipe, shape: tuple[int, ...], notes: list[str]) -> Components | None:
    """Those of the training pictures; None, with a note, where there are none."""
    part = recipe.data
    if (part.height, part.width, part.channels) != tuple(shape):
        notes.append("no principal components: the training pictures have another size")
        return None
    numbers = int(np.prod(shape))
    try:
        if part.data is None:
            raise UsageError("a packed run does not know where they are: evaluate the run it was made of")
        images = collection(Path(part.data), part)
    except UsageError as error:
        notes.append(f"no principal components, which come from the training pictures: {error}")
        return None
    rows = np.arange(len(images)) if part.valid_data is not None else held_out(len(images), recipe.seed)[0]
    most = min(MOST_NUMBERS // numbers, len(rows))
    if numbers > MOST_DIRECTIONS:
        most = min(most, MOST_DIRECTIONS)
    wanted = recipe.model.code_channels * -(-shape[0] // 4) * -(-shape[1] // 4)
    if len(rows) < max(2, wanted):
        notes.append(
            f"no principal components: {wanted:,} of them come from as many training pictures, of which there are "
            f"{len(rows):,}"
        )
        return None
    if most < max(2, wanted):
        notes.append(f"no principal components: {wanted:,} of pictures with {numbers:,} numbers would take hours")
        return None
    if most < len(rows):
        rows = np.sort(np.random.default_rng(recipe.seed).choice(rows, most, replace=False))
        notes.append(f"principal components come from {most:,} of the training pictures")
    return Components.of(to_unit(torch.from_numpy(np.array(images[rows]))))


def held_out(pictures: int, seed: int) -> tuple[Int[np.ndarray, " R"], Int[np.ndarray, " V"]]:
    """Which rows are trained on, and which are kept for validation: a twentieth, and 1,000 at most."""
    order = np.random.default_rng([seed, pictures]).permutation(pictures)
    count = min(HELD_OUT, pictures // 20)
    return np.sort(order[count:]), np.sort(order[:count])


def noise_for(images: UInt8[Tensor, "N H W C"], deviations: tuple[float, float]) -> Float[Tensor, "N C H W"]:
    """Noise to judge by, the same each time. Its deviations are spread evenly over their range, one a picture."""
    drawn = torch.randn(to_unit(images).shape, generator=torch.Generator().manual_seed(SEED))
    return drawn * torch.linspace(*deviations, len(images)).view(-1, 1, 1, 1)
