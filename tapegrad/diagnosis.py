"""Looking for a fault: where entries were recorded, where a number was the first that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from . import tree
from .errors import InputError, NonFiniteError
from .frame import Frame, running
from .lines import Debug, debugging, recorded_at
from .primitives.forms import DEFINITIONS, NAMES, VIEW
from .primitives.partial import filled
from .primitives.rules import Placeholder
from .tape import Entry
from .tracer import is_inexact, plain


@contextmanager
def debug() -> Iterator[None]:
    """A context in which errors tell the line of the program where an entry of the tape was recorded.

    It costs about a microsecond an operation, which is why it is not always so.

    >>> from tapegrad import grad
    >>> with debug():
    ...     slope = grad(np.sin)(0.0)
    """
    token = debugging.set(debugging.get() or Debug())
    try:
        tape = running()
        if tape is not None and tape.debug is None:
            tape.observe(Debug())
        yield
    finally:
        debugging.reset(token)


@contextmanager
def debug_nans(enabled: bool = True) -> Iterator[None]:
    """A context in which the first nan or infinity that appears raises, whether forward or on the way back.

    The error names the operation, its inputs and the line that called it. Values are kept that the derivative does not
    need, every operation is slower, and NumPy's own warnings of such numbers are off.

    Args:
        enabled: False leaves it out, within a context in which it is on, too.

    Raises:
        NonFiniteError: at the operation that gave such a number.
        InputError: inside of a function that is being differentiated.

    >>> from tapegrad import grad
    >>> with debug_nans():
    ...     grad(np.log)(0.0)
    Traceback (most recent call last):
      ...
    tapegrad.errors.NonFiniteError: log gave -inf
      ...
    """
    tape = running()
    if tape is not None and enabled and not isinstance(tape.debug, _NonFinite):
        raise InputError(
            f"debug_nans was entered inside of {tape.frames[-1].name}",
            "what was recorded before was not kept for it",
            f"write `with tapegrad.debug_nans():` around the call of {tape.frames[0].name}",
        )
    token = debugging.set(_NonFinite() if enabled else None)
    try:
        with np.errstate(all="ignore") if enabled else nullcontext():  # whose warnings would come before the error
            yield
    finally:
        debugging.reset(token)


class _NonFinite(Debug):
    complete = True

    def recorded(self, frame_name: str, tape: Any, e: Entry) -> None:
        if DEFINITIONS[e[2]] is None:
            return
        y, args, kwargs, _, _ = VIEW[e[2]](e)
        if not _is_finite(y):
            given = [key for key, a in (*enumerate(args), *kwargs.items()) if not _is_finite(a)]
            passed = f", which came in with argument {_word(e, given[0])}" if given else ""
            raise self._error(f"{NAMES[e[2]]} gave {_show_bad(y)}{passed}", e, frame_name, tape)

    def pulled(self, pull: Callable[..., None], g: Any, e: Entry, cots: Any, bit: int, frame: Frame) -> None:
        pull(g, e, cots, bit)
        if DEFINITIONS[e[2]] is None:
            return
        for key, _, _, parent, mask, _ in VIEW[e[2]](e)[3]:
            if mask & bit and not _is_finite(c := filled(cots[parent])):
                what = f"the cotangent that {NAMES[e[2]]} gave for argument {_word(e, key)} is {_show_bad(c)}"
                raise self._error(what, e, frame.name, frame.tape, f"cotangent {_show(filled(g))}")

    def pushed(self, e: Entry, t: Any, frame: Frame) -> None:
        if DEFINITIONS[e[2]] is not None and not _is_finite(t := filled(t)):
            raise self._error(f"the tangent that {NAMES[e[2]]} gave is {_show_bad(t)}", e, frame.name, frame.tape)

    def _error(self, what: str, e: Entry, name: str, tape: Any, more: str = "") -> NonFiniteError:
        _, args, kwargs, _, _ = VIEW[e[2]](e)
        definition = DEFINITIONS[e[2]]
        defaults = {} if definition is None else definition.defaults
        given = [(k, a) for k, a in (*enumerate(args), *kwargs.items()) if k not in defaults or a is not defaults[k]]
        inputs = [f"argument {_word(e, key)} = {_show(a)}" for key, a in given]
        there = ", ".join([*inputs, *([more] if more else [])])
        return NonFiniteError(
            what,
            f"{there}; in {name}{recorded_at(tape, e[0])}",
            "keep such inputs out before the operation: numpy.where(ok, x, 1.0), numpy.maximum, numpy.clip",
        )


def _word(e: Entry, key: Any) -> Any:
    definition = DEFINITIONS[e[2]]
    return key if definition is None else definition.word(key)


def _is_finite(value: Any) -> bool:
    return all([np.isfinite(x).all() for x in map(plain, tree.leaves(value)) if is_inexact(x)])


def _show_bad(value: Any) -> str:
    """The first number that is not finite, and where it is."""
    for x in filter(is_inexact, map(plain, tree.leaves(value))):
        bad = np.argwhere(~np.isfinite(x))
        if len(bad):
            at = tuple(bad[0].tolist())
            return f"{np.asarray(x)[at]}" + (f" at {list(at)} ({len(bad)} of {np.size(x)} elements)" if at else "")
    return "finite"


def _show(value: Any) -> str:
    if isinstance(value, Placeholder):
        return f"of shape {value.shape}, not kept"
    if value is None:
        return "not kept"
    value = tree.map(plain, value)
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=4, edgeitems=2, precision=6, separator=", ").replace("\n", "")
    return f"{value}"


__all__ = ["debug", "debug_nans"]
