from __future__ import annotations

import pytest
import torch

from regard.training.losses import SLICE_ELEMENTS, linear_cross_entropy, reference_linear_cross_entropy


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("positions", [1, 7, 131])
def test_equals_the_plain_formula_in_value_and_every_gradient(positions: int, smoothing: float, bias: bool) -> None:
    torch.manual_seed(0)
    size, vocabulary = 11, SLICE_ELEMENTS // 65  # three slices of the 131
    results = []
    for run in (linear_cross_entropy, reference_linear_cross_entropy):
        torch.manual_seed(1)
        features = torch.randn(positions, size, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(vocabulary, size, dtype=torch.float64, requires_grad=True)
        b = torch.randn(vocabulary, dtype=torch.float64, requires_grad=True) if bias else None
        labels = torch.randint(vocabulary, (positions,))
        total, likelihood = run(features, weight, b, labels, smoothing)
        (total * 0.37).backward()
        results.append([total, likelihood, features.grad, weight.grad, *([] if b is None else [b.grad])])
        assert not likelihood.requires_grad
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


def test_by_hand() -> None:
    """Two classes with logits 0 and ln 3: probabilities ¼ and ¾."""
    features, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]]).log().nan_to_num(neginf=0.0)
    total, likelihood = linear_cross_entropy(features, weight, None, torch.tensor([0]), 0.2)
    assert float(likelihood) == pytest.approx(torch.tensor(4.0).log().item())
    # 0.8 ln 4 + 0.2 (ln 4 + ln 4/3) / 2
    assert float(total) == pytest.approx(0.9 * 1.3862944 + 0.1 * 0.2876821)


def test_bf16_is_near_and_used_under_autocast() -> None:
    torch.manual_seed(0)
    features, weight, labels = torch.randn(50, 32), torch.randn(70, 32), torch.randint(70, (50,))
    exact = reference_linear_cross_entropy(features, weight, None, labels, 0.1)[0]
    with torch.autocast("cpu", torch.bfloat16):
        low = linear_cross_entropy(features, weight, None, labels, 0.1)[0]
    assert float(low) != float(exact)
    assert float(low) == pytest.approx(float(exact), rel=1e-2)


def test_without_gradients_nothing_is_kept() -> None:
    with torch.inference_mode():
        total, likelihood = linear_cross_entropy(torch.randn(3, 4), torch.randn(5, 4), None, torch.tensor([0, 1, 4]))
    torch.testing.assert_close(total, likelihood)
