"""A convolutional autoencoder: a picture becomes a quarter as many numbers, whole ones if asked, and a picture again.

Pictures are `[B, C, H, W]`, black 0 and white 1. Their code is `[B, K, h, w]` with `h = ceil(H / 4)`, `w = ceil(W / 4)`
and numbers from -1 to 1: of 28×28×1 = 784 numbers, 4×7×7 = 196 are left.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from regard.errors import UsageError
from regard.wide import wide

SHRINK = 4
"""How many times smaller a code is than its picture, in height and in width."""


class Quantiser(nn.Module):
    """Bounds a code to -1..1 and makes it one of `levels` numbers at equal distance, in training by noise of that size.

    Rounding has no gradient. Uniform noise as wide as a step has the same effect on what can be read from a code, and
    has one (Ballé et al. 2017, §2): a decoder trained under it loses nothing when codes are rounded.

    `frequencies [K, levels]` follows how often each channel has taken each level in training: an exponential mean over
    about the last hundred batches. It is what the entropy coder goes by, and part of the model.
    """

    frequencies: Tensor

    def __init__(self, channels: int, levels: int = 256, *, memory: float = 0.99) -> None:
        super().__init__()
        if not 2 <= levels <= 256:
            raise ValueError(f"a code has from 2 to 256 levels, which a byte holds, not {levels}")
        self.levels, self.memory = levels, memory
        self.register_buffer("frequencies", torch.full((channels, levels), 1 / levels))

    def bound(self, features: Float[Tensor, "B K h w"]) -> Float[Tensor, "B K h w"]:
        """Any numbers to those from -1 to 1."""
        return torch.tanh(wide(features))  # half precision does not hold 256 levels

    def forward(self, code: Float[Tensor, "B K h w"]) -> Float[Tensor, "B K h w"]:
        """A bounded code as a decoder gets it: with noise in training, else rounded."""
        if not self.training:
            return self.values(self.symbols(code))
        self._count(self.symbols(code.detach()))
        return code + (2 * torch.rand_like(code) - 1) / (self.levels - 1)

    def symbols(self, code: Float[Tensor, "B K h w"], levels: int | None = None) -> Int[Tensor, "B K h w"]:
        """The nearest level of each number, counted from 0; of coarser `levels`, if they are given."""
        steps = (levels or self.levels) - 1
        # A training that diverges is for its loop to notice: what is no number must not be a place in a table.
        return ((code.nan_to_num().clamp(-1, 1) + 1) * (steps / 2)).round().long()

    def values(self, symbols: Int[Tensor, "B K h w"], levels: int | None = None) -> Float[Tensor, "B K h w"]:
        """The numbers from -1 to 1 that levels stand for."""
        return symbols.to(self.frequencies.dtype) * (2 / ((levels or self.levels) - 1)) - 1

    @torch.no_grad()
    def _count(self, symbols: Int[Tensor, "B K h w"]) -> None:
        channels = torch.arange(symbols.shape[1], device=symbols.device)[:, None, None]
        counts = torch.bincount((symbols + channels * self.levels).flatten(), minlength=self.frequencies.numel())
        share = counts.view_as(self.frequencies) / (symbols.numel() / symbols.shape[1])
        self.frequencies.lerp_(share.to(self.frequencies.dtype), 1 - self.memory)

    def extra_repr(self) -> str:
        return f"channels={self.frequencies.shape[0]}, levels={self.levels}"


class Residual(nn.Module):
    """`x + conv(σ(conv(σ(x))))`, 3×3 each; it begins as `x`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        return x + self.second(functional.silu(self.first(functional.silu(x))))


class PictureEncoder(nn.Sequential):
    """`[B, C, 4h, 4w]` to `[B, K, h, w]`: two strided convolutions, `blocks` residual ones, and a projection."""

    def __init__(self, channels: int, code_channels: int = 4, width: int = 32, blocks: int = 2) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            *(Residual(2 * width) for _ in range(blocks)),
            nn.SiLU(),
            nn.Conv2d(2 * width, code_channels, 3, padding=1),
        )
        self.channels = channels


class PictureDecoder(nn.Sequential):
    """`[B, K, h, w]` to `[B, C, 4h, 4w]`: the encoder's mirror, with transposed convolutions."""

    def __init__(self, channels: int, code_channels: int = 4, width: int = 32, blocks: int = 2) -> None:
        super().__init__(
            nn.Conv2d(code_channels, 2 * width, 3, padding=1),
            *(Residual(2 * width) for _ in range(blocks)),
            nn.SiLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        )


class Autoencoder(nn.Module):
    """`decoder(quantiser(encoder(picture)))` for pictures of any size: they are filled up to a multiple of four with
    their own edge, and cut again.

    In training the picture that comes out is not clipped to 0..1, lest a pixel beyond have no gradient.
    """

    def __init__(self, encoder: PictureEncoder, quantiser: Quantiser, decoder: PictureDecoder) -> None:
        super().__init__()
        self.encoder, self.quantiser, self.decoder = encoder, quantiser, decoder

    @property
    def channels(self) -> int:
        return self.encoder.channels

    @property
    def code_channels(self) -> int:
        return self.quantiser.frequencies.shape[0]

    def numbers(self, height: int, width: int) -> int:
        """How many numbers the code of such a picture has."""
        return self.code_channels * -(-height // SHRINK) * -(-width // SHRINK)

    def forward(self, pictures: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.decode(self.encode(pictures), pictures.shape[-2], pictures.shape[-1])

    def encode(self, pictures: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K h w"]:
        """The code as the decoder gets it, from the quantiser."""
        return self.quantiser(self.code(pictures))

    def code(self, pictures: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K h w"]:
        """The code before its quantiser. UsageError for pictures with channels that the model does not know."""
        _, channels, height, width = pictures.shape
        if channels != self.channels:
            raise UsageError(f"this model was made for {_kind(self.channels)} and was given {_kind(channels)}")
        below, right = -height % SHRINK, -width % SHRINK
        if below or right:
            pictures = functional.pad(pictures, (0, right, 0, below), mode="replicate")
        return self.quantiser.bound(self.encoder(pictures))

    def decode(self, code: Float[Tensor, "B K h w"], height: int, width: int) -> Float[Tensor, "B C H W"]:
        pictures = wide(self.decoder(code))[..., :height, :width]
        return pictures if self.training else pictures.clamp(0, 1)


def _kind(channels: int) -> str:
    return {1: "grey pictures (1 channel)", 3: "pictures in colour (3 channels)"}.get(
        channels, f"pictures of {channels} channels"
    )


def to_unit(images: UInt8[Tensor, "B H W C"]) -> Float[Tensor, "B C H W"]:
    """Bytes as they are stored, to numbers from 0 to 1 as models take them."""
    return images.permute(0, 3, 1, 2).float() / 255


def to_bytes(pictures: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B H W C"]:
    """The nearest bytes."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
