"""From files to batches: readers, the doctor, tokenizers, token files, batching."""

from regard.data.batching import Batches
from regard.data.corpus import Corpus, build_corpus, fingerprint, made_of
from regard.data.diagnosis import Diagnosis, Finding, Statistics
from regard.data.doctor import examine, kept
from regard.data.guide import Guide
from regard.data.merges import MergeDropout
from regard.data.reader import TablePairs, TextPairs, read_lines
from regard.data.tokenizer import Encoding, Kind, Tokenizer, alike

__all__ = [
    "Batches",
    "Corpus",
    "Diagnosis",
    "Encoding",
    "Finding",
    "Guide",
    "Kind",
    "MergeDropout",
    "Statistics",
    "TablePairs",
    "TextPairs",
    "Tokenizer",
    "alike",
    "build_corpus",
    "examine",
    "fingerprint",
    "kept",
    "made_of",
    "read_lines",
]
