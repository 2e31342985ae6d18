"""The choices of an autoencoder's recipe as modules."""

from __future__ import annotations

from regard.config.autoencoder import AutoencoderPart
from regard.models.autoencoder import Autoencoder, PictureDecoder, PictureEncoder, Quantiser


def autoencoder(part: AutoencoderPart, channels: int) -> Autoencoder:
    """An untrained one, for pictures of 1 channel or 3."""
    return Autoencoder(
        PictureEncoder(channels, part.code_channels, part.width, part.blocks),
        Quantiser(part.code_channels, part.levels),
        PictureDecoder(channels, part.code_channels, part.width, part.blocks),
    )
