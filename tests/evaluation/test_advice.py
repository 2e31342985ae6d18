"""A sentence that advises arguments, in the words of whoever reads it."""

from __future__ import annotations

import pickle

import pytest

from regard.errors import UsageError
from regard.evaluation import Setting, SettingError


def test_each_caller_writes_the_settings_in_its_own_words() -> None:
    error = SettingError("say which (", Setting("one_based", False), " or ", Setting("one_based", True), ")")
    assert isinstance(error, UsageError) and error.exit_status == 2
    assert str(error) == "say which (one_based=False or one_based=True)"
    options = {Setting("one_based", False): "--zero-based", Setting("one_based", True): "--one-based"}
    assert error.written(options.__getitem__) == "say which (--zero-based or --one-based)"


@pytest.mark.parametrize("word", ["one_based=False", "(reverse=True)", "{0}", "%s"])
def test_what_is_no_setting_stays_as_it_is(word: str) -> None:
    """The name of a file may look like an argument."""
    error = SettingError(f"{word}, line 3: write more (", Setting("reverse", True), ")")
    assert error.written(lambda setting: f"--{setting.argument}") == f"{word}, line 3: write more (--reverse)"


def test_it_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(SettingError("say ", Setting("reverse", False))))
    assert str(error) == "say reverse=False"
