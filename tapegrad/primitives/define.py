"""How primitives are made: the decorator that users have, and the words for NumPy's functions in the table of rules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import numpy as np

from .. import tree
from ..errors import PrimitiveError
from ..tracer import FUNCTIONS, Blank, Tracer
from .bodies import LEAVES
from .definition import Definition
from .general import blank_like, closed_over, make_form, make_record
from .listed import listed
from .several import several, takes_several
from .single import single, takes_settings
from .transpose import turned

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])


_OURS = ("tapegrad.nn", "tapegrad.numpy.elementwise")  # with functions that are used as a user's would be


class Primitive(Protocol[P, R]):
    """A function that the tape records as one entry."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def defvjp(self, argument: F, /) -> F: ...
    @overload
    def defvjp(self, argument: int | str, /) -> Callable[[F], F]: ...
    def defvjp(self, argument: Any, /) -> Any:
        """Give the rule that takes a cotangent back: for all arguments (bare), or for one, by position or name."""

    @overload
    def defjvp(self, argument: F, /) -> F: ...
    @overload
    def defjvp(self, argument: int | str, /) -> Callable[[F], F]: ...
    def defjvp(self, argument: Any, /) -> Any:
        """Give the rule that takes tangents forth: of all arguments (bare), or of one, by position or name."""


@overload
def primitive(
    fun: Callable[P, R], /, *, nondiff_argnames: str | Sequence[str] = (), elementwise: bool = False
) -> Primitive[P, R]: ...
@overload
def primitive(
    *, nondiff_argnames: str | Sequence[str] = (), elementwise: bool = False
) -> Callable[[Callable[P, R]], Primitive[P, R]]: ...
def primitive(
    fun: Any = None, /, *, nondiff_argnames: str | Sequence[str] = (), elementwise: bool = False
) -> Any:
    """Make `fun` a primitive: a function that the tape records as one entry, and whose derivative you tell.

    The body runs on plain arrays and numbers, and may use whatever computes. It returns an array, a
    number, or a tuple of arrays.

    A rule is `rule(g, y, ...)`: the cotangent of the answer, the answer, then the arguments of `fun` with
    defaults filled in, keyword-only ones by keyword. Where `fun` returns a tuple, `g` and `y` are tuples,
    and what was not used has zeros in `g`. It returns the cotangent of its argument, of that
    argument's shape (`unbroadcast` helps), or None where there is none. A parameter whose name begins
    with an underscore is not kept in memory: the rule gets its shape and dtype alone. Rules written with
    NumPy can be differentiated again.

        @fun.defvjp              all arguments at once: return a tuple
        @fun.defvjp("x")         one argument by name or position: computed only where it is needed
        @fun.defjvp              forth, `rule(tangents, y, ...)`: of a tuple of tangents, one for each argument
        @fun.defjvp("x")         forth, `rule(t, y, ...)`: what the tangent of one argument adds to that of y

    One direction is enough: the other is its transpose. That needs the rule to be linear in `g` (in `t`), so
    a rule that clips, say, wants a partner of its own. A rule that goes forth need not unbroadcast.

    Args:
        fun: the function; one of NumPy's will do, too.
        nondiff_argnames: the parameters that carry no derivative; a traced value there raises.
        elementwise: `fun` is one of each element. Then one rule an argument serves both directions, need not
            unbroadcast, and what a selection such as `numpy.where` leaves out does not count, be it nan or inf.

    Returns:
        The function, with the name, docstring and signature of `fun`, `defvjp` and `defjvp`.

    >>> @primitive
    ... def cube(x):
    ...     return x**3
    >>> @cube.defvjp
    ... def cube_vjp(g, _y, x):
    ...     return g * 3 * x**2
    >>> from tapegrad import grad
    >>> grad(cube)(2.0)
    12.0
    """
    if fun is None:
        return functools.partial(primitive, nondiff_argnames=nondiff_argnames, elementwise=elementwise)
    if not callable(fun):
        raise PrimitiveError(
            f"primitive needs a function, and got a {type(fun).__name__}",
            "it makes a function one entry of the tape",
            "write @primitive above a def",
        )
    if isinstance(nondiff_argnames, str):
        nondiff_argnames = (nondiff_argnames,)
    name = getattr(fun, "__name__", type(fun).__name__)
    definition = Definition(fun, name, nondiff_argnames, elementwise=elementwise, views=True)
    definition.known = getattr(fun, "__module__", None) in _OURS
    definition.refused = []  # its author knows what they mean

    def plain(*args: Any, **kwargs: Any) -> Any:
        y = fun(*args, **kwargs)
        if has_tracer((y,), {}):
            raise closed_over(name)
        return y

    return dress(general(definition, fun if definition.known else plain), definition, fun)


def general(
    definition: Definition, plain: Callable[..., Any], first: Callable[[Any], Any] | None = None, joins: bool = False
) -> Any:
    """The function of a definition; `plain` serves the calls without tracers.

    `first` makes of a first argument that has traced values in it what the body takes. If the function `joins` that
    is a list of arrays, and its rule needs their shapes alone.
    """
    number = make_form(definition)
    definition.record = record = make_record(definition, number, definition.body)
    definition.turn = turned
    out = definition.names.index("out") if "out" in definition.names else len(definition.names)

    def call(*args: Any, **kwargs: Any) -> Any:
        for a in (*args, *kwargs.values()) if kwargs else args:
            if type(a) not in LEAVES and _is_traced(a):
                if not definition.views and (untouched := _without_blanks(args, kwargs, out)) is not None:
                    (args, kwargs), new = untouched
                    return blank_like(plain(*args, **kwargs), new)
                if first is not None and args:
                    args = (first(args[0]), *args[1:])
                return record(*args, **kwargs)
        return plain(*args, **kwargs)

    if joins:
        call = listed(definition, call)
    elif takes_settings(definition):
        call = single(definition, number, call)
    elif takes_several(definition):
        call = several(definition, number, call)
    return dress(call, definition, plain)


def internal(joins: bool = False, **words: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function of our own a primitive; the words are those of `general` and `Definition`."""

    def decorate(fun: Callable[..., Any]) -> Any:
        definition = Definition(fun, fun.__name__, **words)
        definition.inner = True
        return general(definition, fun, None, joins)

    return decorate


def _as_array(a: Any) -> Any:
    """A list as an array."""
    return FUNCTIONS[np.array](a) if isinstance(a, (list, tuple)) else a


def _without_blanks(args: Any, kwargs: Any, out: int) -> Any:
    """The arguments with new arrays as plain ones, and one of those; None if anything else is traced, or written to."""
    leaves, structure = tree.flatten((args, kwargs))
    written = isinstance(kwargs.get("out"), Tracer) or any([isinstance(a, Tracer) for a in args[out : out + 1]])
    if written or any([isinstance(a, Tracer) and type(a) is not Blank for a in leaves]):
        return None
    new = next(a for a in leaves if type(a) is Blank)
    return structure.unflatten([a._value if type(a) is Blank else a for a in leaves]), new


def has_tracer(args: Any, kwargs: Any) -> bool:
    """Whether there is a tracer among the arguments of a call, in containers too."""
    return any([type(a) not in LEAVES and _is_traced(a) for a in (*args, *kwargs.values())])


def _is_traced(a: Any) -> bool:
    return isinstance(a, Tracer) or (
        tree.is_node(a) and any([isinstance(leaf, Tracer) for leaf in tree.leaves(a)])
    )


def dress(call: Any, definition: Definition, like: Any) -> Any:
    """Give a primitive's function the name, docstring and signature of `like`, `defvjp` and `defjvp`."""
    functools.update_wrapper(call, like)

    def decorator(add: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
        def define(argument: Any, /) -> Any:
            if callable(argument):
                add(None, argument)
                return argument
            key = definition.key(argument)

            def take(rule: F) -> F:
                add(key, rule)
                return rule

            return take

        return define

    call.defvjp, call.defjvp = decorator(definition.add), decorator(definition.add_forward)
    call.definition = definition
    return call


def array_function(
    function: Any,
    nondiff: Sequence[str] = (),
    constants: Sequence[str] = (),
    elementwise: bool = False,
    views: bool = False,
    joins: Callable[[Any], list[Any]] | None = None,
    **words: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """Make the decorated body the primitive that serves one of NumPy's functions where a value is traced.

    The body has the parameters of NumPy's function, in NumPy's order, as far as its rules know them.
    A traced value raises for those in `nondiff`, and is taken as plain for those in `constants`. Other
    calls go to NumPy's own function. If the function joins a list of arrays, `joins` makes such a list of its
    first argument. The other words (`linear`, `multilinear`, `reduces`, `scatters`) are those of `Definition`.
    """

    def decorate(body: Callable[..., Any]) -> Any:
        definition = Definition(body, function.__name__, nondiff, constants, elementwise, views, **words)
        made = general(definition, function, joins or _as_array, joins is not None)
        FUNCTIONS[function] = made
        return made

    return decorate


def composed(function: Any) -> Callable[[F], F]:
    """Let the decorated function serve one of NumPy's where a value is traced; it is written in primitives."""

    def decorate(body: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return (body if has_tracer(args, kwargs) else function)(*args, **kwargs)

        FUNCTIONS[function] = call
        return call  # type: ignore[return-value]

    return decorate


__all__ = ["Primitive", "array_function", "composed", "general", "has_tracer", "internal", "primitive"]
