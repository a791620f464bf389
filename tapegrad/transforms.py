"""What users call: a function goes in, a function comes out. Each is thin over a reading of the tape."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from . import tree
from .errors import ArgnumsError, InputError, OutputError
from .primitives.recording import collect, describe, enter, lower, seeds
from .replay.backward import read
from .replay.table import ReadableTape
from .tape import Entry, Frame
from .tracer import Spec, Tracer, dtype_of, is_inexact, shape_of, spec_of

P = ParamSpec("P")
R = TypeVar("R")

Argnums = int | Sequence[int]

_REALS = (float, ((), np.dtype(np.float64)))
_LEAVES = frozenset({float, np.ndarray, Tracer})


class _Arguments:
    """The arguments of one call that are differentiated by, taken apart into leaves."""

    __slots__ = ("chosen", "indices", "leaves", "structures")

    def __init__(self, frame: Frame, args: list[Any], chosen: tuple[int, ...]) -> None:
        self.chosen = chosen
        self.leaves: list[Any] = []
        self.indices: list[int] = []
        self.structures: list[Any] = []  # None for an argument that is a leaf
        for k in chosen:
            argument = args[k]
            if type(argument) in _LEAVES or not tree.is_node(argument):
                leaves, structure = [argument], None
            else:
                leaves, structure = tree.flatten(argument)
            made = enter(frame, leaves, functools.partial(_path, argument, k))
            args[k] = made[0] if structure is None else structure.unflatten(made)
            self.leaves += leaves
            self.indices += [t._index for t in made]
            self.structures.append(structure)

    def gather(self, cots: Any) -> list[Any]:
        """The cotangents, one for each chosen argument, in its structure."""
        results = collect(self.leaves, self.indices, cots)
        if len(self.structures) == 1:
            (structure,) = self.structures
            return results if structure is None else [structure.unflatten(results)]
        rest = iter(results)
        return [
            next(rest) if s is None else s.unflatten([next(rest) for _ in range(s.num_leaves)])
            for s in self.structures
        ]


def _path(argument: Any, k: int, j: int) -> str:
    """The name of the j-th leaf of argument k: argument 0['w'][1]."""
    return f"argument {k}{tree.keystr(tree.leaves_with_path(argument)[j][0])}"


def _check_function(fun: Any, name: str) -> None:
    if not callable(fun):
        raise InputError(
            f"{name} needs a function, and got {fun!r}"[:200],
            f"it is a {type(fun).__name__}, which cannot be called",
            f"write {name}(f)(x) with f a function of x",
        )


def _check_argnums(argnums: Any, name: str) -> int | tuple[int, ...]:
    """argnums as an int or a tuple of ints."""
    given = [argnums] if isinstance(argnums, (int, np.integer)) else argnums
    try:
        if isinstance(argnums, (str, Mapping, Set)) or any(isinstance(k, (bool, np.bool_)) for k in given):
            raise TypeError
        numbers = tuple([operator.index(k) for k in given])
    except TypeError:
        raise ArgnumsError(
            f"{name} got argnums={argnums!r}",
            "argnums is the position of an argument, or a sequence of positions",
            "write argnums=0 or argnums=(0, 1)",
        ) from None
    return numbers[0] if given is not argnums else numbers


def _choose(fun: Any, argnums: int | tuple[int, ...], args: Any, kwargs: Any, name: str) -> Any:
    """The call with every differentiated argument in its position, and those positions."""
    if isinstance(argnums, int) and 0 <= argnums < len(args):
        return list(args), kwargs, (argnums,)
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if kwargs and any(k >= len(args) or k < 0 for k in numbers):
        try:
            bound = inspect.signature(fun).bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        except (TypeError, ValueError):
            pass
    n = len(args)
    chosen = tuple([k + n if k < 0 else k for k in numbers])
    if any(not 0 <= k < n for k in chosen) or len(set(chosen)) < len(chosen):
        twice = "" if any(not 0 <= k < n for k in chosen) else ", which names an argument twice"
        raise ArgnumsError(
            f"{name} got argnums={argnums!r}{twice}",
            f"the function was called with {n} positional argument{'s' * (n != 1)}",
            f"choose from 0 to {n - 1}" if n else "pass what to differentiate by as a positional argument",
        )
    return list(args), kwargs, chosen


class _Transform(Generic[P, R]):
    """A function made from a function: keeps its name, signature and docstring, and pickles when it does."""

    def __init__(self, fun: Callable[P, Any], kind: str) -> None:
        _check_function(fun, kind)
        functools.update_wrapper(cast(Any, self), fun)
        self.fun = fun
        self.title = f"{kind}({getattr(fun, '__name__', type(fun).__name__)})"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(cast(Any, self), instance)

    def __repr__(self) -> str:
        return f"<{self.title}>"


class _ValueAndGrad(_Transform[P, R]):
    def __init__(self, fun: Callable[P, Any], argnums: Any, has_aux: bool, holomorphic: bool, kind: str) -> None:
        super().__init__(fun, kind)
        self.argnums = _check_argnums(argnums, kind)
        self.has_aux = has_aux
        self.holomorphic = holomorphic
        self.kind = kind

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.argnums, self.has_aux, self.holomorphic, self.kind)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        argnums = self.argnums
        aux: Any = None
        frame = Frame(self.title)
        try:
            frame.open()
            call, kwargs, chosen = _choose(self.fun, argnums, args, kwargs, self.title)
            arguments = _Arguments(frame, call, chosen)
            out = self.fun(*call, **kwargs)
            del call
            if self.has_aux:
                out, aux = _split(out, self.title)
                aux = lower(frame, aux)
            index, spec = _scalar(out, frame, self.holomorphic)
            out = lower(frame, out)
        finally:
            entries = frame.close()
        cots = frame.cotangents()
        if index is not None:
            cots[index] = 1.0 if spec is float else dtype_of(spec).type(1)
            read(frame, entries, cots)
        gradients = arguments.gather(cots)
        result = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        if self.kind == "grad":
            return (result, aux) if self.has_aux else result
        return ((out, aux), result) if self.has_aux else (out, result)


def _split(out: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise OutputError(
            f"{name} was made with has_aux=True, but its function did not return a pair",
            f"it returned a {type(out).__name__}" + (f" of {len(out)}" if isinstance(out, (tuple, list)) else ""),
            "return value, aux",
        )
    return out[0], out[1]


def _scalar(out: Any, frame: Frame, holomorphic: bool) -> tuple[int | None, Spec]:
    """The index and the spec of an output that is one number; no index where it does not depend on the inputs."""
    if type(out) is Tracer and out._scope is frame.scope and out._spec in _REALS and not holomorphic:
        return out._index, out._spec  # the usual case
    if isinstance(out, Tracer):
        spec = out._spec
    elif is_inexact(out):
        spec = spec_of(out)
    else:
        what = describe(out)
        raise OutputError(
            f"{frame.name} needs a function that returns one real number; this one returned {what}",
            "a derivative needs a result that can vary continuously",
            "return a float: for several results use has_aux=True or tapegrad.vjp",
        )
    if shape_of(spec):
        raise OutputError(
            f"{frame.name} needs a function that returns one number; this one returned {describe(out)}",
            "a gradient is the derivative of one number",
            "sum the result, or use tapegrad.vjp",
        )
    is_complex = dtype_of(spec).kind == "c"
    if is_complex != holomorphic:
        raise OutputError(
            f"{frame.name} needs a function that returns a {'complex' if holomorphic else 'real'} number; "
            f"this one returned {describe(out)}",
            f"holomorphic={holomorphic}",
            "take numpy.real or numpy.abs of the result; holomorphic=True if f is complex-differentiable"
            if is_complex
            else "leave out holomorphic=True",
        )
    traced = isinstance(out, Tracer) and out._scope.tape is frame.tape and out._scope.mask & frame.bit
    return (out._index if traced else None), spec


def grad(
    fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[P, Any]:
    """The gradient of a function that returns one real number, as a function of the same arguments.

    Args:
        fun: returns a float, a NumPy scalar or an array of shape `()`.
        argnums: the position of the argument to differentiate by (negative counts from the end), or a
            sequence of positions. An argument is a float, an array, or a nest of these (`tapegrad.tree`).
        has_aux: `fun` returns a pair `(value, aux)`, and the result is `(gradient, aux)`.
        holomorphic: `fun` is complex-differentiable; inputs and output are complex.

    Returns:
        A function with the arguments of `fun`. Its result has the structure of the chosen argument, each
        leaf of the shape and dtype of its own; for a sequence of `argnums`, a tuple of such.
        For real `fun` of a complex z = x + iy it is ∂f/∂x − i ∂f/∂y (as in JAX and autograd): step
        against its conjugate to descend.

    Raises:
        InputError: by what cannot be differentiated (integers, strings, ...). A Python int counts as float.
        OutputError: `fun` returned something else than one real number.

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    """
    return _ValueAndGrad(fun, argnums, has_aux, holomorphic, "grad")


def value_and_grad(
    fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[P, tuple[Any, Any]]:
    """The value of a function and its gradient, computed together; arguments as for `grad`.

    Returns:
        A function that gives `(value, gradient)`, with `has_aux` `((value, aux), gradient)`.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (9.0, 6.0)
    """
    return _ValueAndGrad(fun, argnums, has_aux, holomorphic, "value_and_grad")


class _Pullback:
    """From the cotangent of an output to those of the inputs, as often as one likes."""

    def __init__(
        self, frame: Frame, entries: list[Entry], arguments: _Arguments, outputs: list[Any], structure: Any
    ) -> None:
        self.frame = frame
        self.entries = entries
        self.arguments = arguments
        self.outputs = outputs  # (index or None, spec or None) of each leaf
        self.structure = structure

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        frame = self.frame
        cots = frame.cotangents()
        for index, c in seeds(frame.name, cotangent, self.structure, self.outputs):
            held = cots[index]
            cots[index] = c if held is None else held + c
        read(frame, self.entries.copy(), cots)
        return tuple(self.arguments.gather(cots))


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun(*primals)`, and the function that takes a cotangent of it back to the primals.

    Args:
        fun: returns an array, a number, or a nest of these.
        primals: arrays, floats, or nests of these.
        has_aux: `fun` returns a pair `(value, aux)`.

    Returns:
        `(value, pullback)`, with `has_aux` `(value, pullback, aux)`. `pullback(g)` takes `g` of the
        structure, shapes and dtypes of the value, and gives a tuple with one cotangent for each primal. It
        may be called again, later, and inside other transforms.

    >>> value, pullback = vjp(lambda x, y: x * y, 3.0, 4.0)
    >>> value, pullback(1.0)
    (12.0, (4.0, 3.0))
    """
    _check_function(fun, "vjp")
    aux: Any = None
    frame = Frame(f"vjp({getattr(fun, '__name__', type(fun).__name__)})")
    try:
        frame.open()
        call = list(primals)
        arguments = _Arguments(frame, call, tuple(range(len(call))))
        out = fun(*call)
        if has_aux:
            out, aux = _split(out, frame.name)
            aux = lower(frame, aux, apart=True)
        nest = tree.is_node(out)
        leaves, structure = tree.flatten(out) if nest else ([out], None)
        outputs = [_output(leaf, frame) for leaf in leaves]
        value = lower(frame, out, apart=True)
    finally:
        entries = frame.close()
    pullback = _Pullback(frame, entries, arguments, outputs, structure)
    return (value, pullback, aux) if has_aux else (value, pullback)


def _output(leaf: Any, frame: Frame) -> tuple[int | None, Spec | None]:
    if isinstance(leaf, Tracer):
        depends = leaf._scope.tape is frame.tape and leaf._scope.mask & frame.bit
        return (leaf._index if depends else None), leaf._spec
    if isinstance(leaf, (np.ndarray, np.generic, int, float, complex)):
        return None, None
    raise OutputError(
        f"{frame.name} needs a function that returns arrays; this one returned a {type(leaf).__name__}",
        "results may be numbers, arrays, and nests of these (list, tuple, dict, None, registered classes)",
        "return extras with has_aux=True",
    )


def stop_gradient(x: Any) -> Any:
    """`x` without its derivative: the plain value of what is traced, in nests too.

    Inside a transform the result is a constant. It is a copy, so changing it changes nothing else.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    """
    if isinstance(x, Tracer):
        return x._value.copy() if type(x._value) is np.ndarray else x._value
    return tree.map(stop_gradient, x) if tree.is_node(x) else x


class _Trace(_Transform[P, Any]):
    def __init__(self, fun: Callable[P, Any]) -> None:
        super().__init__(fun, "trace")

    def __reduce__(self) -> Any:
        return type(self), (self.fun,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ReadableTape:
        frame = Frame(self.title, complete=True)
        try:
            frame.open()
            call: list[Any] = list(args)
            chosen = [k for k, a in enumerate(args) if _varies(a)]
            if not chosen:
                chosen = [k for k, a in enumerate(args) if type(a) is int]
            arguments = _Arguments(frame, call, tuple(chosen))
            out = cast(Any, self.fun)(*call, **kwargs)
            leaves, structure = tree.flatten(out) if tree.is_node(out) else ([out], None)
            outputs = [_output(leaf, frame) for leaf in leaves]
            value = lower(frame, out, apart=True)
        finally:
            entries = frame.close()
        names = _argument_names(self.fun, args, arguments)
        return ReadableTape(frame, entries, arguments, names, structure, outputs, value)


def _varies(argument: Any) -> bool:
    """Whether an argument has a leaf that can vary continuously."""
    return any(isinstance(leaf, Tracer) or is_inexact(leaf) for leaf in tree.leaves(argument))


def _argument_names(fun: Any, args: Any, arguments: _Arguments) -> list[str]:
    """The names of the traced leaves, as a person would write them: x, params['w']."""
    try:
        parameters = [p.name for p in inspect.signature(fun).parameters.values() if p.kind < p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        parameters = []
    names = []
    for k in arguments.chosen:
        name = parameters[k] if k < len(parameters) else f"argument {k}"
        names += [name + tree.keystr(path) for path, _ in tree.leaves_with_path(args[k])]
    return names


def trace(fun: Callable[P, Any]) -> Callable[P, ReadableTape]:
    """What a call of `fun` writes on the tape, complete: every value, every entry.

    Args:
        fun: any function of numbers and arrays. Arguments that hold floats are traced; if there are none,
            integers are, as floats.

    Returns:
        A function with the arguments of `fun` that gives the tape. `print(tape)` is a table,
        `tape.backward()` adds the cotangents, `tape.steps()` walks the backward reading entry by entry.

    >>> tape = trace(lambda x, y: x * y + x)(2.0, 3.0)
    >>> tape.backward()
    (4.0, 2.0)
    >>> print(tape)
     #  operation  inputs  type   value  cotangent
    %0  x                  float  2.0    4.0
    %1  y                  float  3.0    2.0
    %2  multiply   %0, %1  float  6.0    1.0
    %3  add        %2, %0  float  8.0    1.0
    """
    return _Trace(fun)


__all__ = ["grad", "stop_gradient", "trace", "value_and_grad", "vjp"]
