"""Pictures of every kind become the pixels that people see, and what is no picture ends in one sentence."""

from __future__ import annotations

import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard.data import images
from regard.data.images import Shape, build_pictures, pictures_made_of, read_npz, read_picture
from regard.errors import MovingPicture, RegardError, UsageError

DRAW = np.random.default_rng(0)
COLOUR = DRAW.integers(0, 256, (7, 11, 3), dtype=np.uint8)
GREY = DRAW.integers(0, 256, (7, 11), dtype=np.uint8)


def saved(tmp_path: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    path = tmp_path / name
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def test_colour_and_grey_come_as_they_are(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(COLOUR))
    assert (read_picture(path) == COLOUR).all()
    assert (read_picture(path, Shape(7, 11)) == COLOUR).all()
    path = saved(tmp_path, Image.fromarray(GREY))
    assert (read_picture(path, Shape(7, 11, 1)) == GREY[..., None]).all()
    assert (read_picture(path, Shape(7, 11)) == GREY[..., None]).all(), "the same in all three channels"


def test_colour_to_grey_weighs_as_the_eye_does(tmp_path: Path) -> None:
    grey = read_picture(saved(tmp_path, Image.fromarray(COLOUR)), Shape(7, 11, 1)).astype(float)
    assert abs(grey[..., 0] - COLOUR @ [0.299, 0.587, 0.114]).max() <= 1


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    alpha = DRAW.integers(0, 256, (7, 11, 1), dtype=np.uint8)
    share = alpha / 255
    expected = COLOUR * share + 255 * (1 - share)
    path = saved(tmp_path, Image.fromarray(np.concatenate((COLOUR, alpha), axis=2)))
    assert abs(read_picture(path).astype(float) - expected).max() <= 1.01
    two = Image.fromarray(np.concatenate((GREY[..., None], alpha), axis=2), "LA")
    expected = GREY[..., None] * share + 255 * (1 - share)
    assert abs(read_picture(saved(tmp_path, two)).astype(float) - expected).max() <= 1.01


def test_a_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.new("P", (3, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert read_picture(saved(tmp_path, image))[0].tolist() == [[10, 20, 30], [200, 100, 50], [10, 20, 30]]
    found = read_picture(saved(tmp_path, image, transparency=1))
    assert found[0].tolist() == [[10, 20, 30], [255, 255, 255], [10, 20, 30]]


def test_sixteen_bits_keep_their_proportions(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32768, 65535, 300]], dtype=np.uint16)
    path = saved(tmp_path, Image.fromarray(values))
    with Image.open(path) as image:
        assert image.mode.startswith("I")
    assert read_picture(path, Shape(1, 5, 1))[..., 0].tolist() == [[0, 1, 128, 255, 1]]


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(2, 1, 16, 2, bytes([0]) + bytes([0xFF, 0xFF, 0x80, 0x00, 0, 0, 1, 1, 2, 2, 3, 3])))
    assert read_picture(path).tolist() == [[[255, 128, 0], [1, 2, 3]]]


def test_cmyk_and_one_bit(tmp_path: Path) -> None:
    found = read_picture(saved(tmp_path, Image.new("CMYK", (5, 3), (0, 255, 255, 0)), "a.tif"))
    assert (found == [255, 0, 0]).all()
    assert (read_picture(saved(tmp_path, Image.new("1", (5, 3), 1))) == 255).all()


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, COLOUR),
        (2, COLOUR[:, ::-1]),
        (3, COLOUR[::-1, ::-1]),
        (4, COLOUR[::-1]),
        (5, COLOUR.transpose(1, 0, 2)),
        (6, np.rot90(COLOUR, -1)),
        (7, COLOUR[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(COLOUR)),
        (99, COLOUR),
    ],
)
def test_it_is_turned_as_the_camera_says(tmp_path: Path, orientation: int, seen: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(COLOUR), exif=exif)
    assert (read_picture(path) == seen).all()
    assert (read_picture(path, Shape(*seen.shape[:2])) == seen).all()


def test_broken_notes_do_not_break_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(COLOUR), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert (read_picture(path) == COLOUR).all()


def test_one_pixel_fills_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (1, 1), (9, 80, 200)))
    assert (read_picture(path, Shape(5, 3)) == [9, 80, 200]).all()
    thin = saved(tmp_path, Image.new("RGB", (1, 997), (9, 80, 200)))
    assert (read_picture(thin, Shape(5, 3)) == [9, 80, 200]).all()
    assert read_picture(thin, Shape(5, 3, fit="letterbox")).shape == (5, 3, 3)


def test_crop_keeps_the_middle_and_letterbox_the_whole(tmp_path: Path) -> None:
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, :4], wide[:, 4:8], wide[:, 8:] = 50, 100, 200
    path = saved(tmp_path, Image.fromarray(wide))
    assert (read_picture(path, Shape(4, 4)) == 100).all()
    kept = read_picture(path, Shape(12, 12, fit="letterbox"))
    assert (kept[4:8] == wide).all()
    assert (kept[:4] == 255).all() and (kept[8:] == 255).all()


def test_fifty_megapixels_are_made_small(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("L", (10_000, 5_000), 77), "large.jpg")
    assert (read_picture(path, Shape(8, 8, 1)) == 77).all()


def test_what_unpacks_to_more_than_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    for side in (10_001, 60_000):  # at the limit of this package, and beyond that of pillow
        path.write_bytes(png(side, side, 8, 0, b""))
        with pytest.raises(UsageError, match=r"bomb\.png is larger than 100 megapixels"):
            read_picture(path, Shape(8, 8))


def png(width: int, height: int, bits: int, kind: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, kind, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "tiff", "webp"])
def test_a_picture_cut_off_anywhere_is_one_sentence(tmp_path: Path, form: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(DRAW.integers(0, 256, (61, 53, 3), dtype=np.uint8)).save(whole, form)
    content, path = whole.getvalue(), tmp_path / f"cut.{form}"
    for end in (1, 11, len(content) // 3, len(content) // 2, len(content) * 3 // 4):
        path.write_bytes(content[:end])
        with pytest.raises(UsageError, match=rf"cut\.{form} is (no|a broken) picture") as raised:
            read_picture(path, Shape(8, 8))
        assert "\n" not in str(raised.value)


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    for form in ("png", "jpeg", "gif", "tiff"):
        whole = io.BytesIO()
        Image.fromarray(COLOUR).save(whole, form)
        for _ in range(60):
            damaged = bytearray(whole.getvalue())
            for place in DRAW.integers(0, len(damaged), 4):
                damaged[place] = DRAW.integers(0, 256)
            path.write_bytes(damaged)
            try:
                assert read_picture(path, Shape(5, 3)).shape == (5, 3, 3)
            except UsageError as error:
                assert str(path) in str(error)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x00" * 500])
def test_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.png is no picture that can be read"):
        read_picture(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.png does not exist"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(UsageError, match="is a folder"):
        read_picture(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_picture("a\0b.png")
    path = saved(tmp_path, Image.new("F", (3, 2)), "a.tif")
    with pytest.raises(UsageError, match="32 bits a channel"):
        read_picture(path)


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"pip install 'regard\[vision\]'"):
        read_picture("a.png")


@pytest.mark.parametrize(
    ("sides", "wrong"), [((0, 3), "1×1"), ((3, 3, 4), "3 channels"), ((3, 3, 1, "fill"), "'fill'")]
)
def test_an_impossible_shape(sides: tuple, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        Shape(*sides)


def test_pictures_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [saved(tmp_path, Image.fromarray(COLOUR), "a.png"), saved(tmp_path, Image.fromarray(GREY), "b.png")]
    folder = tmp_path / "cache" / "pictures"
    made = build_pictures(paths, folder, Shape(7, 11))
    assert made.shape == (2, 7, 11, 3)
    assert (made[0] == COLOUR).all() and (made[1] == GREY[..., None]).all()

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(images, "read_picture", refuse)
        assert (build_pictures(paths, folder, Shape(7, 11)) == made).all()
        with pytest.raises(AssertionError):
            build_pictures(paths[::-1], folder, Shape(7, 11))
    grey = build_pictures(paths, folder, Shape(7, 11, 1)).copy()
    assert (grey[1, ..., 0] == GREY).all()
    (folder / "pixels.bin").write_bytes(b"cut")
    assert pictures_made_of(folder) is None
    assert (build_pictures(paths, folder, Shape(7, 11, 1)) == grey).all()


def test_a_picture_that_changes_is_decoded_again(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("L", (3, 5), 10))
    assert (build_pictures([path], tmp_path / "cache", Shape(5, 3, 1)) == 10).all()
    saved(tmp_path, Image.new("L", (3, 5), 20))
    assert (build_pictures([path], tmp_path / "cache", Shape(5, 3, 1)) == 20).all()


def test_a_broken_picture_leaves_nothing_half_written(tmp_path: Path) -> None:
    good = saved(tmp_path, Image.fromarray(COLOUR))
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    before = build_pictures([good], tmp_path / "cache" / "p", Shape(7, 11)).copy()
    with pytest.raises(UsageError, match=r"bad\.png"):
        build_pictures([good, bad], tmp_path / "cache" / "p", Shape(7, 11))
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["p"]
    assert (build_pictures([good], tmp_path / "cache" / "p", Shape(7, 11)) == before).all()
    for path, wrong in ((tmp_path / "gone.png", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(UsageError, match=wrong):
            build_pictures([good, path], tmp_path / "other", Shape(7, 11))
    (tmp_path / "file").write_text("")
    with pytest.raises(RegardError, match="cannot be written"):
        build_pictures([good], tmp_path / "file" / "p", Shape(7, 11))


def test_arrays_of_pictures(tmp_path: Path) -> None:
    path, digits = tmp_path / "digits.npz", DRAW.integers(0, 256, (5, 3, 7), dtype=np.uint8)
    np.savez_compressed(path, images=digits, labels=np.arange(5, dtype=np.uint8))
    found, labels = read_npz(path)
    assert (found[..., 0] == digits).all() and found.shape == (5, 3, 7, 1)
    assert labels is not None and labels.tolist() == [0, 1, 2, 3, 4] and labels.dtype == np.int64
    np.savez(path, images=digits[..., None])
    assert read_npz(path)[1] is None


def test_arrays_that_are_none(tmp_path: Path) -> None:
    path, digits = tmp_path / "a.npz", DRAW.integers(0, 256, (5, 3, 7), dtype=np.uint8)

    def refused(wrong: str, **arrays: np.ndarray) -> None:
        if arrays:
            np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=wrong):
            read_npz(path)

    refused("does not exist")
    refused("no array 'images': it has pixels", pixels=digits)
    refused("float64", images=digits / 255)
    refused(r"\[5, 21\]", images=digits.reshape(5, 21))
    refused("labels are", images=digits, labels=np.arange(4))
    refused("labels are", images=digits, labels=np.arange(5) / 2)
    refused("is no .npz file", images=np.array([None]))
    np.savez_compressed(path, images=digits)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text", whole[:60] + b"\0\0\0\0" + whole[64:]):
        path.write_bytes(content)
        refused("is no .npz file")
    np.save(tmp_path / "b.npy", digits)
    path.write_bytes((tmp_path / "b.npy").read_bytes())
    refused("is no .npz file")
    with pytest.raises(UsageError, match="is a folder"):
        read_npz(tmp_path)


@pytest.mark.parametrize("form", ["gif", "webp", "png"])
def test_of_a_moving_picture_the_first_frame_is_read_and_said_to_be(tmp_path: Path, form: str) -> None:
    path, shades = tmp_path / f"moving.{form}", (10, 120, 250)
    first, *rest = [Image.new("L", (8, 6), shade) for shade in shades]
    first.save(path, save_all=True, append_images=rest, lossless=True)
    with pytest.warns(MovingPicture, match=r"moving\.\w+ has 3 frames: the first alone is read$"):
        assert (read_picture(path) == 10).all()
    first.save(tmp_path / f"still.{form}")
    read_picture(tmp_path / f"still.{form}")  # a warning would be an error


def test_a_preview_that_a_camera_puts_beside_its_picture_is_no_frame(tmp_path: Path) -> None:
    Image.new("L", (8, 6), 10).save(tmp_path / "a.mpo", save_all=True, append_images=[Image.new("L", (8, 6), 99)])
    assert read_picture(tmp_path / "a.mpo").shape == (6, 8, 3)
