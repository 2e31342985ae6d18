"""A finished autoencoder: pictures as small files and back, or clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from regard.build.autoencoder import autoencoder
from regard.config.autoencoder import AutoencoderRecipe
from regard.errors import UsageError
from regard.models.autoencoder import Autoencoder, to_bytes, to_unit
from regard.models.codec import MOST_PIXELS, compress, decompress
from regard.run.autoencoder.report import PictureReport, report
from regard.run.folder import RunFolder
from regard.run.pictures import picture_for
from regard.run.weights import with_weights
from regard.tasks.autoencoder import Quality, restore
from regard.training.checkpoint import write_text
from regard.view.restored import RestoredPicture, draw_restored, restored_page, save_restored

GAIN = 4  # of a difference that is shown


class PictureModel:
    """A trained autoencoder with its recipe. Pictures are uint8 arrays `[H, W, C]` of any size."""

    def __init__(self, network: Autoencoder, recipe: AutoencoderRecipe, name: str) -> None:
        self.network, self.recipe, self.name = network, recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> PictureModel:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(AutoencoderRecipe)
        if recipe.data.channels is None:
            raise UsageError(f"{folder.recipe} lacks data.channels: take the recipe.toml that 'regard train' wrote")
        network = new_network(recipe)
        network = with_weights(network, folder, device)
        return cls(network, recipe, folder.path.name)

    def read(self, path: Path | str) -> UInt8[np.ndarray, "H W C"]:
        """A picture file as this model takes it."""
        return picture_for(Path(path), self.network.channels)

    def compress(self, picture: UInt8[np.ndarray, "H W C"], levels: int | None = None) -> bytes:
        """The picture as a small file. Fewer `levels` than the model's make it smaller still, and coarser."""
        return compress(self.network, torch.from_numpy(np.array(picture)), levels)

    def decompress(self, data: bytes, origin: str = "the file") -> UInt8[np.ndarray, "H W C"]:
        """What `compress` of this model made into a file. UsageError for any other bytes."""
        return decompress(self.network, data, origin).numpy()

    def evaluate(self, data: Path | str) -> PictureReport:
        """How good the model is on the pictures of a .npz file or a folder, beside simpler ways."""
        return report(self.network, self.recipe, self.name, Path(data))

    def said(self, lines: Iterator[str], *, jsonl: bool) -> Iterator[str]:
        """`regard predict` has nothing to say of it."""
        raise self._no_text()

    def view(self, path: Path | str) -> RestoredPicture:
        """A picture file, what its small file restores or what is left of it without noise, how they differ, and the
        channels of its code, each from its least number to its greatest."""
        picture = self.read(path)
        height, width = picture.shape[:2]
        if self.recipe.data.noise is None:
            small = self.compress(picture)
            restored, name = self.decompress(small), "restored"
            like = Quality.of(_batch(restored), _batch(picture))
            near = f"{len(small):,} bytes, PSNR {like.psnr:.1f} dB" + (
                "" if like.ssim is None else f", SSIM {like.ssim:.3f}"
            )
        else:
            restored, name, near = self.denoise(picture), "without noise", "cleaned"
        apart = np.abs(picture.astype(int) - restored.astype(int))
        panels = [
            ("the picture", picture),
            (name, restored),
            (f"difference × {GAIN}", (GAIN * apart).clip(0, 255).astype(np.uint8)),
        ]
        with torch.inference_mode():
            code = self.network.code(to_unit(torch.from_numpy(np.array(picture))[None]))[0].float().cpu().numpy()
        for number, channel in enumerate(code, start=1):
            share = (channel - channel.min()) / max(float(np.ptp(channel)), 1e-9)
            panels.append((f"code {number} of {len(code)}", np.rint(255 * share).astype(np.uint8)[..., None]))
        return RestoredPicture(f"{Path(path).name}, {width}×{height} pixels: {near}", panels)

    def shown(self, picture: str, width: int, color: bool) -> str:
        """What `regard show` prints."""
        return draw_restored(self.view(picture), width=width, color=color)

    def save_picture(self, picture: str, path: Path) -> None:
        """Writes it as PNG."""
        save_restored(self.view(picture), path)

    def save_page(self, picture: str, path: Path) -> None:
        """Writes a page of it, which opens offline."""
        write_text(path, restored_page(self.view(picture), self.name))

    def _no_text(self) -> UsageError:
        instead = "compress" if self.recipe.data.noise is None else "denoise"
        return UsageError(
            f"{self.name} is a run of autoencoder, which reads pictures and no text: use 'regard {instead}' or "
            "'regard evaluate'"
        )

    def evaluated(self, source: Path | None, target: Path | None, data: Path | None, as_json: bool) -> str:
        """What `regard evaluate` prints."""
        if data is None or source is not None or target is not None:
            raise UsageError(f"{self.name} is a run of autoencoder: give --data FILE.npz, or --data FOLDER of pictures")
        found = self.evaluate(data)
        return json.dumps(found.to_json(), ensure_ascii=False, indent=1) if as_json else str(found)

    def denoise(self, picture: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W C"]:
        """The picture without its noise. UsageError if the model was not trained to take any off."""
        if self.recipe.data.noise is None:
            raise UsageError(
                f"{self.name} was trained to make pictures small, not clean: train a run with "
                "--set data.noise=0.3, or whatever the noise's deviation is where white is 1"
            )
        height, width = picture.shape[:2]
        if height * width > MOST_PIXELS:
            raise UsageError(
                f"a picture of {height:,}×{width:,} pixels is too large to denoise: make it smaller or cut it, to at "
                f"most {MOST_PIXELS:,} pixels"
            )
        return to_bytes(restore(self.network, to_unit(torch.from_numpy(np.array(picture))[None])))[0].numpy()


def _batch(picture: UInt8[np.ndarray, "H W C"]) -> Float[Tensor, "1 C H W"]:
    return to_unit(torch.from_numpy(np.array(picture))[None])


def new_network(recipe: AutoencoderRecipe) -> Autoencoder:
    """An untrained network for a recipe without gaps."""
    assert recipe.data.channels is not None
    return autoencoder(recipe.model, recipe.data.channels)
