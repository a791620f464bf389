"""Lines of the user's source, for messages: where a transform was called, where an entry was recorded."""

from __future__ import annotations

from types import CodeType, FrameType

Place = tuple[CodeType, int]  # a function's code, and how far it had come; the line is computed when it is told

_OURS = (__name__.partition(".")[0] + ".", "numpy.")


def user_frame(f: FrameType | None) -> FrameType | None:
    """The innermost running function, from this one outward, that is neither ours nor NumPy's."""
    while f is not None and f.f_globals.get("__name__", "").startswith(_OURS):
        f = f.f_back
    return f


def tell(place: Place) -> str:
    """A place as a person would look for it: `model.py, line 12`."""
    code, at = place
    line = next((line for start, end, line in code.co_lines() if start <= at < end), None)
    return f"{code.co_filename}, line {line or code.co_firstlineno}"
