"""What steering did: the output with and without it, and what each says of the other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import torch

from regard.attention import Edit, steer
from regard.batch import EOS, SPECIAL_TOKENS, Batch
from regard.data import Encoding
from regard.errors import UsageError
from regard.models import EncoderDecoder

if TYPE_CHECKING:
    from regard.run.translation.model import Model
    from regard.run.translation.prediction import Prediction
    from regard.tasks.translation import Search


@dataclass(frozen=True)
class Said:
    """An output; `score` is its log-probability under the search that found it."""

    text: str
    score: float
    tokens: list[str]


@dataclass(frozen=True)
class Step:
    """One token of the steered output, the last being its end: its log-probability without the edits and with them,
    after the same tokens before it."""

    token: str
    log_probability_before: float
    log_probability_after: float


@dataclass(frozen=True)
class Steering:
    """`before` is the output without the edits, `after` with them. `score_of_before` is the log-probability of the
    first under steering, `score_of_after` that of the second without. `changed` are the places in `after.tokens`, from
    0, at which it differs: tokens that are new, and of what is gone the token that follows now."""

    before: Said
    after: Said
    score_of_before: float
    score_of_after: float
    changed: list[int]
    steps: list[Step]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def edits_of(given: Sequence[Edit | Mapping[str, Any]] | Edit | Mapping[str, Any]) -> list[Edit]:
    """Edits as Python or JSON gives them."""
    if isinstance(given, Edit | Mapping | str) or not isinstance(given, Sequence):
        raise UsageError('steer takes a list of edits: write steer=[Edit("forbid", source_words=[2])]')
    return [Edit.from_json(each) for each in given]


def resolved(edits: Sequence[Edit], encoding: Encoding, words: int) -> list[Edit]:
    """Words as the tokens they are made of. The source has `words`, and its end is one more.

    Raises:
        UsageError: a word or a token that the source lacks.
    """
    word_of = [*encoding.words, words]
    found = []
    for edit in edits:
        for number in edit.source_words:
            if number not in word_of:
                raise UsageError(
                    f"there is no source word {number} to {edit.action}: the model reads words 0 to "
                    f"{max(encoding.words, default=0)}, and {words} is the end"
                )
        if edit.where != "decoder" and edit.source and max(edit.source) >= len(word_of):
            raise UsageError(
                f"there is no source token {max(edit.source)} to {edit.action}: the source has tokens 0 to "
                f"{len(word_of) - 2}, and {len(word_of) - 1} is its end"
            )
        if edit.source_words:
            tokens = [token for token, word in enumerate(word_of) if word in edit.source_words]
            edit = replace(edit, source=tokens, source_words=())
        found.append(edit)
    return found


def steered(
    model: Model,
    line: str,
    encoding: Encoding,
    edits: Sequence[Edit],
    how: Search,
    prefix: Sequence[str] | None,
    **asked: Any,
) -> Prediction:
    """One line said without the edits and with them. `asked` is what `Model.predict` shall fill, of the second."""
    if not line.strip():
        [empty] = model.predict([line], search=how, prefix=prefix, **asked)
        nothing = Said("", 0.0, [])
        return replace(empty, steering=Steering(nothing, nothing, 0.0, 0.0, [], []))
    [before] = model.predict([line], search=how, prefix=prefix)
    chosen = resolved(edits, encoding, len(model.source_tokenizer.split_words(line)))
    with steer(model.network, chosen):
        [after] = model.predict([line], search=how, prefix=prefix, **asked)
        score_of_before = sum(forced(model.network, encoding.ids, before))
        with_edits = forced(model.network, encoding.ids, after)
    without = forced(model.network, encoding.ids, after)
    ends = [SPECIAL_TOKENS[EOS]] * (len(with_edits) - len(after.tokens))
    report = Steering(
        before=Said(before.text, before.score, before.tokens),
        after=Said(after.text, after.score, after.tokens),
        score_of_before=score_of_before,
        score_of_after=sum(without),
        changed=changed(before.tokens, after.tokens),
        steps=[Step(*each) for each in zip([*after.tokens, *ends], without, with_edits, strict=True)],
    )
    return replace(after, steering=report)


def forced(network: EncoderDecoder, source: Sequence[int], said: Prediction) -> list[float]:
    """The log-probability of each token of an output, and of its end if it ended."""
    device = next(network.parameters()).device
    batch = Batch.of([source], [said.ids]).to(device)
    with torch.inference_mode():
        found = network.likelihood(batch).tolist()
    return found[: len(said.log_probabilities)]


def changed(before: Sequence[str], after: Sequence[str]) -> list[int]:
    """Where the second differs, in the fewest places."""
    places: set[int] = set()
    for what, _, _, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "delete":
            places.add(min(start, len(after) - 1))
        elif what != "equal":
            places.update(range(start, end))
    return sorted(places - {-1})
