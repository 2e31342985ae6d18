"""From a picture to a grid of vectors that attention can look at."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from regard.errors import UsageError

GROUPS = 8
# What ImageNet's pictures have on average, and how they spread, by colour: pretrained networks expect it.
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SinusoidalGrid(nn.Module):
    """Sines and cosines of the row in the first half of the features, of the column in the second. No parameters.

    As in Vaswani et al. (2017, §3.5) for each half; `dim` is divisible by 4.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim % 4:
            raise ValueError(f"sines and cosines of rows and columns need a dim divisible by 4, not {dim}")
        self.dim = dim

    def forward(self, x: Float[Tensor, "B N D"], grid: tuple[int, int]) -> Float[Tensor, "B N D"]:
        """Adds to each of the N = rows · columns vectors where it stands, row after row."""
        rate = torch.exp(torch.arange(0, self.dim // 2, 2, device=x.device) * (-math.log(10_000.0) / (self.dim // 2)))
        rows, columns = (torch.arange(size, device=x.device)[:, None] * rate for size in grid)
        rows, columns = (torch.cat((angle.sin(), angle.cos()), dim=-1) for angle in (rows, columns))
        table = torch.cat(
            (rows[:, None].expand(*grid, -1), columns[None].expand(*grid, -1)),
            dim=-1,
        )
        return x + table.flatten(0, 1).to(x.dtype)


class LearnedGrid(nn.Module):
    """A learned vector per row plus one per column: `rows [h, D]`, `columns [w, D]`. A larger grid is an error."""

    def __init__(self, dim: int, height: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(height, dim))
        self.columns = nn.Parameter(torch.empty(width, dim))
        nn.init.normal_(self.rows, std=0.02)
        nn.init.normal_(self.columns, std=0.02)

    def forward(self, x: Float[Tensor, "B N D"], grid: tuple[int, int]) -> Float[Tensor, "B N D"]:
        height, width = grid
        if height > len(self.rows) or width > len(self.columns):
            raise ValueError(
                f"learned positions reach {len(self.rows)}×{len(self.columns)} places, and this grid has "
                f"{height}×{width}; train with larger pictures, or with sinusoidal positions"
            )
        return x + (self.rows[:height, None] + self.columns[None, :width]).flatten(0, 1)


class Block(nn.Module):
    """`shortcut(x) + conv(relu(norm(conv(relu(norm(x))))))` (He et al. 2016), with group norm (Wu & He 2018).

    Group norm sees one picture at a time, so neither the batch nor the mode changes what a picture becomes.
    """

    def __init__(self, before: int, after: int, stride: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(groups, before),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.GroupNorm(groups, after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        plain = stride == 1 and before == after
        self.shortcut = nn.Identity() if plain else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        return self.shortcut(x) + self.body(x)


class ConvGrid(nn.Module):
    """A convolutional network for training from scratch: pictures `[B, H, W, C]` to a grid `[B, N, D]`.

    A first convolution and then a stage of `blocks` residual blocks for each of `widths`. The first convolution halves
    the picture, and so does each stage but the first: the grid has `⌈H / 2ⁿ⌉ · ⌈W / 2ⁿ⌉` places with n widths, row
    after row. `positions` is a `SinusoidalGrid`, a `LearnedGrid`, or None.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        dim: int,
        *,
        blocks: int = 1,
        groups: int = GROUPS,
        positions: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not widths or blocks < 1:
            raise ValueError(
                f"a convolutional grid has at least one width and one block, not {list(widths)} and {blocks}"
            )
        for width in widths:
            if width % groups:
                raise ValueError(
                    f"a width of {width} cannot be split into {groups} groups: give a multiple of {groups}"
                )
        self.channels, self.dim = channels, dim
        self.halvings = len(widths)
        self.stem = nn.Conv2d(channels, widths[0], 5, stride=2, padding=2, bias=False)
        stages = []
        for stage, width in enumerate(widths):
            before = widths[max(0, stage - 1)]
            stages += [
                Block(before if i == 0 else width, width, 2 if i == 0 and stage else 1, groups) for i in range(blocks)
            ]
        self.stages = nn.Sequential(*stages, nn.GroupNorm(groups, widths[-1]), nn.ReLU())
        self.out = nn.Conv2d(widths[-1], dim, 1)
        self.positions = positions
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.out:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # As large as the positions that are added, or attention would see where things are before it sees what.
        nn.init.kaiming_normal_(self.out.weight, nonlinearity="relu")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the grid that a picture of that size becomes."""
        return -(-height >> self.halvings), -(-width >> self.halvings)

    def forward(self, images: UInt8[Tensor, "B H W C"]) -> Float[Tensor, "B N D"]:
        if images.shape[-1] != self.channels:
            raise ValueError(f"this network was made for pictures of {self.channels} channels, not {images.shape[-1]}")
        # From 0 … 255 to -1 … 1. As a view: the channels stay last in memory, which convolutions like.
        x = self.stem((images.to(self.stem.weight.dtype) / 127.5 - 1).permute(0, 3, 1, 2))
        x = self.out(self.stages(x))
        grid = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2)
        return x if self.positions is None else self.positions(x, grid)


class Backbone(nn.Module):
    """A network of timm or torchvision without its last layers, and a map of its grid to `dim` features.

    `weights` is a file on disk (`.safetensors`, or what `torch.save` wrote), which is read when the model is made; None
    leaves the network as it is initialised, for a model whose parameters come from a run. It stays as it is while the
    rest is trained, unless `train_backbone`.

    UsageError where neither library is installed or knows the name, and for a file that is missing or of another
    network.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        name: str,
        weights: Path | str | None,
        dim: int,
        *,
        positions: nn.Module | None = None,
        train_backbone: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.dim, self.train_backbone = name, dim, train_backbone
        network = _network(name)
        if weights is not None:
            _fill(network, name, Path(weights))
        self.features, self.leading = _without_end(network, name)
        self.features.requires_grad_(train_backbone)
        self.positions = positions
        self._grids: dict[tuple[int, int], tuple[int, int]] = {}
        self.out = nn.Linear(self._tried(torch.zeros(1, 3, 224, 224))[0].shape[-1], dim)
        self.train()
        self.register_buffer("mean", torch.tensor(_IMAGENET[0]).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(_IMAGENET[1]).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        self.features.train(mode and self.train_backbone)  # batch norm of a network that stays must not move
        return self

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the grid that a picture of that size becomes."""
        if (height, width) not in self._grids:
            where = self.out.weight
            x = torch.zeros(1, 3, height, width, dtype=where.dtype, device=where.device)
            self._grids[height, width] = self._tried(x)[1]
        return self._grids[height, width]

    @torch.no_grad()
    def _tried(self, x: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B N F"], tuple[int, int]]:
        """What comes out for a picture of that size, without a trace in batch norm."""
        before = self.features.training
        try:
            self.features.eval()
            return self._grid_of(x)
        finally:
            self.features.train(before)

    def forward(self, images: UInt8[Tensor, "B H W C"]) -> Float[Tensor, "B N D"]:
        x = images.expand(*images.shape[:-1], 3).permute(0, 3, 1, 2).to(self.out.weight.dtype) / 255
        x, grid = self._grid_of((x - self.mean) / self.spread)
        x = self.out(x)
        return x if self.positions is None else self.positions(x, grid)

    def _grid_of(self, x: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B N F"], tuple[int, int]]:
        height, width = x.shape[2:]
        try:
            with torch.set_grad_enabled(self.train_backbone and torch.is_grad_enabled()):
                x = self.features(x)
        except AssertionError as error:
            raise UsageError(
                f"the backbone '{self.name}' does not take pictures of {width}×{height} pixels ({error}): give its size"
            ) from error
        if x.ndim == 4:
            return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])
        x = x[:, self.leading :]
        side = math.isqrt(x.shape[1])
        if side * side != x.shape[1]:
            raise UsageError(f"the backbone '{self.name}' gives no square grid: use square pictures or another network")
        return x, (side, side)


class _Timm(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        x = self.network.forward_features(x)
        # Some networks keep the channels last.
        return x.permute(0, 3, 1, 2) if x.ndim == 4 and x.shape[1] != self.network.num_features else x


def _network(name: str) -> nn.Module:
    """The network of that name with fresh parameters; of timm, or else of torchvision. Nothing is downloaded."""
    there = [library for library in ("timm", "torchvision") if importlib.util.find_spec(library) is not None]
    if not there:
        raise UsageError(f"the backbone '{name}' needs timm or torchvision: pip install timm")
    try:
        if "timm" in there:
            import timm  # type: ignore[import-not-found]

            if timm.is_model(name):
                return timm.create_model(name, pretrained=False)
        if "torchvision" in there:
            from torchvision import models  # type: ignore[import-not-found]

            if name in models.list_models(module=models):
                return models.get_model(name, weights=None)
    except (ImportError, RuntimeError) as error:  # such as a torchvision made for another PyTorch
        raise UsageError(f"the backbone '{name}' cannot be made by {' or '.join(there)}: {error}") from error
    raise UsageError(f"{' and '.join(there)} {'knows' if len(there) == 1 else 'know'} no network called '{name}'")


def _without_end(network: Any, name: str) -> tuple[nn.Module, int]:
    """All but pooling and classes, and how many leading vectors of the result are no places of the picture."""
    if hasattr(network, "forward_features"):
        return _Timm(network), getattr(network, "num_prefix_tokens", 0)
    if isinstance(getattr(network, "features", None), nn.Module):
        return network.features, 0
    children = dict(network.named_children())
    if "avgpool" in children and "fc" in children:
        return nn.Sequential(*(part for key, part in children.items() if key not in ("avgpool", "fc"))), 0
    raise UsageError(f"the backbone '{name}' has no grid of features that could be looked at: choose another network")


def _fill(network: nn.Module, name: str, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give the file with the weights of '{name}', which is not downloaded")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has its own ways to be broken
        raise UsageError(
            f"{path} holds no weights that can be read: give .safetensors or a PyTorch state_dict"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    wanted = network.state_dict()
    lacking = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    # The classes are cut off, so those of another task do no harm.
    lacking = [key for key in lacking if not key.startswith(("fc.", "classifier.", "head.", "heads."))]
    if lacking:
        raise UsageError(
            f"{path} holds the weights of another network than '{name}': it has no '{lacking[0]}' of its shape"
        )
    network.load_state_dict(
        {key: state[key] for key in wanted if key in state and state[key].shape == wanted[key].shape}, strict=False
    )
