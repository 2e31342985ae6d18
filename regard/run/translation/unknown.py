"""Words of an output that the model has none for: `<unk>`, or what it looked at when it said that.

The attention of the step says which source word stands behind it; names and numbers are mostly the same in both
languages (Luong et al. 2015, "Addressing the rare word problem"; Jean et al. 2015, §4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from regard.batch import UNK
from regard.data import Encoding, Tokenizer
from regard.decoding import Hypothesis
from regard.models import EncoderDecoder
from regard.run.translation.prediction import attention_map, looked_at
from regard.tasks.translation import Search


def texts(
    network: EncoderDecoder,
    tokenizers: tuple[Tokenizer, Tokenizer],
    lines: Sequence[str],
    sources: Sequence[Sequence[int]],
    said: Sequence[Hypothesis],
    how: Search,
) -> list[str]:
    """The text of each hypothesis of a line. `sources` are the ids that were read. Where `how` replaces unknown tokens
    and the network looks at its source, what it looked at stands for them."""
    source, target = tokenizers
    odd = [i for i, each in enumerate(said) if UNK in each.ids] if how.unknown == "replace" and network.looks else []
    found = [target.decode(each.ids) for each in said]
    for i, weights in zip(odd, looked_at(network, [sources[i] for i in odd], [said[i] for i in odd]), strict=True):
        encoding = source.encode(lines[i]).first(len(sources[i]))
        found[i] = target.decode(said[i].ids, _instead(weights, lines[i], encoding, said[i], source, target))
    return found


def _instead(
    weights: Float[np.ndarray, "layers heads T S"],
    line: str,
    encoding: Encoding,
    said: Hypothesis,
    source: Tokenizer,
    target: Tokenizer,
) -> list[str]:
    """What stands behind each unknown token of a hypothesis: of a target in words the source word that is looked at
    most, by the mean of all layers and heads as in `AttentionMap.alignment`, and of one in pieces the source token; of
    the tokens those that are unknown themselves come first, for a character that has none here has none there."""
    seen = attention_map(weights, encoding, source.split_words(line), said, target)
    if target.kind == "words":
        units, rows = seen.source_words[:-1], seen.words()
        rows = rows[seen.target_word_of]
    else:
        text = line.strip()
        units, rows = [text[start:end].strip() for start, end in encoding.offsets], seen.mean()
        if UNK in encoding.ids:
            rows = rows * (np.array([*encoding.ids, 0]) == UNK)
    rows = rows[:, : len(units)] * [unit != "" for unit in units]  # not the end, and no mark of a word's beginning
    steps = [step for step, token in enumerate(said.ids) if token == UNK]
    return [units[int(rows[step].argmax())] if rows[step].any() else target.tokens([UNK])[0] for step in steps]


__all__ = ["texts"]
