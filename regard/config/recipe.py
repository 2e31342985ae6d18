"""The recipe: everything that decides what a run does, as frozen values. The type annotation is the registry.

What is None follows from the corpus and is filled in by `presets` before training; a run's own `recipe.toml` has
no such gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveFloat, PositiveInt, Tag, model_validator

TokenizerKind = Literal["characters", "words", "bpe", "unigram"]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
LengthPenalty = Annotated[float, Field(ge=0.0, le=50.0)]  # a length to the power of more is no float


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# A tag such as "en", "pt-BR" or "zh-Hans" (BCP 47): a name for people and programs. Nothing is learned from it; that of
# the target says how its words are told apart when outputs are scored.
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")]


class DataPart(Part):
    """Where the pairs are and how they become tokens. Paths are relative to the recipe.

    `spelling`: lines of a side are single words, and outputs are judged as wholes. None, as in runs of before there was
    the key: where a tokenizer is `characters`.
    """

    source: str | None = None
    target: str | None = None
    data: str | None = None
    valid_source: str | None = None
    valid_target: str | None = None
    valid_data: str | None = None
    alignment: str | None = None
    source_language: Language | None = None
    target_language: Language | None = None
    spelling: bool | None = None
    tokenizer: TokenizerKind | None = None
    source_tokenizer: TokenizerKind | None = None
    target_tokenizer: TokenizerKind | None = None
    vocabulary: Annotated[int, Field(ge=8)] | None = None
    shared_vocabulary: bool | None = None
    bpe_dropout: Rate = 0.0
    max_length: PositiveInt = 256

    @model_validator(mode="after")
    def _one_place(self) -> DataPart:
        for pair, table, what in (
            ((self.source, self.target), self.data, "source and target, or data"),
            ((self.valid_source, self.valid_target), self.valid_data, "valid_source and valid_target, or valid_data"),
        ):
            if (pair[0] is None) != (pair[1] is None):
                raise ValueError(f"give both of {what}; one of the two files is missing")
            if pair[0] is not None and table is not None:
                raise ValueError(f"give {what}, not all of them")
        if self.bpe_dropout and self.alignment is not None:
            raise ValueError("bpe_dropout cuts the words anew that alignment links; leave one of them out")
        return self


class GlobalScope(Part):
    kind: Literal["global"] = "global"


class CausalScope(Part):
    kind: Literal["causal"]


class WindowScope(Part):
    kind: Literal["window"]
    left: Annotated[int, Field(ge=0)]
    right: Annotated[int, Field(ge=0)]


class LocalMonotonicScope(Part):
    kind: Literal["local-monotonic"]
    window: PositiveInt = 3


class LocalPredictiveScope(Part):
    kind: Literal["local-predictive"]
    window: PositiveInt = 3
    renormalise: bool = False


ScopePart = Annotated[
    GlobalScope | CausalScope | WindowScope | LocalMonotonicScope | LocalPredictiveScope, Field(discriminator="kind")
]

ScoreName = Literal[
    "dot",
    "scaled-dot",
    "general",
    "additive",
    "cosine",
    "distance",
    "location",
    "location-sensitive",
    "coverage",
]
NormalizerName = Literal["softmax", "sparsemax", "entmax15", "sigmoid", "top-k", "hard", "monotonic", "mocha"]
SAME_SIZE: tuple[ScoreName, ...] = ("dot", "scaled-dot", "cosine", "distance")  # of query and key


class AttentionPart(Part):
    """A mechanism, composed. `hidden` is the size inside the additive scores; None takes the decoder's. The keys after
    it belong to one mechanism each: `top_k` to top-k; `estimator` and `temperature` to hard; `chunk` to mocha; `filters`
    and `width` to location-sensitive."""

    score: ScoreName = "additive"
    normalize: NormalizerName = "softmax"
    scope: ScopePart = GlobalScope()
    hidden: PositiveInt | None = None
    top_k: PositiveInt = 3
    estimator: Literal["reinforce", "gumbel"] = "reinforce"
    temperature: PositiveFloat = 1.0
    chunk: PositiveInt = 3
    filters: PositiveInt = 16
    width: PositiveInt = 7

    @property
    def remembers(self) -> bool:
        """Whether a step depends on what was looked at before, which needs a recurrent decoder."""
        return self.score in ("location-sensitive", "coverage") or self.normalize in ("monotonic", "mocha")

    @property
    def stepwise(self) -> str | None:
        """What of it goes from step to step, and so needs a recurrent decoder: what it remembers, or choices of REINFORCE."""
        if self.normalize in ("monotonic", "mocha"):
            return self.normalize
        if self.remembers:
            return self.score
        return "reinforce" if self.normalize == "hard" and self.estimator == "reinforce" else None

    @property
    def summary(self) -> str:
        """In words, with what belongs to it: `additive with top-k 3, local-predictive 5`."""
        own = {"top-k": f"top-k {self.top_k}", "hard": f"hard by {self.estimator}", "mocha": f"mocha {self.chunk}"}
        scope = " ".join(
            str(value) for value in self.scope.model_dump(exclude_defaults=True, exclude={"kind"}).values()
        )
        return f"{self.score} with {own.get(self.normalize, self.normalize)}, {f'{self.scope.kind} {scope}'.strip()}"

    @property
    def weights(self) -> AttentionPart:
        """The plainest mechanism whose weights are the same ones: normalizers that learn nothing and scopes that only
        mask do not count. Two mechanisms of which it is equal can go on from each other."""
        learned = isinstance(self.scope, LocalPredictiveScope)
        plain: dict[str, Any] = {"scope": LocalPredictiveScope(kind="local-predictive") if learned else GlobalScope()}
        plain |= {key: type(self).model_fields[key].default for key in ("top_k", "estimator", "temperature")}
        if self.normalize not in ("monotonic", "mocha"):
            plain["normalize"] = "softmax"
        return self.model_copy(update=plain)

    @model_validator(mode="after")
    def _composes(self) -> AttentionPart:
        if self.width % 2 == 0:
            raise ValueError(f"width = {self.width}: a convolution around a position has an odd width")
        local = isinstance(self.scope, LocalPredictiveScope)
        if self.normalize in ("monotonic", "mocha") and not isinstance(self.scope, GlobalScope):
            raise ValueError(f'normalize = "{self.normalize}" finds its own way: leave out scope')
        if self.normalize == "mocha" and self.score in ("location", *SAME_SIZE, "general"):
            raise ValueError('normalize = "mocha" has two scores over projected keys: use score = "additive"')
        if self.normalize == "hard" and local:
            raise ValueError('normalize = "hard" chooses one position and scope = "local-predictive" weighs several')
        return self


VECTORS = ("source_vectors", "target_vectors")  # keys of files of word vectors, of each side


def one_beginning(pretrained: str | None, **vectors: str | None) -> None:
    for name, file in vectors.items():
        if pretrained is not None and file is not None:
            raise ValueError(
                f"{name} and pretrained, whose words have vectors, do not go together: leave one of them out"
            )


class RecurrentPart(Part):
    """`hidden` is the size of the decoder's states and of the encoder's, whose two directions share it out.
    `encoder_hidden` sets the size of one direction. `transition` and `reach` belong to the decoder "exact-hard".

    With `pretrained`, in every kind of model, training begins with the weights, tokenizers and sizes of that run; with
    `source_vectors` and `target_vectors`, text files, it begins with those vectors of words."""

    kind: Literal["recurrent"]
    pretrained: str | None = None
    source_vectors: str | None = None
    target_vectors: str | None = None
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    decoder: Literal["bahdanau", "luong", "exact-hard", "fixed-initial", "fixed-background"] = "bahdanau"
    attention: AttentionPart = AttentionPart()
    transition: Literal["monotonic", "first-order", "zeroth-order"] = "first-order"
    reach: PositiveInt = 5
    input_feeding: bool = True
    embedding: PositiveInt = 256
    hidden: PositiveInt = 512
    encoder_hidden: PositiveInt | None = None
    encoder_layers: PositiveInt = 1
    decoder_layers: PositiveInt = 1
    bidirectional: bool = True
    dropout: Rate = 0.3
    word_dropout: Rate = 0.0
    tie_embeddings: bool = True
    copy_source: bool = False
    lexical: bool = False

    @property
    def mechanisms(self) -> dict[str, list[AttentionPart]]:
        """By what the decoder looks at its source; nothing where it does not."""
        return {} if self.decoder.startswith("fixed") else {"cross": [self.attention]}

    @property
    def direction(self) -> int:
        """The size of one direction of the encoder."""
        return self.encoder_hidden or -(-self.hidden // (2 if self.bidirectional else 1))

    @model_validator(mode="after")
    def _fits(self) -> RecurrentPart:
        values = self.direction * (2 if self.bidirectional else 1)
        looks = self.decoder in ("bahdanau", "luong")
        exact = self.decoder == "exact-hard"
        chosen = self.attention
        if exact and (chosen.normalize != "softmax" or chosen.scope != GlobalScope() or chosen.remembers):
            raise ValueError(
                'decoder = "exact-hard" sums over every source position: give attention a score that remembers nothing, '
                "and neither normalize nor scope"
            )
        if (looks or exact) and self.attention.score in SAME_SIZE and values != self.hidden:
            raise ValueError(
                f"the {self.attention.score} score compares states of one size, but the encoder gives {values} "
                f"features and the decoder asks with {self.hidden}; leave out encoder_hidden, or use "
                'score = "general" or "additive"'
            )
        if exact and self.lexical:
            raise ValueError('lexical and decoder = "exact-hard" do not go together: leave out one of them')
        if (self.copy_source or self.lexical) and not (looks or exact):
            what = "copy_source" if self.copy_source else "lexical"
            raise ValueError(f'{what} says what is attended to, and decoder = "{self.decoder}" has no attention')
        if self.copy_source and self.lexical:
            raise ValueError("copy_source and lexical are two ways to say what is attended to: choose one")
        one_beginning(self.pretrained, source_vectors=self.source_vectors, target_vectors=self.target_vectors)
        return self


Place = Literal["encoder", "decoder", "cross"]
"""Where a Transformer has attention."""
ATTENTIONS = ("attention", "encoder_attention", "decoder_attention", "cross_attention")  # keys of mechanisms

HeadsPart = Annotated[
    Annotated[AttentionPart, Tag("one")] | Annotated[tuple[AttentionPart, ...], Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
"""One mechanism for the heads of all layers, or a list with one for each layer."""


class TransformerPart(Part):
    kind: Literal["transformer"] = "transformer"
    pretrained: str | None = None
    source_vectors: str | None = None
    target_vectors: str | None = None
    dim: PositiveInt = 256
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 1024
    encoder_layers: PositiveInt = 3
    decoder_layers: PositiveInt = 3
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned", "rotary", "relative", "alibi"] = "sinusoidal"
    reach: PositiveInt = 16
    attention: AttentionPart = AttentionPart(score="scaled-dot")
    encoder_attention: HeadsPart | None = None
    decoder_attention: HeadsPart | None = None
    cross_attention: HeadsPart | None = None
    kv_heads: PositiveInt | None = None
    dropout: Rate = 0.1
    word_dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    feed_forward_dropout: Rate = 0.0
    tie_embeddings: bool = True
    copy_source: bool = False
    lexical: bool = False

    def heads_of(self, where: Place) -> list[AttentionPart]:
        """What happens in the heads of each layer."""
        chosen = {"encoder": self.encoder_attention, "decoder": self.decoder_attention, "cross": self.cross_attention}
        layers = self.encoder_layers if where == "encoder" else self.decoder_layers
        part = chosen[where]
        if part is None:
            # A scope that was given for all heads is one of self-attention: it says which neighbours a token sees.
            everywhere = {"scope": GlobalScope()} if where == "cross" else {}
            part = self.attention.model_copy(update=everywhere)
        return list(part) if isinstance(part, tuple) else [part] * layers

    @model_validator(mode="before")
    @classmethod
    def _scaled(cls, tree: Any) -> Any:
        """A mechanism in heads that says no score has the Transformer's own."""
        if not isinstance(tree, Mapping):
            return tree

        def with_score(part: Any) -> Any:
            if isinstance(part, Mapping):
                return {"score": "scaled-dot", **part}
            return [with_score(each) for each in part] if isinstance(part, list | tuple) else part

        return {key: with_score(value) if key in ATTENTIONS else value for key, value in tree.items()}

    @property
    def mechanisms(self) -> dict[str, list[AttentionPart]]:
        """What happens in the heads, by place."""
        return {where: self.heads_of(where) for where in get_args(Place)}

    @model_validator(mode="after")
    def _fits(self) -> TransformerPart:
        for where in ("encoder", "decoder", "cross"):
            parts = self.heads_of(where)
            layers = self.encoder_layers if where == "encoder" else self.decoder_layers
            if len(parts) != layers:
                raise ValueError(f"{where}_attention lists {len(parts)} mechanisms for {layers} layers: give one each")
            for part in parts:
                if part.stepwise is not None:
                    raise ValueError(
                        f'"{part.stepwise}" goes from step to step and belongs in a recurrent decoder: set kind = "recurrent", '
                        "or another mechanism"
                    )
        if self.copy_source and self.lexical:
            raise ValueError("copy_source and lexical are two ways to say what is attended to: choose one")
        one_beginning(self.pretrained, source_vectors=self.source_vectors, target_vectors=self.target_vectors)
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads = {self.heads} cannot be shared out evenly among kv_heads = {self.kv_heads}")
        if self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} cannot be shared out evenly among heads = {self.heads}")
        if self.positions == "rotary" and (self.dim // self.heads) % 2:
            raise ValueError(f"rotary positions need an even head size, not {self.dim} / {self.heads}")
        return self


class HiddenMarkovPart(Part):
    """A lexicon of vectors and the jumps between source words: to align words, not to translate."""

    kind: Literal["hidden-markov"]
    pretrained: str | None = None
    dim: PositiveInt = 128
    reach: PositiveInt = 10
    null: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    transitions: Literal["shared", "lexical"] = "shared"

    @property
    def mechanisms(self) -> dict[str, list[AttentionPart]]:
        return {}


ModelPart = Annotated[RecurrentPart | TransformerPart | HiddenMarkovPart, Field(discriminator="kind")]


class TrainingPart(Part):
    """How it is learned. `minutes`, `steps`, `epochs` and `patience` (validations without a gain) are budgets:
    whichever is spent first ends the training."""

    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None
    epochs: PositiveInt | None = None
    patience: PositiveInt | None = None
    batch_tokens: Annotated[int, Field(ge=16)] = 4096
    accumulate: PositiveInt = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: PositiveFloat = 5e-4
    schedule: Literal["inverse-square-root", "cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 400
    label_smoothing: Rate = 0.1
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    adam_beta2: Rate = 0.98
    clip: Annotated[float, Field(ge=0.0)] = 1.0
    r_drop: Annotated[float, Field(ge=0.0)] = 0.0
    coverage: Annotated[float, Field(ge=0.0)] = 0.0
    doubly_stochastic: Annotated[float, Field(ge=0.0)] = 0.0
    reward: Annotated[float, Field(ge=0.0)] = 1.0
    entropy: Annotated[float, Field(ge=0.0)] = 0.01
    samples: PositiveInt = 1
    discount: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    guided: Annotated[float, Field(ge=0.0)] = 0.0
    guided_layer: Annotated[int, Field(ge=0)] | None = None
    guided_row: Literal["output", "input"] = "output"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: str = "auto"
    save_every: PositiveInt = 500
    validate_every: PositiveInt = 500
    average: PositiveInt = 5
    tensorboard: bool = False


class TranslationTrainingPart(TrainingPart):
    """`choose_by` is the score on the validation set by which the best snapshot is chosen and patience is counted."""

    choose_by: Literal["loss", "bleu", "chrf", "ter", "exact-match", "wer", "per", "cer"] | None = None


Unknown = Literal["keep", "replace", "forbid"]


class DecodingPart(Part):
    """How outputs are searched. `unknown`: what becomes of a token that stands for what the vocabulary lacks; None, as
    in runs of before there was the key: it is kept."""

    beam: PositiveInt = 5
    length_penalty: LengthPenalty = 1.0
    coverage_penalty: Annotated[float, Field(ge=0.0)] = 0.0
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    min_length_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    max_length_ratio: PositiveFloat | None = None
    max_length_extra: Annotated[int, Field(ge=1)] = 10
    unknown: Unknown | None = None
    batch_tokens: Annotated[int, Field(ge=16)] = 4096


class RecipeBase(Part):
    """What every recipe has. `format` is the version of this file format."""

    format: Literal[1] = 1
    task: Any  # each recipe names its own
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 1
    training: TrainingPart = TrainingPart()


class Recipe(RecipeBase):
    """A run of translation, or of any other transduction of one line into another."""

    task: Literal["translation"] = "translation"
    data: DataPart = DataPart()
    model: ModelPart = TransformerPart()
    training: TranslationTrainingPart = TranslationTrainingPart()  # pyright: ignore[reportIncompatibleVariableOverride]
    decoding: DecodingPart = DecodingPart()
