"""The job of captioning: pictures, and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.build.captioning import captioner
from regard.config import recipe_of, write_toml
from regard.config.captioning import CaptioningRecipe, caption_preset
from regard.data import Tokenizer
from regard.data.captions import CaptionBatch, CaptionBatches
from regard.errors import UsageError
from regard.evaluation import RESAMPLES, Metric, Score, score
from regard.models.captioning import ImageCaptioner
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.captioning.data import CaptionData, prepared, shape_of
from regard.run.captioning.model import CaptionModel
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.resuming import resumed
from regard.tasks import captioning, translation
from regard.tasks.captioning import Search
from regard.training.checkpoint import write_text
from regard.training.loop import Loss

FEW = 50  # pictures: too few for CIDEr-D to choose by, whose weights follow from the references


@dataclass
class CaptioningJob:
    recipe: CaptioningRecipe
    network: ImageCaptioner
    batches: CaptionBatches
    valid: CaptionBatches
    data: CaptionData
    tokenizer: Tokenizer
    items: int
    name: str
    what: str = "captions"

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = _recipe(tree, folder, origin, resume)
        if recipe.data.data is None:
            raise UsageError(f"{origin} names no captions: give --data FILE.jsonl")
        make(folder)
        shape = shape_of(recipe.data)
        data, tokenizer = prepared(recipe, folder, console, resume)
        torch.manual_seed(recipe.seed)
        # Where there is a state, it holds the parameters of a backbone, and their file is not needed any more.
        network = captioner(recipe.model, shape, tokenizer.size, pretrained=not (resume and folder.resumable))
        if not resume:
            recipe = with_precision(recipe, console)
        training = recipe.training
        rows, columns = network.encoder.vision.grid(shape.height, shape.width)  # type: ignore[operator]
        if not resume:
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        console.print(
            f"pictures of {shape.width}×{shape.height} become {columns}×{rows} places; {tokenizer.size:,} "
            f"{tokenizer.kind} in the vocabulary",
            highlight=False,
        )

        def batches(pictures: Any, captions: Any, seed: int, **how: bool) -> CaptionBatches:
            size, most, together = training.batch_tokens, training.batch_pictures, training.per_picture
            return CaptionBatches(pictures, captions, size, seed, batch_pictures=most, per_picture=together, **how)

        return cls(
            recipe,
            network.to(build.device(training.device)),
            batches(data.pictures, data.captions, recipe.seed, flip=recipe.data.mirror),
            batches(data.valid_pictures, data.valid_captions, 0, shuffle=False),
            data,
            tokenizer,
            len(data.captions),
            folder.path.name,
        )

    @property
    def criterion(self) -> str:
        return "valid_loss" if len(self.data.references) < FEW else "valid_cider_d"

    @property
    def larger_is_better(self) -> bool:
        return self.criterion != "valid_loss"

    def loss(self, batch: CaptionBatch) -> Loss:
        training = self.recipe.training
        looking = translation.Looking.of(training, None)
        return translation.loss(
            self.network, batch, smoothing=training.label_smoothing, r_drop=training.r_drop, looking=looking
        )

    def validate(self) -> dict[str, float]:
        """By greedy search, and without confidence: quick, and good enough to choose by."""
        self.network.eval()
        quick = self._scores(captioning.metrics()[-2:], 1, 0)
        names = ["valid_" + each.name.lower().replace("-", "_") for each in quick]
        return {"valid_loss": self._loss()} | dict(zip(names, (each.value for each in quick), strict=True))

    def _loss(self) -> float:
        device = next(self.network.parameters()).device
        likelihood = tokens = 0.0
        low = self.recipe.training.precision == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
            for batch in self.valid.epoch(0):
                found = translation.loss(self.network, batch.to(device), smoothing=0.0)
                likelihood += float(found.likelihood)
                tokens += found.tokens
        return likelihood / tokens

    def _scores(self, metrics: list[Metric], beam: int, bootstrap: int) -> list[Score]:
        how = replace(Search.of(self.recipe.decoding), beam=beam)
        found = captioning.search(self.network, self.data.valid_pictures, how)
        said = [self.tokenizer.decode(hypotheses[0].ids) for hypotheses in found]
        return [score(metric, said, self.data.references, bootstrap=bootstrap) for metric in metrics]

    def scores(self) -> list[Score]:
        return self._scores(captioning.metrics(), self.recipe.decoding.beam, RESAMPLES)

    def facts(self) -> Mapping[str, Any]:
        return {
            "scored_on": "held out from training" if self.data.held_out else "validation set",
            "pictures": len(self.data.references),
            "beam": self.recipe.decoding.beam,
        }

    def model(self) -> CaptionModel:
        return CaptionModel(self.network.eval(), self.tokenizer, self.recipe, self.name)


def _recipe(tree: Tree, folder: RunFolder, origin: str, resume: bool) -> CaptioningRecipe:
    if not resume:
        refuse_overwriting(folder)
        return recipe_of(caption_preset(tree), origin, CaptioningRecipe)
    recipe = folder.read_recipe()
    assert isinstance(recipe, CaptioningRecipe), "the dispatch went by this recipe"
    return resumed(tree, folder, recipe, origin)
