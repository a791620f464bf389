"""The form of every message of ours."""

from tapegrad.errors import TapegradError


def three_lines(error):
    """What happened, what there is, a hint."""
    assert isinstance(error, TapegradError)
    lines = str(error).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("  ")
    assert lines[2].startswith("  hint: ")
