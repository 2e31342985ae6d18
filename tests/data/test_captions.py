"""Batches of pictures and captions: every caption once, its own picture, an order that two numbers decide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regard.batch import BOS, EOS
from regard.data.captions import CaptionBatch, CaptionBatches

DRAW = np.random.default_rng(0)
PICTURES = DRAW.integers(0, 256, (13, 5, 7, 3), dtype=np.uint8)
CAPTIONS = [(int(DRAW.integers(0, 13)), DRAW.integers(4, 50, n).tolist()) for n in DRAW.poisson(9, 307)]


def test_every_caption_comes_once_with_its_picture() -> None:
    seen = []
    for batch in CaptionBatches(PICTURES, CAPTIONS, 200, seed=1, batch_pictures=17).epoch(0):
        assert batch.images.dtype == torch.uint8 and len(batch) <= 17
        assert len(batch) == 1 or batch.target[:, 1:].numel() <= 200
        for i, row in enumerate(batch.rows.tolist()):
            picture, ids = CAPTIONS[row]
            seen.append(row)
            assert (batch.images[batch.picture[i]].numpy() == PICTURES[picture]).all()
            assert batch.target[i, : batch.target_lengths[i]].tolist() == [BOS, *ids, EOS]
    assert sorted(seen) == list(range(len(CAPTIONS)))


def test_tokens_are_those_that_have_to_be_said() -> None:
    batches = list(CaptionBatches(PICTURES, CAPTIONS, 200, seed=1).epoch(2))
    assert sum(batch.target_tokens for batch in batches) == sum(len(ids) + 1 for _, ids in CAPTIONS)
    assert sum(batch.target[:, 1:].numel() for batch in batches) * 0.9 < sum(b.target_tokens for b in batches)


def test_seed_and_epoch_decide_and_a_start_skips() -> None:
    def told(seed: int, epoch: int, start: int = 0) -> list:
        batches = CaptionBatches(PICTURES, CAPTIONS, 200, seed, flip=True).epoch(epoch, start)
        return [(b.rows.tolist(), b.images[b.picture].tolist()) for b in batches]

    assert told(1, 0) == told(1, 0)
    assert told(1, 0) != told(1, 1) and told(1, 0) != told(2, 0)
    assert told(1, 3, start=5) == told(1, 3)[5:]
    assert CaptionBatches(PICTURES, CAPTIONS, 200, 1).count(3) == len(told(1, 3))


def test_half_of_the_pictures_are_mirrored_and_others_next_time() -> None:
    def mirrored(epoch: int) -> list[int]:
        found = []
        for batch in CaptionBatches(PICTURES, CAPTIONS, 200, 1, flip=True).epoch(epoch):
            for image, row in zip(batch.images[batch.picture].numpy(), batch.rows.tolist(), strict=True):
                picture = PICTURES[CAPTIONS[row][0]]
                assert (image == picture).all() or (image == picture[:, ::-1]).all()
                found += [row] * int((image != picture).any())
        return sorted(found)

    assert 0.4 < len(mirrored(0)) / len(CAPTIONS) < 0.6
    assert mirrored(0) != mirrored(1)
    assert (np.random.default_rng(0).integers(0, 256, PICTURES.shape, dtype=np.uint8) == PICTURES).all()


@pytest.mark.parametrize("limit", [400, 60])
def test_captions_of_one_picture_go_together_and_it_comes_once(limit: int) -> None:
    def epoch(number: int) -> list[CaptionBatch]:
        return list(CaptionBatches(PICTURES, CAPTIONS, limit, 1, flip=True, per_picture=4).epoch(number))

    seen, mirrored, shared, pictures = [], {}, 0, 0
    for batch in epoch(0):
        assert len(batch) == 1 or batch.target[:, 1:].numel() <= limit
        assert sorted(set(batch.picture.tolist())) == list(range(len(batch.images)))
        shared, pictures = shared + len(batch), pictures + len(batch.images)
        for at, row in zip(batch.picture.tolist(), batch.rows.tolist(), strict=True):
            seen.append(row)
            image, picture = batch.images[at].numpy(), PICTURES[CAPTIONS[row][0]]
            assert (image == picture).all() or (image == picture[:, ::-1]).all()
            # One coin for all captions of a picture.
            assert mirrored.setdefault(CAPTIONS[row][0], bool((image != picture).any())) == (image != picture).any()
    assert sorted(seen) == list(range(len(CAPTIONS)))
    assert pictures < shared * (
        0.35 if limit == 400 else 0.6
    )  # four rows a picture, and two of ten tokens fit in sixty
    assert 0 < sum(mirrored.values()) < len(PICTURES)
    again, other = ([b.rows.tolist() for b in epoch(number)] for number in (0, 1))
    assert again == [b.rows.tolist() for b in epoch(0)] != other


def test_a_read_only_array_serves() -> None:
    pictures = PICTURES.copy()
    pictures.flags.writeable = False
    assert sum(len(b) for b in CaptionBatches(pictures, CAPTIONS, 200, 1, flip=True).epoch(0)) == len(CAPTIONS)


def test_a_caption_longer_than_the_budget_goes_alone_and_none_is_no_batch() -> None:
    batches = list(CaptionBatches(PICTURES, [(0, [4] * 90), (1, [5])], 20, 0, shuffle=False).epoch(0))
    assert [len(b) for b in batches] == [1, 1]
    assert list(CaptionBatches(PICTURES, [], 20, 0).epoch(0)) == []


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="pictures 0 to 13 of 13"):
        CaptionBatches(PICTURES, [(0, [4]), (13, [4])], 20, 0)
    with pytest.raises(ValueError, match="at least 1 token"):
        CaptionBatches(PICTURES, CAPTIONS, 0, 0)
    with pytest.raises(ValueError, match="1 caption of a picture"):
        CaptionBatches(PICTURES, CAPTIONS, 20, 0, per_picture=0)
