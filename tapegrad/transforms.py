"""Gradients: a function goes in, its gradient comes out, one backward reading of the tape a call."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from . import tree
from .arguments import Argnums, Arguments, check_argnums, choose
from .errors import InputError, OutputError
from .frame import Frame
from .primitives.inputs import describe
from .primitives.notes import tell
from .primitives.recording import check_unchanged, lower
from .replay.backward import read
from .tracer import Spec, Tracer, constant_of, dtype_of, is_inexact, shape_of, spec_of

P = ParamSpec("P")
R = TypeVar("R")

# of the usual results, what they get to begin with
_SEEDS: dict[Any, Any] = {float: 1.0} | {((), np.dtype(t)): t(1) for t in (np.float64, np.float32)}


def check_function(fun: Any, name: str) -> None:
    if not callable(fun):
        raise InputError(
            f"{name} needs a function, and got {fun!r}"[:200],
            f"it is a {type(fun).__name__}, which cannot be called",
            f"write {name}(f)(x) with f a function of x",
        )


class Transform(Generic[P, R]):
    """A function made from a function: keeps its name, signature and docstring, and pickles when it does.

    One that a decorator has put in the place of its function pickles by its name, as functions do.
    """

    def __init__(self, fun: Callable[P, Any], kind: str) -> None:
        check_function(fun, kind)
        functools.update_wrapper(cast(Any, self), fun, updated=())
        self.fun = fun
        self.title = f"{kind}({getattr(fun, '__name__', type(fun).__name__)})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        path = getattr(self, "__qualname__", "")  # which not every callable has
        found: Any = sys.modules.get(self.__module__)
        for name in path.split("."):
            found = getattr(found, name, None)
        return path if found is self else super().__reduce_ex__(protocol)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(cast(Any, self), instance)

    def __repr__(self) -> str:
        return f"<{self.title}>"


class Derivative(Transform[P, R]):
    """A derivative by the arguments at `argnums`; `kind` is the name of what it is made with."""

    def __init__(self, fun: Callable[P, Any], argnums: Argnums, has_aux: bool, holomorphic: bool, kind: str) -> None:
        super().__init__(fun, kind)
        self.argnums = check_argnums(argnums, kind)
        self.has_aux = has_aux
        self.holomorphic = holomorphic
        self.kind = kind

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.argnums, self.has_aux, self.holomorphic, self.kind)


class _ValueAndGrad(Derivative[P, R]):
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        argnums = self.argnums
        aux: Any = None
        index: int | None
        fun: Any = self.fun
        frame = Frame(self.title)
        try:
            frame.open()
            call: list[Any]
            if type(argnums) is int and 0 <= argnums < len(args):
                call, words, chosen = [*args], kwargs, (argnums,)
            else:
                call, words, chosen = choose(fun, argnums, args, kwargs, self.title)
            arguments = Arguments(frame, call, chosen, fun)
            out = fun(*call, **words)
            del call
            if self.has_aux:
                out, aux = split_aux(out, self.title)
                aux = lower(frame, aux, apart=bool(frame.outer))
            seed = _SEEDS.get(out._spec) if type(out) is Tracer and out._scope is frame.scope else None
            if seed is not None and not self.holomorphic:
                index, out = out._index, out._value  # the usual case
            else:
                index, spec = _scalar(out, frame, self.holomorphic)
                seed = 1.0 if spec is float else dtype_of(spec).type(1)
                out = lower(frame, out)
            entries = frame.close()
            cots = frame.cotangents()
            notes: Any = None
            if index is not None:
                check_unchanged(frame, entries)
                cots[index] = seed
                notes = read(frame, entries, cots)
        finally:
            frame.leave()
        gradients = arguments.gather(cots)
        if notes:
            tell(notes, tree.leaves(gradients), self.title)
        result = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        if self.kind == "grad":
            return (result, aux) if self.has_aux else result
        return ((out, aux), result) if self.has_aux else (out, result)


def check_computed(out: Any, name: str) -> None:
    """Raise where a function was an async one: it has computed nothing yet."""
    if inspect.iscoroutine(out):
        out.close()  # or Python warns that nobody awaited it
        raise OutputError(
            f"{name} needs a function that computes; this one is async and returned a coroutine",
            "nothing in it has run",
            "await what it needs outside, and pass that to a function made with def or lambda",
        )


def split_aux(out: Any, name: str) -> tuple[Any, Any]:
    check_computed(out, name)
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise OutputError(
            f"{name} was made with has_aux=True, but its function did not return a pair",
            f"it returned a {type(out).__name__}" + (f" of {len(out)}" if isinstance(out, (tuple, list)) else ""),
            "return value, aux",
        )
    return out[0], out[1]


def _scalar(out: Any, frame: Frame, holomorphic: bool) -> tuple[int | None, Spec]:
    """The index and the spec of an output that is one number; no index where it does not depend on the inputs."""
    if isinstance(out, Tracer):
        spec = out._spec
    elif is_inexact(out):
        spec = spec_of(out)
    else:
        check_computed(out, frame.name)
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


def stop_gradient(x: Any) -> Any:
    """`x` without its derivative: the plain value of what is traced, in nests too.

    Inside a transform the result is a constant. It is a copy, so changing it changes nothing else.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    """
    if isinstance(x, Tracer):
        value = constant_of(x, "stop_gradient")
        return value.copy("K") if type(value) is np.ndarray else value
    return tree.map(stop_gradient, x) if tree.is_node(x) else x


__all__ = ["grad", "stop_gradient", "value_and_grad"]
