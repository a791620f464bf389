"""Workloads of primitives whose rule is the user's: a thousand calls, of a number and of arrays of 100 numbers.

Each library takes the function and its derivative as its documentation says; a definition is made once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy
from workload import Function, Workload

import tapegrad

_CALLS = 1_000
Definition = Callable[[], Function]


# inverse(x) = 1.5 / x, whose derivative is −y / x


def _inverse(x: Any) -> Any:
    return 1.5 / x


@cache
def _inverse_of_tapegrad() -> Function:
    inverse = tapegrad.primitive(_inverse)

    @inverse.defvjp("x")
    def _(g: Any, y: Any, x: Any) -> Any:
        return -g * y / x

    return inverse


@cache
def _inverse_of_autograd() -> Function:
    extend: Any = importlib.import_module("autograd.extend")
    inverse = extend.primitive(_inverse)
    extend.defvjp(inverse, lambda y, x: lambda g: -g * y / x)
    return inverse


@cache
def _inverse_of_advect() -> Function:
    inverse: Any = importlib.import_module("advect").primitive(_inverse)

    @inverse.def_jvp
    def _(y: Any, primals: Any, tangents: Any) -> Any:
        return -tangents[0] * y / primals[0]

    @inverse.def_transpose
    def _(g: Any, primals: Any, y: Any) -> Any:
        return (-g * y / primals[0],)

    return inverse


@cache
def _inverse_of_torch() -> Function:
    base: Any = importlib.import_module("torch").autograd.Function

    class Inverse(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = _inverse(x)
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return -g * y / x

    return Inverse.apply


@cache
def _inverse_of_jax() -> Function:
    inverse: Any = importlib.import_module("jax").custom_vjp(_inverse)

    def forward(x: Any) -> Any:
        y = _inverse(x)
        return y, (x, y)

    inverse.defvjp(forward, lambda kept, g: (-g * kept[1] / kept[0],))
    return inverse


@cache
def _inverse_of_mygrad() -> Function:
    mygrad: Any = importlib.import_module("mygrad")
    base: Any = importlib.import_module("mygrad.operation_base").Operation

    class Inverse(base):
        def __call__(self, x: Any) -> Any:
            self.variables, self.y = (x,), _inverse(x.data)
            return self.y

        def backward_var(self, grad: Any, index: int, **kwargs: Any) -> Any:
            return -grad * self.y / self.variables[0].data

    return lambda x: mygrad.execute_op(Inverse, x)


def inverses(define: Definition) -> Callable[[Any], Function]:
    def make(_np: Any) -> Function:
        inverse = define()

        def f(x: Any) -> Any:
            for _ in range(_CALLS):
                x = inverse(x)
            return x

        return f

    return make


def inverses_by_hand(x: float) -> tuple[float, float]:
    kept = []
    for _ in range(_CALLS):
        y = 1.5 / x
        kept.append((x, y))
        x = y
    g = 1.0
    for x_in, y in reversed(kept):
        g = -g * y / x_in
    return x, g


# affine(x, w, b) = x w + b, with one rule for all three


def _affine(x: Any, w: Any, b: Any) -> Any:
    return x * w + b


@cache
def _affine_of_tapegrad() -> Function:
    affine = tapegrad.primitive(_affine)

    @affine.defvjp
    def _(g: Any, _y: Any, x: Any, w: Any, _b: Any) -> Any:
        return g * w, g * x, g

    return affine


@cache
def _affine_of_autograd() -> Function:
    extend: Any = importlib.import_module("autograd.extend")
    affine = extend.primitive(_affine)
    extend.defvjp_argnums(affine, lambda _argnums, _y, args, _kwargs: lambda g: (g * args[1], g * args[0], g))
    return affine


@cache
def _affine_of_advect() -> Function:
    affine: Any = importlib.import_module("advect").primitive(_affine)

    @affine.def_jvp
    def _(_y: Any, primals: Any, tangents: Any) -> Any:
        x, w, _b = primals
        return sum([part * t for part, t in zip((w, x, 1.0), tangents) if t is not None])

    @affine.def_transpose
    def _(g: Any, primals: Any, _y: Any) -> Any:
        x, w, _b = primals
        return g * w, g * x, g

    return affine


@cache
def _affine_of_torch() -> Function:
    base: Any = importlib.import_module("torch").autograd.Function

    class Affine(base):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any, b: Any) -> Any:
            ctx.save_for_backward(x, w)
            return _affine(x, w, b)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            return g * w, g * x, g

    return Affine.apply


@cache
def _affine_of_jax() -> Function:
    affine: Any = importlib.import_module("jax").custom_vjp(_affine)

    def backward(kept: Any, g: Any) -> Any:
        x, w = kept
        return g * w, g * x, g

    affine.defvjp(lambda x, w, b: (_affine(x, w, b), (x, w)), backward)
    return affine


@cache
def _affine_of_mygrad() -> Function:
    """It asks for one argument at a time."""
    mygrad: Any = importlib.import_module("mygrad")
    base: Any = importlib.import_module("mygrad.operation_base").Operation

    class Affine(base):
        def __call__(self, x: Any, w: Any, b: Any) -> Any:
            self.variables = x, w, b
            return _affine(x.data, w.data, b.data)

        def backward_var(self, grad: Any, index: int, **kwargs: Any) -> Any:
            x, w, _b = self.variables
            return grad * w.data if index == 0 else grad * x.data if index == 1 else grad

    return lambda x, w, b: mygrad.execute_op(Affine, x, w, b)


def affines(define: Definition) -> Callable[[Any], Function]:
    def make(np: Any) -> Function:
        affine = define()

        def f(p: Any) -> Any:
            x, w, b = p
            for _ in range(_CALLS):
                x = affine(x, w, b)
            return np.sum(x)

        return f

    return make


def affines_by_hand(p: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    np, (x, w, b), kept = numpy, p, []
    for _ in range(_CALLS):
        kept.append(x)
        x = x * w + b
    g, gw, gb = np.ones_like(x), np.zeros_like(w), np.zeros_like(b)
    for x_in in reversed(kept):
        gw += g * x_in
        gb += g
        g = g * w
    return np.sum(x), (g, gw, gb)


def _affine_args() -> tuple[Any, ...]:
    rng = numpy.random.default_rng(15)
    return ((rng.normal(size=100), rng.uniform(0.99, 1, 100), rng.normal(size=100) / 100),)


def unknown(_np: Any) -> Function:
    raise NotImplementedError("how it takes a primitive of one's own is not said here")


INVERSES = Workload(
    "1,000 calls of an own primitive, a number",
    unknown,
    inverses_by_hand,
    (0.7,),
    makes={
        "tapegrad": inverses(_inverse_of_tapegrad),
        "autograd": inverses(_inverse_of_autograd),
        "Advect": inverses(_inverse_of_advect),
        "PyTorch": inverses(_inverse_of_torch),
        "JAX": inverses(_inverse_of_jax),
        "MyGrad": inverses(_inverse_of_mygrad),
        "micrograd": None,
    },
)
AFFINES = Workload(
    "1,000 calls of an own primitive, x w + b of 100",
    unknown,
    affines_by_hand,
    _affine_args(),
    makes={
        "tapegrad": affines(_affine_of_tapegrad),
        "autograd": affines(_affine_of_autograd),
        "Advect": affines(_affine_of_advect),
        "PyTorch": affines(_affine_of_torch),
        "JAX": affines(_affine_of_jax),
        "MyGrad": affines(_affine_of_mygrad),
        "micrograd": None,
    },
)
