"""Questions read from both layouts, batches in an order of their own, and drawn scenes read back from their pixels."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch

from regard.batch import EOS
from regard.data.labels import Labels
from regard.data.questions import QuestionBatches, held_out, read_questions
from regard.data.relational import COLOURS, KINDS, RELATIONAL, generate
from regard.errors import RegardError, UsageError

DRAW = np.random.default_rng(0)
PICTURES = DRAW.integers(0, 256, (11, 5, 7, 3), dtype=np.uint8)
ASKED = [(int(DRAW.integers(0, 11)), DRAW.integers(4, 50, n).tolist()) for n in DRAW.poisson(5, 103)]
ANSWERS = DRAW.integers(0, 5, 103).tolist()


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_lines_and_the_list_of_easy_vqa_say_the_same(tmp_path: Path) -> None:
    asked = [("is it red? ", "yes", 7), ("how many?", "3", 2), ("what shape?", "circle", 7)]
    (tmp_path / "images").mkdir()
    for number in (2, 7):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"")
    lines = write_lines(
        tmp_path / "asked.jsonl", *({"image": f"{i}.png", "question": q, "answer": a} for q, a, i in asked)
    )
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    for path in (lines, tmp_path, tmp_path / "questions.json"):
        found = read_questions(path)
        assert found.files == [tmp_path / "images" / "7.png", tmp_path / "images" / "2.png"]
        assert [(row.line, row.picture, row.text, row.answer, row.kind) for row in found.rows] == [
            (1, 0, "is it red?", "yes", "yes/no"),
            (2, 1, "how many?", "3", "number"),
            (3, 0, "what shape?", "circle", "other"),
        ]
        assert Labels.of(found.labelled).names == ("3", "circle", "yes")


def test_answers_may_be_unknown_where_none_are_needed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "asked.jsonl", {"image": "a.png", "question": "what?"})
    assert read_questions(path, answered=False).rows[0].answer == ""
    with pytest.raises(UsageError, match='line 1: "answer" is missing: write "answer": "…"'):
        read_questions(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", r"questions.json is not JSON"),
        ("{}", r"is no list of questions: write \["),
        ("[]", r"is no list of questions"),
        ('[["what?", "yes", 1], ["what?", "no"]]', r"item 2 is no question: write \["),
        ('[["what?", "yes", "1"]]', "item 1 is no question"),
        ('[["what?", "yes", true]]', "item 1 is no question"),
        ('[["what?", " ", 1]]', "item 1 is no question"),
        ('[["what?", "r\\ud800ed", 1]]', "item 1: the answer holds half of a surrogate pair"),
        ('[["wh\\u0000at?", "red", 1]]', "item 1: the question holds the character NUL: leave it out"),
    ],
)
def test_a_broken_list_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "questions.json").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_questions(tmp_path)


def test_the_wrong_place_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no questions\.json: give a folder with"):
        read_questions(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "questions.json").write_text("[]")
    with pytest.raises(UsageError, match=r"give its folder train, or a \.jsonl file"):
        read_questions(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        read_questions(tmp_path / "none.json")


def test_held_out_pictures_are_never_trained_on() -> None:
    questions = generate(13, 1, size=26)[1]
    rest, held = held_out(questions, 0.2, seed=3)
    assert len({row.picture for row in held.rows}) == 3
    assert not {row.picture for row in held.rows} & {row.picture for row in rest.rows}
    assert sorted(rest.rows + held.rows, key=lambda row: row.line) == questions.rows
    assert held_out(questions, 0.2, seed=3)[1].rows == held.rows != held_out(questions, 0.2, seed=4)[1].rows
    with pytest.raises(RegardError, match="one picture only: give more"):
        held_out(generate(1, 1, size=26)[1], 0.5, seed=0)


def test_every_question_comes_once_with_its_picture() -> None:
    seen = []
    for batch in QuestionBatches(PICTURES, ASKED, ANSWERS, 17, seed=1).epoch(0):
        assert batch.images.dtype == torch.uint8 and batch.target_tokens == len(batch) <= 17
        for i, row in enumerate(batch.rows.tolist()):
            picture, ids = ASKED[row]
            seen.append(row)
            assert (batch.images[batch.picture[i]].numpy() == PICTURES[picture]).all()
            assert batch.source[i, : batch.source_lengths[i]].tolist() == [*ids, EOS]
            assert batch.labels[i] == ANSWERS[row]
        assert len(batch.images) == len({ASKED[row][0] for row in batch.rows.tolist()})  # each once
    assert sorted(seen) == list(range(103)) != seen


def test_questions_about_a_picture_come_together_but_not_all_of_them() -> None:
    def runs(per_picture: int) -> list[int]:
        batches = QuestionBatches(PICTURES, ASKED, ANSWERS, 17, seed=1, per_picture=per_picture)
        rows = [row for batch in batches.epoch(0) for row in batch.rows.tolist()]
        assert sorted(rows) == list(range(103))
        assert rows != [row for batch in batches.epoch(1) for row in batch.rows.tolist()]
        return [len(list(those)) for _, those in groupby(rows, key=lambda row: ASKED[row][0])]

    asked = Counter(picture for picture, _ in ASKED)
    # Two groups of one picture may stand side by side by chance, so there may be fewer runs than groups.
    groups = sum(-(-count // 3) for count in asked.values())
    assert groups - 8 <= len(runs(3)) <= groups
    assert len(runs(1)) > 80 and sorted(runs(99)) == sorted(asked.values())


def test_seed_and_epoch_decide_and_a_start_skips() -> None:
    def told(seed: int, epoch: int, start: int = 0, shuffle: bool = True) -> list[list[int]]:
        batches = QuestionBatches(PICTURES, ASKED, ANSWERS, 17, seed, shuffle=shuffle)
        found = [batch.rows.tolist() for batch in batches.epoch(epoch, start)]
        assert batches.count(epoch) == len(found) + start == 7
        return found

    assert told(1, 0) == told(1, 0) != told(1, 1)
    assert told(1, 0) != told(2, 0)
    assert told(1, 3, start=5) == told(1, 3)[5:]
    assert [row for rows in told(1, 0, shuffle=False) for row in rows] == list(range(103))


def test_misuse_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="at least 1 question, and 1 of a picture, not 5 and 0"):
        QuestionBatches(PICTURES, ASKED, ANSWERS, 5, seed=1, per_picture=0)
    with pytest.raises(ValueError, match="there are 103 and 102"):
        QuestionBatches(PICTURES, ASKED, ANSWERS[1:], 5, seed=1)
    with pytest.raises(ValueError, match="name pictures 0 to 10 of 10"):
        QuestionBatches(PICTURES[1:], ASKED, ANSWERS, 5, seed=1)


# --- drawn scenes ---------------------------------------------------------------------------------------------------


def seen_in(picture: np.ndarray) -> dict[str, tuple[str, float, float]]:
    """What a reader who knows only the colours sees: each one's shape, row and column."""
    found = {}
    for name, colour in COLOURS.items():
        rows, columns = np.nonzero((picture == colour).all(axis=-1))
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert tall == wide
        full = len(rows) / (tall * wide)
        shape = "square" if full == 1 else "circle" if full > 0.7 else "triangle"
        found[name] = shape, (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    return found


def answered(text: str, things: dict[str, tuple[str, float, float]], size: int) -> str:
    """The answer that a reader of the question would give."""
    words = text.removesuffix("?").split()
    named = [word for word in words if word in COLOURS]
    shape, row, column = things[named[0]]
    if "many" in words:
        return str(sum(other[0] == shape for other in things.values()))
    if "nearest" in words or "furthest" in words:
        choose = min if "nearest" in words else max
        others = [thing for name, thing in things.items() if name != named[0]]
        return choose(others, key=lambda thing: (thing[1] - row) ** 2 + (thing[2] - column) ** 2)[0]
    if len(named) == 2:
        return "yes" if column < things[named[1]][2] else "no"
    if "left" in words:
        return "yes" if 2 * column < size - 1 else "no"
    if "top" in words:
        return "yes" if 2 * row < size - 1 else "no"
    return shape


@pytest.mark.parametrize("size", [26, 64, 83])
def test_a_reader_of_the_pictures_gives_the_same_answers(size: int) -> None:
    pixels, questions = generate(59, 5, size=size)
    assert pixels.shape == (59, size, size, 3)
    things = [seen_in(picture) for picture in pixels]
    for row in questions.rows:
        assert row.answer == answered(row.text, things[row.picture], size), row
    assert [row.line for row in questions.rows] == list(range(1, len(questions.rows) + 1))


def test_a_picture_follows_from_seed_and_number() -> None:
    pixels, questions = generate(7, 3)
    fewer, some = generate(4, 3)
    assert (pixels[:4] == fewer).all() and [r for r in questions.rows if r.picture < 4] == some.rows
    assert (generate(4, 4)[0] != fewer).any()


def test_every_kind_is_asked_and_no_answer_is_a_safe_guess() -> None:
    questions = generate(601, 11)[1]
    assert set(RELATIONAL) < set(KINDS)
    for kind in KINDS:
        answers = Counter(row.answer for row in questions.rows if row.kind == kind)
        assert answers.total() > 570, kind
        assert max(answers.values()) / answers.total() < (0.6 if "yes" in answers else 0.45), kind


@pytest.mark.parametrize(
    ("count", "seed", "size", "sentence"),
    [(0, 1, 64, "0 pictures cannot"), (3, -1, 64, "seed is -1"), (3, 1, 25, "no room on 25×25 pixels: give 26")],
)
def test_what_cannot_be_drawn_is_refused(count: int, seed: int, size: int, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        generate(count, seed, size=size)
