from __future__ import annotations

import random
from math import comb
from typing import Any

import pytest
import sacrebleu
from sacrebleu.metrics.base import Metric as SacreMetric
from sacrebleu.significance import PairedTest

from regard.errors import UsageError
from regard.evaluation import Bleu, Chrf, ItemErrorRate, Metric, Ter, TokenErrorRate, paired_test

choose = random.Random(7)
WORDS = ["ein", "Hund", "läuft", "im", "Park", "und", "bellt", "."]
REFERENCES = [[" ".join(choose.choices(WORDS, k=9))] for _ in range(60)]


def worse(share: float) -> list[str]:
    return [" ".join(w for w in those[0].split() if choose.random() > share) for those in REFERENCES]


A, B = worse(0.10), worse(0.16)


@pytest.mark.parametrize("kind", ["ar", "bs"])
@pytest.mark.parametrize(
    ("metric", "theirs"), [(Bleu(), sacrebleu.BLEU()), (Chrf(), sacrebleu.CHRF()), (Ter(), sacrebleu.TER())]
)
def test_p_values_are_sacrebleus(metric: Metric, theirs: SacreMetric, kind: str) -> None:
    streams = [[those[0] for those in REFERENCES]]
    _, scores = PairedTest([("a", A), ("b", B)], {"X": theirs}, streams, test_type=kind, n_samples=300)()
    theirs_a: Any
    theirs_b: Any
    theirs_a, theirs_b = next(values for name, values in scores.items() if name != "System")
    method = "approximate-randomization" if kind == "ar" else "paired-bootstrap"
    found = paired_test(A, B, REFERENCES, metric, method=method, samples=300, bootstrap=0)
    assert found.p_value == pytest.approx(theirs_b.p_value, abs=1.5 / 301)
    assert found.a.value == pytest.approx(theirs_a.score)
    assert found.difference == pytest.approx(theirs_a.score - theirs_b.score)
    assert f"{kind}:300|seed:12345" in found.signature


@pytest.mark.parametrize("method", ["approximate-randomization", "paired-bootstrap"])
def test_a_system_does_not_differ_from_itself(method: str) -> None:
    for metric in (Bleu(), ItemErrorRate()):
        found = paired_test(A, A, REFERENCES, metric, method=method, samples=200)  # type: ignore[arg-type]
        assert (found.difference, found.p_value) == (0, 1)


def test_randomization_of_errors_is_the_sign_test() -> None:
    """Ten items on which only a is right: a shuffle reaches it when all ten coins agree; exactly p = 2 / 2¹⁰."""
    references = [["x"]] * 30
    a, b = ["x"] * 30, ["y"] * 10 + ["x"] * 20
    found = paired_test(a, b, references, ItemErrorRate(), samples=50_000)
    assert found.p_value == pytest.approx(2 / 2**10, abs=0.0005)
    # Eight for a, two against: at least as uneven are 0, 1, 2, 8, 9 and 10 heads of ten.
    a = ["y"] * 2 + ["x"] * 28
    b = ["x"] * 2 + ["y"] * 8 + ["x"] * 20
    found = paired_test(a, b, references, ItemErrorRate(), samples=50_000)
    assert found.difference == pytest.approx(-20)
    assert found.p_value == pytest.approx(2 * sum(comb(10, k) for k in range(3)) / 2**10, abs=0.01)


def test_the_result_tells_its_scores() -> None:
    found = paired_test(A, B, REFERENCES, TokenErrorRate(name="PER"), samples=99)
    assert found.to_json()["a"]["name"] == "PER"
    assert found.samples == 99
    assert str(found).startswith(f"PER {found.a.value:.1f} [")
    assert "p = " in str(found)


def test_exchanging_the_systems_turns_the_sign_only() -> None:
    one, other = paired_test(A, B, REFERENCES, Bleu(), samples=500), paired_test(B, A, REFERENCES, Bleu(), samples=500)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value, abs=0.05)


def test_wrong_use() -> None:
    with pytest.raises(UsageError, match="59 hypotheses but references for 60"):
        paired_test(A, B[1:], REFERENCES, Bleu())
    with pytest.raises(UsageError, match="method is 'bootstrap'"):
        paired_test(A, B, REFERENCES, Bleu(), method="bootstrap")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 1 sample"):
        paired_test(A, B, REFERENCES, Bleu(), samples=0)
