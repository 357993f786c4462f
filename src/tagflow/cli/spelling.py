"""What the core asks for in words, as it is typed: it knows no command line, for programs call it too."""

from __future__ import annotations

from collections.abc import Mapping

TYPED: Mapping[str, str] = {
    "Give a reason; it is recorded.": "Add --reason TEXT; it is recorded.",
    "everything takes no TARGET": "--all takes no TARGET",
    "ask for everything": "use --all",
    "Choose where from:": "Choose one with --from:",
    "the same command with a wait of 5m": "the same command with --wait 5m",
    "a wait does so by itself": "--wait DURATION does so by itself",
    "Allow more time.": "Allow more time with --timeout.",
    "Save a plan anew.": "Make it again with --save-plan.",
    "give along a document that is not in the registry.": "a document that is not in the registry: --approval FILE.",
}
"""Phrases of messages and hints, and what is typed for them. A test looks whether the core still says each."""

WITHOUT_WAIT: Mapping[str, str] = {
    "Wait for it: the same command with a wait of 5m": "Wait for it",
    "; a wait does so by itself": "",
}
"""What is said of a wait, for a command that has no such option."""


def typed(text: str, *, waits: bool = True) -> str:
    """A message or a hint with the options of the command line. ``waits``: whether the command has one to wait.

    >>> typed("Give a reason; it is recorded.")
    'Add --reason TEXT; it is recorded.'
    """
    for phrase, option in (TYPED if waits else {**WITHOUT_WAIT, **TYPED}).items():
        text = text.replace(phrase, option)
    return text
