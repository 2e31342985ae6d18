"""A run is a folder. This file knows what lies in it and where."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from regard.config import Recipe, RecipeBase, any_recipe_of, read_toml
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.training.checkpoint import has_state

R = TypeVar("R", bound=RecipeBase)


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def dropped(self) -> Path:
        return self.path / "dropped.tsv"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    def tokenizer(self, side: str, shared: bool) -> Path:
        return self.path / ("tokenizer.json" if shared else f"{side}.tokenizer.json")

    @property
    def resumable(self) -> bool:
        return has_state(self.state)

    @property
    def unbegun(self) -> bool:
        """Whether it is a folder with nothing but what a training prepares, and without a recipe, which is written last:
        it was killed on the way."""
        sides = (self.tokenizer("source", False), self.tokenizer("target", False), self.tokenizer("text", True))
        prepared = {path.name for path in (self.corpus, self.dropped, *sides)}
        return self.path.is_dir() and {path.name for path in self.path.iterdir()} <= prepared

    @property
    def packed(self) -> bool:
        """Whether `regard pack` made it: a training that has weights has said how it came to them."""
        return self.weights.exists() and not self.metrics.exists() and not self.resumable

    def read_recipe(self) -> RecipeBase:
        """The resolved recipe, of whatever task; UsageError if the folder is not a run."""
        if not self.path.exists():
            raise UsageError(f"{self.path} does not exist: give the folder that 'regard train --out' made")
        if not self.path.is_dir():
            raise UsageError(f"{self.path} is a file: give the folder of a run, which 'regard train --out' makes")
        if not self.recipe.exists():
            raise UsageError(
                f"{self.path} is not a run: it holds no recipe.toml; give a folder that 'regard train' made"
            )
        return any_recipe_of(read_toml(self.recipe), str(self.recipe))

    def read_recipe_of(self, kind: type[R]) -> R:
        """The recipe of a run of one task; UsageError if it does something else."""
        recipe = self.read_recipe()
        if not isinstance(recipe, kind):
            wanted = kind.model_fields["task"].default
            raise UsageError(f"{self.path} is a run of {recipe.task}, and this needs one of {wanted}")
        return recipe

    def read_tokenizers(self, recipe: Recipe) -> tuple[Tokenizer, Tokenizer]:
        """Source and target; the same object where they are shared."""
        shared = bool(recipe.data.shared_vocabulary)
        source = self._tokenizer(self.tokenizer("source", shared))
        return source, source if shared else self._tokenizer(self.tokenizer("target", shared))

    @staticmethod
    def _tokenizer(path: Path) -> Tokenizer:
        if not path.exists():
            raise UsageError(f"{path} is missing: the run was not finished or not copied whole; train it again")
        return Tokenizer.load(path)

    def read_report(self) -> dict[str, object]:
        try:
            return json.loads(self.report.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.report} cannot be read as JSON: it was cut off; evaluate the run again") from error
