"""Edits do what they say, to what they name, in every search alike; all else stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard import build
from regard.attention import Attend, Edit, Monotonic, MultiHead, StatefulAttend, attends, capture, steer
from regard.attention.normalizers import sparsemax
from regard.attention.scopes import Causal, LocalPredictive, Window
from regard.attention.scores import Dot, ScaledDot
from regard.attention.steer import heads_of, places
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import recipe_of
from regard.decoding import Constraints, beam_search, greedy, sample
from regard.errors import UsageError
from regard.models import EncoderDecoder

# --- by hand: one query, four keys, the scores ln 1, ln 2, ln 3, ln 4 --------------------------------------------------


def looked(attend: Attend, edits: Sequence[Edit], mask: Tensor | None = None, queries: int = 1) -> list[Any]:
    """The weights of scores ln 1 … ln 4, as the context of an identity shows them, and `capture` sees them."""
    q = torch.ones(1, queries, 1, dtype=torch.float64)
    k = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).log().reshape(1, 4, 1)
    with steer(attend, edits), capture(attend) as seen:
        context = attend(q, k, torch.eye(4, dtype=torch.float64)[None], mask)
    torch.testing.assert_close(seen[""][0], context, rtol=0, atol=0)
    return context[0].tolist() if queries > 1 else context[0, 0].tolist()


@pytest.mark.parametrize(
    ("edits", "weights"),
    [
        ([], [0.1, 0.2, 0.3, 0.4]),
        ([Edit("force", source=[1])], [0, 1, 0, 0]),
        ([Edit("force", source=[0, 2])], [0.25, 0, 0.75, 0]),
        ([Edit("forbid", source=[3])], [1 / 6, 2 / 6, 3 / 6, 0]),
        ([Edit("forbid", source=[0, 1, 2, 3])], [0, 0, 0, 0]),
        ([Edit("bias", source=[0], strength=torch.tensor(4.0).log().item())], [4 / 13, 2 / 13, 3 / 13, 4 / 13]),
        ([Edit("flatten")], [0.25, 0.25, 0.25, 0.25]),
        ([Edit("drop")], [0, 0, 0, 0]),
        ([Edit("forbid", source=[3]), Edit("flatten")], [1 / 3, 1 / 3, 1 / 3, 0]),
        ([Edit("force", source=[1, 3]), Edit("flatten"), Edit("drop", steps=[1])], [0.25, 0.25, 0.25, 0.25]),
        ([Edit("flatten"), Edit("force", source=[1, 3])], [0, 0.5, 0, 0.5]),
        ([Edit("force", source=[1], steps=[7])], [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_each_edit_by_hand(edits: list[Edit], weights: list[float]) -> None:
    assert looked(Attend(Dot()), edits) == pytest.approx(weights, abs=1e-7)


def test_what_padding_hides_stays_hidden() -> None:
    mask = torch.tensor([[[True, True, True, False]]])
    assert looked(Attend(Dot()), [Edit("flatten")], mask) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert looked(Attend(Dot()), [Edit("force", source=[2, 3])], mask) == pytest.approx([0, 0, 1, 0])
    unchanged = [1 / 6, 2 / 6, 3 / 6, 0]
    assert looked(Attend(Dot()), [Edit("force", source=[3])], mask) == pytest.approx(unchanged)


def test_what_is_to_come_stays_hidden_and_a_window_does_not_hold_a_force() -> None:
    [first, second] = looked(Attend(Dot(), scope=Causal()), [Edit("force", where="cross", source=[1])], queries=2)
    assert first == [1, 0, 0, 0] and second == [0, 1, 0, 0]
    [first, second] = looked(Attend(Dot(), scope=Window(0, 1)), [Edit("force", source=[3], steps=[1])], queries=2)
    assert first == pytest.approx([1 / 3, 2 / 3, 0, 0]) and second == [0, 0, 0, 1]
    torch.manual_seed(3)
    attend = Attend(Dot(), scope=LocalPredictive(1, 1)).double()
    assert looked(attend, [Edit("force", source=[0])]) == [1, 0, 0, 0]
    assert looked(attend, [Edit("forbid", source=[0, 1, 2, 3])]) == [0, 0, 0, 0]


def test_what_a_force_gives_to_weightless_positions_is_even() -> None:
    scores = Attend(Dot(), normalize=sparsemax)  # ln 4 - ln 3 < 1, ln 4 - ln 1 > 1: the first has no weight
    assert looked(scores, [])[0] == 0
    assert looked(scores, [Edit("force", source=[0])]) == [1, 0, 0, 0]
    # Forbidding acts before the normalizer, so that another word takes the place of the one it looked at alone.
    assert looked(scores, [Edit("forbid", source=[1, 2, 3])]) == [1, 0, 0, 0]


# --- heads -------------------------------------------------------------------------------------------------------------


def test_a_dropped_head_is_one_whose_outputs_are_multiplied_by_zero() -> None:
    model, x = MultiHead(15, 5).double(), torch.randn(2, 7, 15, dtype=torch.float64)
    with steer(model, [Edit("drop", heads=[1, 4])]):
        out = model(x)[0]
    model.output.weight.data[:, 3:6] = 0
    model.output.weight.data[:, 12:15] = 0
    torch.testing.assert_close(out, model(x)[0])


def test_only_the_chosen_head_and_step_change() -> None:
    model, x = MultiHead(15, 5), torch.randn(2, 7, 15)
    with capture(model) as before:
        model(x)
    with steer(model, [Edit("flatten", heads=[3], steps=[0, 6])]), capture(model) as after:
        model(x)
    was, now = before["attend"][0], after["attend"][0]
    chosen = torch.zeros(5, 7, 1, dtype=torch.bool)
    chosen[3, [0, 6]] = True
    assert torch.equal(torch.where(chosen, torch.tensor(1 / 7), was), now)


# --- whole models ------------------------------------------------------------------------------------------------------

RECURRENT: dict[str, Any] = {"kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0}
TRANSFORMER: dict[str, Any] = {
    "kind": "transformer", "dim": 12, "heads": 3, "feed_forward": 20, "encoder_layers": 2, "decoder_layers": 2,
}  # fmt: skip
MODELS = {
    "transformer": TRANSFORMER,
    "relative": TRANSFORMER | {"positions": "relative", "reach": 2},
    "grouped": TRANSFORMER | {"heads": 6, "kv_heads": 2, "positions": "rotary"},
    "bahdanau": RECURRENT,
    "luong": RECURRENT | {"decoder": "luong", "input_feeding": False, "attention": {"score": "general"}},
    "luong-fed": RECURRENT | {"decoder": "luong", "attention": {"score": "general"}},
    "local-p": RECURRENT | {"attention": {"scope": {"kind": "local-predictive", "window": 1}}},
    "coverage": RECURRENT | {"attention": {"score": "coverage"}},
    "monotonic": RECURRENT | {"attention": {"normalize": "monotonic"}},
    "mocha": RECURRENT | {"decoder": "luong", "attention": {"normalize": "mocha", "chunk": 2}},
}
models = pytest.mark.parametrize("name", MODELS)
SOURCES = [[4, 5, 6, 7, 8], [9, 10, 5, 11, 6], [11, 12, 4, 4]]
TARGETS = [[4, 5, 6, 7], [7, 8, 9, 10, 11, 12], [13]]
EDITS = {
    "all": [
        Edit("force", source=[1, 3], steps=[1, 2]),
        Edit("forbid", source=range(4), steps=[0, 3]),
        Edit("bias", source=[1, 2], strength=3.0, heads=[0]),
        Edit("flatten", steps=[4]),
        Edit("drop", steps=[5]),
    ],
    "freeze": [Edit("freeze", steps=[2, 3, 5])],
    "freeze-all": [Edit("flatten", steps=[4]), Edit("freeze", heads=[0])],
}


def made(name: str) -> EncoderDecoder:
    torch.manual_seed(4)
    part = recipe_of({"model": MODELS[name]}).model
    model = build.encoder_decoder(part, 13, 17, shared=False, max_length=30).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def batch_of(sources: list[list[int]], targets: list[list[int]]) -> Batch:
    source, source_lengths = rectangle([[*s, EOS] for s in sources])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in targets])
    return Batch(source, source_lengths, target, target_lengths, torch.arange(len(sources)))


@models
def test_no_edit_changes_no_bit_and_nothing_is_left_behind(name: str) -> None:
    model, batch = made(name), batch_of(SOURCES, TARGETS)
    scopes = [(attend.scope, attend.editor) for attend in attends(model).values()]
    before = model(batch)
    with steer(model, []):
        assert torch.equal(model(batch), before)
    with pytest.raises(UsageError), steer(model, [Edit("drop"), Edit("force", source=[99])]):
        model(batch)
    with steer(model, [Edit("drop", steps=[99])]):
        torch.testing.assert_close(model(batch), before)
    assert torch.equal(model(batch), before)
    assert [(attend.scope, attend.editor) for attend in attends(model).values()] == scopes
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


@models
@pytest.mark.parametrize("edit", EDITS)
def test_every_search_is_steered_as_teaching_is(name: str, edit: str) -> None:
    """Beam search with hypotheses that change places, sampling and greedy find scores that forcing agrees with."""
    model = made(name)
    decoder: Any = model.decoder
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    limits = Constraints(max_length=7, min_length=5)
    with steer(model, EDITS[edit]), torch.inference_mode():
        memory = model.encode(source, lengths)
        searched = [
            *beam_search(decoder, memory, limits, beam=4, nbest=3),
            *greedy(decoder, memory, limits),
            *sample(decoder, memory, limits, count=2, top_k=5),
        ]
        for number, found in enumerate(searched):
            one = SOURCES[number % len(SOURCES)]
            for hypothesis in found:
                forced = model.likelihood(batch_of([one], [hypothesis.ids]))
                # Searches add up in float32.
                assert forced.tolist() == pytest.approx(hypothesis.log_probabilities, abs=2e-5)
    changed = []
    for number, found in enumerate(searched):
        plain = model.likelihood(batch_of([SOURCES[number % len(SOURCES)]], [found[0].ids]))
        changed.append(plain.tolist() != pytest.approx(found[0].log_probabilities, abs=1e-4))
    assert any(changed) or name in ("monotonic", "mocha")  # which look nowhere before they are trained


@models
def test_pictures_show_what_was_edited(name: str) -> None:
    model, batch = made(name), batch_of([SOURCES[0]], [TARGETS[1]])
    was = model.look(batch)
    with steer(model, [Edit("force", source=[2], steps=[1]), Edit("freeze", steps=[3, 4])]):
        now = model.look(batch)
    assert torch.equal(now[..., 1, :], torch.nn.functional.one_hot(torch.tensor(2), 6).expand(now[..., 1, :].shape))
    assert torch.equal(now[..., 3, :], now[..., 2, :]) and torch.equal(now[..., 4, :], now[..., 2, :])
    # What was looked at before the first edit cannot have changed, in the lowest layer.
    torch.testing.assert_close(now[:, 0, :, 0], was[:, 0, :, 0])


def test_encoder_and_decoder_are_steered_by_their_own_layers() -> None:
    model, batch = made("transformer"), batch_of(SOURCES[:2], TARGETS[:2])
    assert places(model) == {
        where: [f"{side}.layers.{n}.{what}.attend" for n in range(2)]
        for where, side, what in (
            ("cross", "decoder", "cross"), ("encoder", "encoder", "attention"), ("decoder", "decoder", "attention"),
        )
    }  # fmt: skip
    assert set(heads_of(model).values()) == {3} and heads_of(made("bahdanau")) == {"decoder.attend": 0}
    edits = [
        Edit("force", where="encoder", source=[5], layers=[1]),
        Edit("force", where="decoder", source=[3], layers=[0], heads=[2]),
    ]
    with steer(model, edits), capture(model) as seen:
        model(batch)
    [encoder], [decoder] = seen["encoder.layers.1.attention.attend"], seen["decoder.layers.0.attention.attend"]
    assert bool((encoder[..., 5] == 1).all()) and bool((seen["encoder.layers.0.attention.attend"][0][..., 5] < 1).all())
    # Token 3 is there from step 3 on; before, the rows stay.
    assert bool((decoder[:, 2, 3:, 3] == 1).all()) and bool((decoder[:, 2, :3, 3] == 0).all())
    torch.testing.assert_close(decoder.sum(dim=-1), torch.ones(2, 3, 7, dtype=torch.float64))
    assert bool((decoder[:, :2, 3:, 3] < 1).all())


def test_what_is_not_chosen_stays_on_its_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("transformer")
    plain: list[Attend] = []
    reference = Attend.reference

    def watched(attend: Attend, *arguments: Any, **options: Any) -> Tensor:
        plain.append(attend)
        return reference(attend, *arguments, **options)

    monkeypatch.setattr(Attend, "reference", watched)
    monkeypatch.setattr("regard.attention.attend.FUSED_CPU_SCORES", 0)  # the fused kernel whenever it can
    with steer(model, [Edit("drop", layers=[1])]):
        model(batch_of(SOURCES, TARGETS))
    assert plain == [model.looking[1]]


def test_a_block_inside_a_block_adds_its_edits() -> None:
    model = made("transformer")
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    limits = Constraints(max_length=6, min_length=5)

    def said(*blocks: list[Edit]) -> list[Any]:
        if blocks:
            with steer(model, blocks[0]):
                return said(*blocks[1:])
        with torch.inference_mode():
            decoder: Any = model.decoder
            return beam_search(decoder, model.encode(source, lengths), limits, beam=3)

    first, second = [Edit("freeze", heads=[0], steps=[2, 3])], [Edit("freeze", heads=[1], layers=[1])]
    assert said(first, second) == said([*first, *second]) != said(first)


def test_a_monotonic_head_goes_on_from_where_it_was_put() -> None:
    torch.manual_seed(1)
    attend = StatefulAttend(Dot(), Monotonic(offset=0.0)).eval()
    q, k = torch.ones(1, 4, 1), torch.tensor([[[1.0], [1.0], [1.0], [-1.0], [1.0]]])

    def walked(*edits: Edit) -> list[int]:
        with steer(attend, edits):
            weights = attend.weights(q, k, trail=attend.begin(k))
        return [int(row.argmax()) if row.sum() else -1 for row in weights[0]]

    assert walked() == [0, 0, 0, 0]  # it stops as soon as it may
    assert walked(Edit("force", source=[2], steps=[1])) == [0, 2, 2, 2]
    assert walked(Edit("force", source=[3], steps=[1])) == [0, 3, 4, 4]
    assert walked(Edit("forbid", source=[0, 1], steps=[2])) == [0, 0, 2, 2]
    assert walked(Edit("drop", steps=[1])) == [0, -1, 0, 0]
    assert walked(Edit("bias", source=[0], strength=-3.0)) == [1, 1, 1, 1]


# --- what cannot be done -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "edit", "sentence"),
    [
        ("transformer", Edit("drop", layers=[2]), r"no layer 2 of cross: there are layers 0 to 1"),
        ("transformer", Edit("drop", heads=[3], where="encoder"), r"no head 3 of encoder: there are heads 0 to 2"),
        ("bahdanau", Edit("drop", heads=[1]), r"no head 1 of cross: there are heads 0 to 0"),
        ("bahdanau", Edit("drop", where="decoder"), r'no self-attention \(where = "decoder"\); there is cross'),
        ("transformer", Edit("force", source=[6]), r"no source position 6 to force: the source has 6, 0 to 5"),
        ("transformer", Edit("force", source_words=[0]), r"source_words are told by a model with its tokenizer"),
    ],
)
def test_what_a_model_lacks_is_one_sentence(name: str, edit: Edit, sentence: str) -> None:
    model = made(name)
    with pytest.raises(UsageError, match=sentence), steer(model, [edit]):
        model(batch_of(SOURCES, TARGETS))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports what PyTorch deprecates
def test_what_has_no_attention_or_is_compiled_cannot_be_steered() -> None:
    with pytest.raises(UsageError, match="nothing can be steered"), steer(nn.Linear(2, 2), [Edit("drop")]):
        pass
    with (
        pytest.raises(UsageError, match="a compiled model cannot be steered: steer the module from before"),
        steer(torch.compile(MultiHead(4, 2)), []),  # type: ignore[arg-type]
    ):
        pass
    attend = Attend(ScaledDot())
    with pytest.raises(UsageError, match="run the model from its first step on"), steer(attend, [Edit("freeze")]):
        attend(torch.ones(1, 1, 2), torch.ones(1, 3, 2), torch.ones(1, 3, 2), start=4)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("drop", "an edit is an object"),
        ({}, "needs an action"),
        ({"action": "push"}, "action is 'push': write one of force, forbid"),
        ({"action": ["drop"]}, "action is"),
        ({"action": "drop", "where": "source"}, "where is 'source'"),
        ({"action": "drop", "head": [1]}, "no key 'head'"),
        ({"action": "drop", "heads": 1}, "heads is 1: write a list"),
        ({"action": "drop", "heads": []}, "heads is empty"),
        ({"action": "drop", "steps": [-1]}, "steps holds -1"),
        ({"action": "drop", "steps": [True]}, "steps holds True"),
        ({"action": "drop", "steps": "12"}, "steps is '12'"),
        ({"action": "drop", "source": [1]}, "leave out source"),
        ({"action": "force"}, "a force needs positions"),
        ({"action": "force", "source": [1], "source_words": [1]}, "twice"),
        ({"action": "force", "source_words": [1], "where": "decoder"}, "its own output"),
        ({"action": "bias", "source": [1]}, "needs its strength"),
        ({"action": "bias", "source": [1], "strength": "much"}, "needs its strength"),
        ({"action": "bias", "source": [1], "strength": float("nan")}, "strength is nan"),
        ({"action": "forbid", "source": [1], "strength": 1}, "a forbid has no strength"),
        ({"action": "freeze", "steps": [0, 1]}, "choose steps from 1"),
    ],
)
def test_malformed_edits_are_one_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        Edit.from_json(given)
    assert "\n" not in str(raised.value)


def test_an_edit_goes_through_json_and_back() -> None:
    edit = Edit("bias", source_words=[3, 1], heads=[2], strength=1.5)
    assert edit.to_json() == {
        "action": "bias", "where": "cross", "source_words": [1, 3], "heads": [2], "strength": 1.5,
    }  # fmt: skip
    assert Edit.from_json(edit.to_json() | {"steps": None}) == edit
