from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import UsageError
from regard.evaluation import (
    AlignmentErrorRate,
    Gold,
    Links,
    alignment_scores,
    grow_diag,
    grow_diag_final,
    grow_diag_final_and,
    intersection,
    parse_gold,
    parse_links,
    read_gold,
    read_links,
    symmetrise,
    union,
    write_links,
)

HEURISTICS = ("intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and")
cells = [(source, target) for source in range(7) for target in range(5)]
links = st.frozensets(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=13)
golds = st.tuples(links, links).map(lambda two: Gold(two[0], two[0] | two[1]))
sentences = st.lists(st.tuples(links, golds), min_size=1, max_size=5)


def of(line: str) -> Links:
    """Digits make links: "00 12" is {(0, 0), (1, 2)}."""
    return frozenset((int(pair[0]), int(pair[1])) for pair in line.split())


def refused(error: pytest.ExceptionInfo[UsageError], *parts: str) -> None:
    """The message holds the parts and is one sentence in one line."""
    message = str(error.value)
    assert all(part in message for part in parts), message
    assert message.endswith(".") and ". " not in message and "\n" not in message


# Reading and writing


def test_a_pharaoh_line() -> None:
    assert parse_links("0-0 1-2\t10-3  1-2 ", "f", 1) == {(0, 0), (1, 2), (10, 3)}
    assert parse_links("", "f", 1) == parse_links("  \r", "f", 1) == frozenset()
    assert parse_links("1-1 2-3", "f", 1, offset=1) == {(0, 0), (1, 2)}
    assert parse_links("1-1 2-3", "f", 1, offset=1, reverse=True) == {(0, 0), (2, 1)}


def test_a_gold_line_has_sure_and_possible_links() -> None:
    found = parse_gold("1-1 2p3 3p2 3-2", "f", 1, offset=1)
    assert found == Gold(sure=of("00 21"), possible=of("00 12 21"))
    assert parse_gold("1-1 2p3", "f", 1, offset=1, reverse=True) == Gold(of("00"), of("00 21"))
    assert parse_gold("", "f", 1) == Gold(frozenset(), frozenset())


def test_possible_holds_sure() -> None:
    with pytest.raises(ValueError, match="sure links 1-2 are missing"):
        Gold(of("00 12"), of("00 01"))


@given(links)
def test_what_is_written_is_read(some: Links) -> None:
    line = write_links(some)
    assert parse_links(line, "f", 1) == some
    assert [tuple(map(int, token.split("-"))) for token in line.split()] == sorted(some)


def test_numbers_are_sorted_as_numbers() -> None:
    assert write_links(frozenset({(10, 0), (2, 11), (2, 3)})) == "2-3 2-11 10-0"


@pytest.mark.parametrize("token", ["3", "3:5", "3-", "a-1", "1–2", "1-2-3", "1P2", "٣-1", "1-2,", "9" * 5000 + "-1"])
def test_a_malformed_token(token: str) -> None:
    for parse in (parse_links, parse_gold):
        with pytest.raises(UsageError) as error:
            parse(f"0-0 {token}", "links.txt", 7)
        refused(error, f"links.txt, line 7: '{token[:40]}' is not a link", "3-5")


def test_a_possible_link_is_no_hypothesis() -> None:
    with pytest.raises(UsageError) as error:
        parse_links("0-0 2p3", "links.txt", 7)
    refused(error, "links.txt, line 7: '2p3'", "write 2-3")


def test_an_index_outside_its_sentence() -> None:
    with pytest.raises(UsageError) as error:
        parse_links("0--2", "f", 3)
    refused(error, "f, line 3: '0--2' names target word -2", "write 0 or more")
    with pytest.raises(UsageError) as error:
        parse_links("0-2", "f", 3, offset=1)
    refused(error, "f, line 3: '0-2' names source word 0", "counts from 1", "one_based=False")
    assert parse_links("2-4", "f", 3, lengths=(3, 5)) == {(2, 4)}
    with pytest.raises(UsageError) as error:
        parse_links("3-4", "f", 3, lengths=(3, 5))
    refused(
        error, "'3-4' names source word 3", "last word of that sentence is 2", "one_based=True", "target word first"
    )
    assert parse_gold("5p3", "f", 3, offset=1, reverse=True, lengths=(3, 5)) == Gold(frozenset(), of("24"))
    with pytest.raises(UsageError) as error:
        parse_gold("6p3", "f", 3, offset=1, reverse=True, lengths=(3, 5))
    refused(error, "'6p3' names target word 6", "sentence is 5", "one_based=False", "source word first (reverse=False)")
    with pytest.raises(UsageError) as error:
        parse_links("0-0", "f", 3, lengths=(3, 0))
    refused(error, "names target word 0", "that sentence is empty")


LENGTHS = [(3, 2), (2, 5), (1, 1)]


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "links.txt"
    path.write_bytes(b"\xef\xbb\xbf0-0 2-1\r\n\r\n0-0")
    expected = [of("00 21"), of(""), of("00")]
    assert read_links(path) == read_links(path, LENGTHS) == expected
    path.write_text("1-1 2-3\n\n1-1\n", encoding="utf-8")
    assert read_links(str(path), LENGTHS, one_based=True, reverse=True) == [of("00 21"), of(""), of("00")]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"0-0\n1-1\n")))
    assert read_links("-") == [of("00"), of("11")]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(UsageError) as error:
        read_links("-")
    refused(error, "standard input is empty")


def test_the_gold_file_tells_what_it_counts_from(tmp_path: Path) -> None:
    path = tmp_path / "gold.txt"
    # The last word of the second target sentence is its fifth.
    path.write_text("1-1 2p1\n2-5\n\n", encoding="utf-8")
    assert read_gold(path, LENGTHS) == [Gold(of("00"), of("00 10")), Gold(of("14"), of("14")), Gold(of(""), of(""))]
    turned = [(target, source) for source, target in LENGTHS]
    assert [those.possible for those in read_gold(path, turned, reverse=True)] == [of("00 01"), of("41"), of("")]
    path.write_text("1-1 2p1\n1p4\n0-0\n", encoding="utf-8")
    assert [those.possible for those in read_gold(path, LENGTHS)] == [of("11 21"), of("14"), of("00")]
    # One 0 tells, on either side.
    for line, expected in (("0-2 3-1", "02 31"), ("2-0 1-3", "20 13")):
        path.write_text(line, encoding="utf-8")
        assert read_gold(path, [(4, 4)])[0].sure == of(expected)
    path.write_text("\n\n\n", encoding="utf-8")
    assert read_gold(path, LENGTHS) == [Gold(of(""), of(""))] * 3


def test_a_gold_file_that_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "gold.txt"
    path.write_text("1-1 2p1\n1-3\n\n", encoding="utf-8")
    lengths = [(4, 2), (2, 5), (1, 1)]
    with pytest.raises(UsageError) as error:
        read_gold(path, lengths)
    refused(error, "gold.txt does not tell", "one_based=False or one_based=True")
    assert [those.sure for those in read_gold(path, lengths, one_based=False)] == [of("11"), of("13"), of("")]
    assert [those.sure for those in read_gold(path, lengths, one_based=True)] == [of("00"), of("02"), of("")]


@pytest.mark.parametrize("read", [read_links, read_gold])
def test_a_bad_file(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "links.txt"
    path.write_text("0-0\n1-1\n", encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read(path, LENGTHS)
    refused(error, "links.txt are 2", "the sentences are 3", "one line for each sentence")
    path.write_text("0-0\n1-1\n0-0 1-0\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"links.txt, line 3: '1-0' names source word 1"):
        read(path, LENGTHS)
    if read is read_gold:  # one that counts from 1, but for a link
        path.write_text("3-2\n2-5 0-1\n1-1\n", encoding="utf-8")
        with pytest.raises(UsageError, match=r"links.txt, line 2: '0-1' names source word 0"):
            read(path, LENGTHS)
    path.write_bytes(b"0-0\n0-\xff\n0-0\n")
    with pytest.raises(UsageError, match=r"links.txt, line 2, byte 3 is not UTF-8"):
        read(path, LENGTHS)
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"links.txt is empty"):
        read(path, LENGTHS)
    with pytest.raises(UsageError, match=r"nowhere.txt does not exist"):
        read(tmp_path / "nowhere.txt", LENGTHS)


# Two directions as one


def dense(forward: Links, backward: Links, final: bool, both: bool) -> set[tuple[int, int]]:
    """Koehn's pseudocode over the whole matrix, target ("English") words outside."""
    found = set(forward & backward)
    sources, targets = range(7), range(5)
    near = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]

    def free(source: int, target: int) -> list[bool]:
        return [all(s != source for s, _ in found), all(t != target for _, t in found)]

    before = -1
    while before < len(found):
        before = len(found)
        for t in targets:
            for s in sources:
                if (s, t) not in found:
                    continue
                for dt, ds in near:
                    new = (s + ds, t + dt)
                    if new in forward | backward and any(free(*new)):
                        found.add(new)
    for direction in (forward, backward) if final else ():
        for t in targets:
            for s in sources:
                if (s, t) in direction and (all if both else any)(free(s, t)):
                    found.add((s, t))
    return found


@settings(max_examples=200, deadline=None)
@given(links, links)
def test_growing_is_koehns_pseudocode(forward: Links, backward: Links) -> None:
    assert grow_diag(forward, backward) == dense(forward, backward, False, False)
    assert grow_diag_final(forward, backward) == dense(forward, backward, True, False)
    assert grow_diag_final_and(forward, backward) == dense(forward, backward, True, True)


def test_growing_visits_in_moses_order() -> None:
    """Where links stand close, which of them comes first decides; hypothesis rarely draws so many."""
    choose = random.Random(11)
    for _ in range(300):
        forward, backward = (frozenset(choose.sample(cells, k=11)) for _ in range(2))
        for function, final, both in (
            (grow_diag, False, False),
            (grow_diag_final, True, False),
            (grow_diag_final_and, True, True),
        ):
            assert function(forward, backward) == dense(forward, backward, final, both)


def test_koehns_example_by_hand() -> None:
    """Maria no daba una bofetada a la bruja verde . / Mary did not slap the green witch .

    Forward, each English word has one Spanish word ("did" has "a", and the stop none). Backward, "daba", "una" and
    "bofetada" are "slap", "a" and "la" are "the". Beside the agreed links lie una-slap (next to bofetada-slap),
    daba-slap (across from no-not) and a-the (next to la-the). Far from all are a-did, of which only "did" is
    without a link, and the stops, which both are.
    """
    forward = of("00 51 12 43 64 85 76")
    backward = of("00 12 23 33 43 54 64 76 85 97")
    agreed = of("00 12 43 64 85 76")
    assert intersection(forward, backward) == agreed
    assert union(forward, backward) == agreed | of("51 23 33 54 97")
    assert grow_diag(forward, backward) == agreed | of("23 33 54")
    assert grow_diag_final(forward, backward) == agreed | of("23 33 54 51 97")
    assert grow_diag_final_and(forward, backward) == agreed | of("23 33 54 97")


def test_growth_goes_on_from_what_it_added_and_leaps_no_gap() -> None:
    chain = of("00 11 22 33 44")
    for seed in ("00", "22", "44"):
        assert grow_diag(chain, of(seed)) == chain
    assert grow_diag(of("00 22"), of("00")) == of("00")
    # 0-1 and 1-0 touch 0-0 and 1-1, but reach no new word.
    assert grow_diag(of("00 11 01"), of("00 11 10")) == of("00 11")
    assert grow_diag(frozenset(), frozenset()) == frozenset()


def test_forward_comes_first_in_the_end() -> None:
    assert grow_diag_final_and(of("01"), of("03")) == of("01")
    assert grow_diag_final_and(of("03"), of("01")) == of("03")
    assert grow_diag_final(of("01"), of("03")) == of("01 03")


@settings(max_examples=200, deadline=None)
@given(links, links)
def test_what_every_heuristic_keeps(forward: Links, backward: Links) -> None:
    for name in HEURISTICS:
        assert forward & backward <= symmetrise(forward, backward, name) <= forward | backward
        assert symmetrise(forward, forward, name) == forward
    grown = symmetrise(forward, backward, "grow-diag")
    final = symmetrise(forward, backward, "grow-diag-final")
    final_and = symmetrise(forward, backward)
    assert grown <= final_and and grown <= final
    # FINAL-AND adds links between words without any, each of them once.
    added = final_and - grown
    taken = ({s for s, _ in grown}, {t for _, t in grown})
    assert all(s not in taken[0] and t not in taken[1] for s, t in added)
    assert len({s for s, _ in added}) == len({t for _, t in added}) == len(added)
    # And nothing is left to add: a link outside has one end taken, after FINAL both.
    assert all(any(s == x or t == y for x, y in final_and) for s, t in forward | backward)
    assert {s for s, _ in final} == {s for s, _ in forward | backward}
    assert {t for _, t in final} == {t for _, t in forward | backward}


def test_an_unknown_heuristic() -> None:
    with pytest.raises(UsageError) as error:
        symmetrise(of("00"), of("00"), "grow")  # type: ignore[arg-type]
    refused(error, "heuristic is 'grow'", "grow-diag-final-and")


# Scores


def test_scores_by_hand() -> None:
    """A∩S: 1 + 1 of 2 + 1 sure; A∩P: 2 + 2 of 3 + 2 links."""
    gold = [parse_gold("1-1 2-2 2p3", "gold", 1, offset=1), parse_gold("1-1 1p2", "gold", 2, offset=1)]
    hypotheses = [parse_links("0-0 1-2 2-0", "out", 1), parse_links("0-0 0-1", "out", 2)]
    found = alignment_scores(hypotheses, gold)
    assert found.aer.value == pytest.approx(100 * (1 - (2 + 4) / (5 + 3)))
    assert found.precision.value == pytest.approx(100 * 4 / 5)
    assert found.recall.value == pytest.approx(100 * 2 / 3)
    assert found.f.value == pytest.approx(100 * 8 / 11)
    assert found.sentences == 2
    assert str(found).startswith("AER 25.0 [") and str(found).endswith("(2 sentences)")
    assert found.to_json()["precision"]["value"] == pytest.approx(80)


def test_perfect_and_hopeless() -> None:
    gold = [Gold(of("00 11"), of("00 11 12"))]
    # Possible links may be there or not.
    for line in ("00 11", "00 11 12"):
        found = alignment_scores([of(line)], gold)
        assert (found.aer.value, found.precision.value, found.recall.value, found.f.value) == (0, 100, 100, 100)
        assert (found.aer.low, found.aer.high) == (0, 0)
    found = alignment_scores([of("01 10 22")], gold)
    assert (found.aer.value, found.precision.value, found.recall.value, found.f.value) == (100, 0, 0, 0)


def test_nothing_to_divide_by() -> None:
    none = frozenset()
    found = alignment_scores([none], [Gold(none, none)], bootstrap=5)
    assert (found.aer.value, found.precision.value, found.recall.value, found.f.value) == (0, 100, 100, 100)
    found = alignment_scores([none], [Gold(of("00"), of("00"))], bootstrap=5)
    assert (found.aer.value, found.precision.value, found.recall.value, found.f.value) == (100, 100, 0, 0)
    found = alignment_scores([of("00")], [Gold(none, none)], bootstrap=5)
    assert (found.aer.value, found.precision.value, found.recall.value, found.f.value) == (100, 0, 100, 0)


def error_rate(pairs: list[tuple[Links, Gold]]) -> float:
    """Och & Ney's formula, link by link."""
    right = total = 0
    for guess, gold in pairs:
        for link in guess:
            right += (link in gold.sure) + (link in gold.possible)
        total += len(guess) + len(gold.sure)
    return 100 * (1 - right / total) if total else 0.0


@settings(max_examples=100, deadline=None)
@given(sentences)
def test_the_error_rate_is_that_of_the_definition(pairs: list[tuple[Links, Gold]]) -> None:
    guesses, gold = [a for a, _ in pairs], [g for _, g in pairs]
    found = alignment_scores(guesses, gold, bootstrap=0)
    assert found.aer.value == pytest.approx(error_rate(pairs), abs=1e-9)
    assert 0 <= found.aer.value <= 100
    assert (found.aer.low, found.aer.high) == (None, None)
    assert AlignmentErrorRate().measure(guesses, gold).value() == found.aer.value
    # Without links that are only possible the error rate is what F lacks to 100.
    found = alignment_scores(guesses, [Gold(g.sure, g.sure) for g in gold], bootstrap=0)
    assert found.aer.value == pytest.approx(100 - found.f.value, abs=1e-9)


def test_confidence_is_that_of_resampled_sentences() -> None:
    draw = np.random.default_rng(3)

    def some(count: int) -> Links:
        return frozenset((int(s), int(t)) for s, t in draw.integers(0, 5, size=(count, 2)))

    pairs = [(some(7), Gold(sure := some(5), sure | some(3))) for _ in range(23)]
    found = alignment_scores([a for a, _ in pairs], [g for _, g in pairs], bootstrap=211, seed=17)
    draws = np.random.default_rng(17).choice(23, size=(211, 23), replace=True)
    values = sorted(error_rate([pairs[i] for i in row]) for row in draws)
    assert found.aer.low == pytest.approx(values[5])
    assert found.aer.high == pytest.approx(values[-6])
    assert values[5] < found.aer.value < values[-6]


def test_the_signature_tells_everything() -> None:
    wide, narrow = Gold(of("00"), of("00 01")), Gold(of("00"), of("00"))
    found = alignment_scores([of("00")] * 2, [narrow, wide])
    assert found.aer.signature == "measure:aer|links:sure+possible|bs:1000|seed:12345"
    found = alignment_scores([of("00")] * 2, [narrow, narrow], bootstrap=0)
    assert found.aer.signature == "measure:aer|links:sure"
    assert len({score.signature for score in (found.aer, found.precision, found.recall, found.f)}) == 4


def test_wrong_use() -> None:
    gold = [Gold(of("00"), of("00"))]
    with pytest.raises(UsageError) as error:
        alignment_scores([of("00")] * 2, gold)
    refused(error, "alignments for 2 sentences but gold links for 1")
    with pytest.raises(UsageError) as error:
        alignment_scores([], [])
    refused(error, "no alignments to score")
    with pytest.raises(UsageError, match="number of resamples is -1"):
        alignment_scores([of("00")], gold, bootstrap=-1)


def test_scores_need_no_torch() -> None:
    """`import regard.evaluation` stays quick."""
    code = "import sys, regard.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
