"""Lines of JSON that name pictures, each with its captions, or with a question and its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from regard.data.characters import check_characters
from regard.data.images import NAMED, PictureError
from regard.data.json_lines import parse_object
from regard.data.reader import is_pipe, raw_lines
from regard.errors import UsageError


@dataclass(frozen=True, slots=True)
class PictureLine:
    """A line of a JSONL file about a picture: its captions, or a question with its answer."""

    line: int  # from 1, as in an editor
    image: Path
    captions: tuple[str, ...] = ()
    question: str = ""
    answer: str = ""


def read_picture_lines(
    path: Path | str,
    needs: Sequence[Literal["captions", "question", "answer"]] = ("captions",),
    *,
    split: str | None = None,
) -> Iterator[PictureLine]:
    """Lines `{"image": …, "captions": […]}`, or `"caption": …`, or `"question": …, "answer": …`.

    A picture's path counts from the file's folder, or from a folder `images` in it. With `split`, lines whose key
    "split" says something else are passed over. Empty lines are, too. UsageError names the line and what it lacks.
    """
    path, found = Path(path), False
    for number, line in enumerate(raw_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_object(line, where, 'is no object: write {"image": "…", …}')
        if split is not None and row.get("split", split) != split:
            continue
        found = True
        texts = {key: _text(row, key, where) for key in needs if key != "captions"}
        captions = _captions(row, where) if "captions" in needs else ()
        yield PictureLine(number, picture_beside(path, _text(row, "image", where), where), captions, **texts)
    if not found:
        of = "" if split is None else f' with "split": "{split}"'
        raise UsageError(f"{path} has no line{of}: give one picture a line")


@contextmanager
def naming_lines(*files: Path | str | None, places: Mapping[Path, str] | None = None) -> Iterator[None]:
    """While pictures are read that stand in JSONL files: one that cannot be read is told with its file and line.
    `places` has those of pictures that stand in another list."""
    try:
        yield
    except PictureError as error:
        named = (places or {}).get(error.path)
        known = (named, *(_line_of(error.path, file) for file in files if named is None))
        where = next((f"{place}: " for place in known if place is not None), "")
        raise PictureError(error.path, f"{where}{error}") from error


def _line_of(picture: Path, file: Path | str | None) -> str | None:
    if file is None or is_pipe(file) or Path(file).suffix.lower() == ".json":  # whose items say the picture's number
        return None
    try:
        lines = (line.line for line in read_picture_lines(file, ()) if line.image == picture)
        number = next(lines, None)
    except UsageError:  # of a line that was not asked for
        return None
    return None if number is None else f"{file}, line {number}"


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        wrong = "is missing" if key not in row else "is empty" if isinstance(value, str) else "is no text"
        raise UsageError(f'{where}: "{key}" {wrong}: write "{key}": "…"')
    if key != "image":
        check_characters(value, f'{where}: "{key}"')
    return value


def _captions(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    if "captions" not in row and "caption" in row:
        return (_text(row, "caption", where),)
    value = row.get("captions")
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each.strip() for each in value):
        wrong = (
            "is missing" if "captions" not in row else "is empty" if value == [] else "is no list of texts, none empty"
        )
        raise UsageError(f'{where}: "captions" {wrong}: write "captions": ["…", "…"]')
    for each in value:
        check_characters(each, f'{where}: "captions"')
    return tuple(value)


def picture_beside(file: Path, name: str, where: str) -> Path:
    """The picture that a line of `file` names: beside it, or in a folder `images` there; of a pipe, which stands nowhere,
    from where the command is given. UsageError, which begins with `where`, for a name that the system refuses to look
    for."""
    if is_pipe(file):
        file = Path(file.name)
    beside, within = file.parent / name, file.parent / "images" / name
    try:
        return within if not beside.exists() and within.exists() else beside
    except OSError as error:  # too long, or in a folder that may not be read
        shown = name if len(name) <= NAMED else f"{name[:NAMED]}…"
        raise UsageError(f"{where}: {shown} cannot be read ({error.strerror}): check the picture's name") from error
