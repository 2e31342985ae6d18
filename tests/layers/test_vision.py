"""A picture becomes a grid whose places keep their order, whatever else is in the batch."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from regard.errors import UsageError
from regard.layers import vision
from regard.layers.vision import Backbone, ConvGrid, LearnedGrid, SinusoidalGrid


def pictures(count: int, height: int, width: int, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8)


def made(**options: Any) -> ConvGrid:
    return ConvGrid(3, (6, 9, 12), 8, **{"groups": 3, "blocks": 2, **options}).double()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 13), (8, 16), (17, 9), (31, 33)])
def test_the_grid_is_as_large_as_it_says(height: int, width: int) -> None:
    model = made()
    rows, columns = model.grid(height, width)
    assert (rows, columns) == (math.ceil(height / 8), math.ceil(width / 8))
    assert model(pictures(2, height, width)).shape == (2, rows * columns, 8)


def test_neither_the_batch_nor_the_mode_changes_a_picture() -> None:
    model, images = made(), pictures(5, 11, 13)
    together = model.train()(images)
    alone = torch.cat([model.eval()(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_places_go_row_after_row() -> None:
    # One width: a place sees few points around it, and group norm moves the rest a little.
    model, images = ConvGrid(3, (6,), 8, groups=3).double(), pictures(1, 32, 40)
    changed = images.clone()
    changed[:, 28:, :4] = 255 - changed[:, 28:, :4]
    moved = (model(images) - model(changed)).abs().sum(dim=-1).view(16, 20)
    assert moved[12:, :4].mean() > 10 * moved[:8].mean() and moved[12:, :4].mean() > 10 * moved[:, 8:].mean()


def test_it_has_gradients_everywhere_and_reads_grey() -> None:
    model = ConvGrid(1, (4, 8), 5, groups=2, positions=LearnedGrid(5, 3, 4))
    model(pictures(3, 9, 13, 1)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())
    with pytest.raises(ValueError, match="1 channels, not 3"):
        model(pictures(1, 9, 13))


def test_sines_by_hand() -> None:
    added = SinusoidalGrid(8)(torch.zeros(1, 6, 8), (2, 3))[0].view(2, 3, 8)
    for row in range(2):
        for column in range(3):
            halves = [
                [f(p / 10_000 ** (2 * i / 4)) for f in (math.sin, math.cos) for i in (0, 1)] for p in (row, column)
            ]
            assert added[row, column].tolist() == pytest.approx(halves[0] + halves[1], abs=1e-6)


def test_learned_positions_are_of_row_and_column() -> None:
    positions = LearnedGrid(3, 4, 5)
    added = positions(torch.zeros(2, 6, 3), (3, 2)).view(2, 3, 2, 3)
    for row in range(3):
        for column in range(2):
            assert torch.equal(added[1, row, column], positions.rows[row] + positions.columns[column])
    with pytest.raises(ValueError, match="reach 4×5 places, and this grid has 5×2"):
        positions(torch.zeros(1, 10, 3), (5, 2))


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="cannot be split into 8 groups"):
        ConvGrid(3, (16, 20), 8)
    with pytest.raises(ValueError, match="at least one width"):
        ConvGrid(3, (), 8)
    with pytest.raises(ValueError, match="divisible by 4"):
        SinusoidalGrid(6)


class Small(nn.Module):
    """What torchvision's ResNets look like from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(7)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(7, 10)


class Headless(nn.Module):
    """What timm's vision Transformers look like: one leading vector, then places."""

    num_prefix_tokens = 1
    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 5, 16, 16)
        self.head = nn.Linear(5, 3)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[2] == x.shape[3], "wrong size"
        x = self.patch(x).flatten(2).transpose(1, 2)
        return torch.cat((torch.full_like(x[:, :1], 1e6), x), dim=1)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for timm and torchvision, which this package does not need."""
    timm, torchvision, models = ModuleType("timm"), ModuleType("torchvision"), ModuleType("torchvision.models")
    timm.is_model = lambda name: name == "headless"  # type: ignore[attr-defined]
    timm.create_model = lambda name, pretrained: Headless()  # type: ignore[attr-defined]
    models.list_models = lambda module: ["small", "odd"]  # type: ignore[attr-defined]
    models.get_model = lambda name, weights: Small() if name == "small" else nn.Linear(2, 2)  # type: ignore[attr-defined]
    torchvision.models = models  # type: ignore[attr-defined]
    for module in (timm, torchvision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(vision.importlib.util, "find_spec", lambda name: name)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_backbone_reads_its_weights_from_disk_and_stays_as_it_is(tmp_path: Path, suffix: str) -> None:
    source, path = Small(), tmp_path / f"weights{suffix}"
    state = {key: value for key, value in source.state_dict().items() if not key.startswith("fc.")}
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    backbone = Backbone("small", path, 5).train()
    images = pictures(3, 13, 9)
    assert backbone.grid(13, 9) == (7, 5)
    x = (images.permute(0, 3, 1, 2) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    features = source.eval().norm(source.conv(x)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(backbone(images), backbone.out(features))
    backbone(images).sum().backward()
    assert backbone.out.weight.grad is not None
    assert all(p.grad is None for p in backbone.features.parameters())


@pytest.mark.usefixtures("libraries")
def test_a_backbone_can_be_trained_and_reads_grey() -> None:
    backbone = Backbone("small", None, 5, train_backbone=True)
    means = [b.clone() for name, b in backbone.named_buffers() if name.endswith("running_mean")]
    assert all(bool((m == 0).all()) for m in means), "its making leaves no trace in batch norm"
    backbone(pictures(2, 13, 9, 1)).sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.usefixtures("libraries")
def test_a_transformer_backbone_gives_its_places_only() -> None:
    backbone = Backbone("headless", None, 5)
    assert backbone.grid(48, 48) == (3, 3)
    assert backbone(pictures(2, 48, 48)).abs().max() < 1e5
    with pytest.raises(UsageError, match="does not take pictures of 32×48 pixels"):
        backbone(pictures(2, 48, 32))


@pytest.mark.usefixtures("libraries")
def test_a_backbone_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="know no network called 'tiny'"):
        Backbone("tiny", None, 5)
    with pytest.raises(UsageError, match="'odd' has no grid"):
        Backbone("odd", None, 5)
    with pytest.raises(UsageError, match="does not exist"):
        Backbone("small", tmp_path / "gone.pt", 5)
    path = tmp_path / "a.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="no weights that can be read"):
        Backbone("small", path, 5)
    torch.save({"conv.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(UsageError, match=r"another network than 'small': it has no 'conv\.weight'"):
        Backbone("small", path, 5)


def test_without_a_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install timm"):
        Backbone("resnet18", None, 5)
