"""What can go wrong, as a tree. Each error is one of ours and a built-in one too.

    TapegradError
    ├── ArgnumsError            TypeError, ValueError   argnums names no argument, or one twice
    ├── InputError              TypeError               what cannot be differentiated by (integers, strings, ...)
    ├── OutputError             TypeError               a function that does not give what its transform needs
    ├── TreeError               TypeError, ValueError   a nest that contains itself, two nests that do not match
    ├── PrimitiveError          TypeError               a primitive that is defined or called in a wrong way
    │   └── RuleError           TypeError               a rule that does not fit its primitive
    ├── MissingRuleError        NotImplementedError     an operation without a derivative rule
    ├── CotangentError          ValueError              a cotangent of the wrong shape, kind or number
    ├── TangentError            ValueError              a tangent of the wrong shape, kind or number
    ├── ConversionError         TypeError               a conversion that would cut the derivative
    ├── AssignmentError         TypeError, ValueError   a change in place that cannot be followed
    ├── MutationError           RuntimeError            an array that has changed since it was recorded
    ├── NonFiniteError          FloatingPointError      a nan or an infinity, where one looks for them
    ├── EscapedTracerError      RuntimeError            a traced value used where its transform does not run
    └── GradientCheckError      AssertionError          derivatives that disagree with finite differences

A message has three lines: what happened, what there is, and a hint what to type.
"""

from __future__ import annotations

from typing import Any


class TapegradError(Exception):
    """The root of the tree: `what` happened, what there `is`, and a `hint` what to type."""

    def __init__(self, what: str, there: str = "", hint: str = "") -> None:
        lines = [what]
        if there:
            lines.append(f"  {there}")
        if hint:
            lines.append(f"  hint: {hint}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> Any:
        """Pickle the message, and notes, but not what it is about."""
        return type(self), self.args, {"__notes__": self.__notes__} if hasattr(self, "__notes__") else None


class ArgnumsError(TapegradError, TypeError, ValueError):
    """`argnums` names no argument, or one twice."""


class InputError(TapegradError, TypeError):
    """Something that cannot be differentiated by: integers, booleans, strings, subclasses of ndarray."""


class OutputError(TapegradError, TypeError):
    """A function that does not give what its transform needs, such as one real number for `grad`."""


class TreeError(TapegradError, TypeError, ValueError):
    """A nest that contains itself, or two nests of different structure."""


class PrimitiveError(TapegradError, TypeError):
    """A primitive that is defined or called in a wrong way."""


class RuleError(PrimitiveError):
    """A rule that does not fit its primitive: an argument that is not there, a rule given twice."""


class MissingRuleError(TapegradError, NotImplementedError):
    """An operation without a derivative rule for a traced argument."""


class CotangentError(TapegradError, ValueError):
    """A cotangent of the wrong shape, kind or number."""


class TangentError(TapegradError, ValueError):
    """A tangent of the wrong shape, kind or number."""


class ConversionError(TapegradError, TypeError):
    """A conversion of a traced value that would cut the derivative."""


class AssignmentError(TapegradError, TypeError, ValueError):
    """A change in place that cannot be followed."""


class MutationError(TapegradError, RuntimeError):
    """An array of the caller's that has changed since it was recorded."""


class NonFiniteError(TapegradError, FloatingPointError):
    """A nan or an infinity that appeared under `debug_nans`."""


class EscapedTracerError(TapegradError, RuntimeError):
    """A traced value that is used where its transform does not run (any more)."""

    frame: object = None  # the one that has ended


class GradientCheckError(TapegradError, AssertionError):
    """Derivatives that disagree with finite differences."""
