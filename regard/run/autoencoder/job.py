"""The job of an autoencoder: pictures made small and large again, or clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.console import Console
from torch import Tensor

from regard import build
from regard.config import recipe_of, write_toml
from regard.config.autoencoder import AutoencoderRecipe, picture_preset
from regard.data.pictures import PictureBatch, PictureBatches
from regard.errors import RegardError, UsageError
from regard.evaluation import RESAMPLES, SEED, FineScore, Measured, Score
from regard.evaluation.resampling import score_of
from regard.models.autoencoder import Autoencoder, to_bytes, to_unit
from regard.models.codec import compress
from regard.run.autoencoder.model import PictureModel, new_network
from regard.run.autoencoder.report import held_out, noise_for
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.folder import RunFolder
from regard.run.pictures import settled, training_pictures
from regard.run.resuming import resumed
from regard.tasks.autoencoder import SSIM_WINDOW, loss, psnr, restore, ssim
from regard.training.checkpoint import write_text
from regard.training.loop import Loss

Tree = dict[str, Any]
VALIDATED_PICTURES = 1000  # more would cost time at each validation and change no choice


@dataclass
class AutoencoderJob:
    recipe: AutoencoderRecipe
    network: Autoencoder
    batches: PictureBatches
    valid: UInt8[Tensor, "N H W C"]
    held_out: bool
    items: int
    name: str
    what: str = "pictures"
    criterion: str = "valid_psnr"
    larger_is_better: bool = True

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = _recipe(tree, folder, origin, resume)
        if recipe.data.data is None:
            raise UsageError(f"{origin} names no pictures: give --data FILE.npz, or --data FOLDER")
        make(folder)
        train, valid = training_pictures(recipe.data, folder, resume)
        rows, apart = held_out(len(train), recipe.seed) if valid is None else (np.arange(len(train)), None)
        if apart is not None and not len(apart):
            few = f"{len(train)} pictures are too few to keep some for validation"
            raise RegardError(f"{recipe.data.data}: {few}, which takes 20; give --valid-data")
        shown = valid if valid is not None else train[apart]
        if apart is not None:
            console.print(
                f"no validation pictures were given: {len(apart):,} are kept from training for it", highlight=False
            )
        if not resume:
            recipe = with_precision(recipe.model_copy(update={"data": settled(recipe.data, train)}), console)
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        training = recipe.training
        torch.manual_seed(recipe.seed)
        network = new_network(recipe).to(build.device(training.device))
        height, width, channels = train.shape[1:]
        console.print(
            f"pictures of {height}×{width}×{channels} = {height * width * channels:,} numbers become "
            f"{network.numbers(height, width):,} of {recipe.model.levels} levels",
            highlight=False,
        )
        batches = PictureBatches(train, training.batch, recipe.seed, rows=rows, noise=recipe.data.noise)
        some = torch.from_numpy(np.array(shown[:: -(-len(shown) // VALIDATED_PICTURES)]))
        return cls(recipe, network, batches, some, apart is not None, len(rows), folder.path.name)

    def loss(self, batch: PictureBatch) -> Loss:
        return loss(self.network, batch)

    def validate(self) -> dict[str, float]:
        """Of pictures as files restore them: from codes of whole numbers, in 8 bits."""
        return {"valid_psnr": float(psnr(self._restored(), to_unit(self.valid)).mean())}

    def _restored(self) -> Float[Tensor, "N C H W"]:
        seen = to_unit(self.valid)
        if self.recipe.data.noise is not None:
            seen = seen + noise_for(self.valid, self.recipe.data.noise)
        return to_unit(to_bytes(restore(self.network, seen)))

    def scores(self) -> list[Score]:
        made, truth = self._restored(), to_unit(self.valid)
        noise = self.recipe.data.noise
        of = "" if noise is None else f"|noise:{noise[0]:g}-{noise[1]:g}"
        found = [_mean("PSNR", psnr(made, truth), f"decibels{of}")]
        if min(self.valid.shape[1:3]) >= SSIM_WINDOW:
            like = _mean("SSIM", ssim(made, truth), f"from 0 to 1|window:{SSIM_WINDOW}{of}")
            found.append(FineScore(**asdict(like)))
        if noise is None:
            sizes = torch.tensor([len(compress(self.network, picture)) for picture in self.valid])
            found.append(_mean("bytes", sizes.double(), f"levels:{self.recipe.model.levels}"))
        return found

    def facts(self) -> Mapping[str, Any]:
        scored_on = "held out from training" if self.held_out else "validation set"
        return {"scored_on": scored_on, "pictures": len(self.valid)}

    def model(self) -> PictureModel:
        return PictureModel(self.network.eval(), self.recipe, self.name)


def _recipe(tree: Tree, folder: RunFolder, origin: str, resume: bool) -> AutoencoderRecipe:
    if not resume:
        refuse_overwriting(folder)
        return recipe_of(picture_preset(tree), origin, AutoencoderRecipe)
    recipe = folder.read_recipe()
    assert isinstance(recipe, AutoencoderRecipe), "the dispatch went by this recipe"
    return resumed(tree, folder, recipe, origin)


def _mean(name: str, values: Float[Tensor, " N"], signature: str) -> Score:
    statistics = torch.stack([values.double(), torch.ones_like(values, dtype=torch.float64)], dim=1).numpy()

    def said(fields: dict[str, str]) -> str:
        return "|".join([signature, *(f"{key}:{value}" for key, value in fields.items())])

    measured = Measured(statistics, lambda sums: sums[:, 0] / sums[:, 1], said)
    return score_of(name, measured, bootstrap=RESAMPLES, seed=SEED)
