"""What a private training may write to its log."""

import re

_ALLOWED = re.compile(r"private step \d+ of \d+|\d+ private steps, [\d.]+ s|continue after private step \d+")


def leaks(caplog) -> list[str]:
    """Messages of ours that tell more than how far a private training is (a loss, a norm, a drawn batch)."""
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("pulseveil")]
    assert messages
    return [message for message in messages if not _ALLOWED.fullmatch(message)]
