"""Word alignments by forced decoding."""
