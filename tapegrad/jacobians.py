"""Jacobians, Hessians and their products with vectors, from readings of one tape.

Trees as in JAX: each leaf of the result of `fun` is replaced by the tree of its argument, each leaf of which has the
shape of the one followed by that of the other.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, cast

import numpy as np

from . import tree
from .arguments import Argnums, check_argnums, choose
from .errors import InputError, OutputError, TangentError
from .linear import Recording, entered_spec, fit_tangents, jvp, put_together
from .primitives.forms import DEFINITIONS, UNFOLD
from .primitives.inputs import describe
from .primitives.recording import seeds, zeros
from .tracer import Spec, dtype_of, shape_of
from .transforms import Derivative, Transform, check_function, grad

P = ParamSpec("P")


class _Jacobian(Derivative[P, Any]):
    """Reads the tape once for each output, or once for each input: what `kind` says, or what is cheaper."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        call, words, chosen = choose(self.fun, self.argnums, args, kwargs, self.title)
        with Recording(self.fun, self.title, call, chosen, words, self.has_aux) as of:
            inputs = [entered_spec(leaf) for leaf in of.arguments.leaves]
            outputs = [spec for _, spec in of.outputs]
            backward = self._backward(of, inputs, outputs)
            table = (_rows if backward else _columns)(of, inputs, outputs)
            made = put_together([_arrange(blocks, of, self.argnums) for blocks in table], of.structure)
            return (made, of.aux) if self.has_aux else made

    def _backward(self, of: Recording, inputs: list[Spec], outputs: list[Spec]) -> bool:
        """Whether to read backward; raises where the Jacobian would mean something else than the caller thinks."""
        complex_in, complex_out = _is_complex(inputs), _is_complex(outputs)
        for leaf, spec in zip(of.leaves, outputs):
            if dtype_of(spec).kind not in "fc" or (self.holomorphic and dtype_of(spec).kind != "c"):
                raise OutputError(
                    f"{self.title} needs a function that returns {'complex' if self.holomorphic else 'real'} numbers; "
                    f"this one returned {describe(leaf)}",
                    f"holomorphic={self.holomorphic}",
                    "leave out holomorphic=True" if self.holomorphic else "return floats; has_aux=True for extras",
                )
        if self.holomorphic and not all(dtype_of(spec).kind == "c" for spec in inputs):
            raise InputError(
                f"{self.title} got a real argument", "holomorphic=True", "pass complex numbers, or leave it out"
            )
        forward = _size(inputs) < _size(outputs) if self.kind == "jacobian" else self.kind == "jacfwd"
        if not self.holomorphic and complex_in and complex_out:
            raise OutputError(
                f"{self.title} got complex arguments and results",
                "four real numbers would belong to each pair",
                "holomorphic=True if f is complex-differentiable; else differentiate by real and imaginary part",
            )
        if not self.holomorphic and (complex_in if self.kind == "jacfwd" else complex_out and self.kind == "jacrev"):
            raise OutputError(
                f"{self.title} goes {'forward from complex arguments' if complex_in else 'back from complex results'}",
                "holomorphic=False",
                "use jacrev for real results of complex arguments, jacfwd for complex results of real ones",
            )
        return complex_in or not (forward or complex_out) if not self.holomorphic else not forward


def _arrange(parts: list[Any], of: Recording, argnums: Argnums) -> Any:
    """What belongs to each leaf of the arguments, in their structure."""
    arguments = of.arguments.shape(parts)
    return arguments[0] if isinstance(argnums, int) else tuple(arguments)


def _check_real(of: Recording, why: str) -> None:
    for leaf, (_, spec) in zip(of.leaves, of.outputs):
        if dtype_of(spec).kind != "f":
            raise OutputError(
                f"{of.frame.name} needs a function that returns real numbers; this one returned {describe(leaf)}",
                why,
                "return floats, numpy.real of what is complex; has_aux=True for extras",
            )


def _is_complex(specs: Sequence[Spec]) -> bool:
    return any(dtype_of(spec).kind == "c" for spec in specs)


def _size(specs: Sequence[Spec]) -> int:
    return sum([math.prod(shape_of(spec)) for spec in specs])


def _basis(spec: Spec) -> Iterator[Any]:
    """The unit vectors of a spec."""
    shape = shape_of(spec)
    if isinstance(spec, type):
        yield spec(1)
    elif not shape:
        yield spec[1].type(1)
    else:
        for at in np.ndindex(shape):
            unit = np.zeros(*spec)
            unit[at] = 1
            yield unit


def _join(slices: list[Any], shape: tuple[int, ...], at_end: bool, like: Spec) -> Any:
    """One array from the slices for each element of an array of a shape, whose axes go to the front or to the end."""
    rest = shape_of(like)
    if not slices:
        return np.zeros((*rest, *shape) if at_end else (*shape, *rest), dtype_of(like))
    if not shape:
        return slices[0]
    made = np.stack(slices, axis=-1 if at_end else 0)
    return np.reshape(made, (*rest, *shape) if at_end else (*shape, *rest))


def _rows(of: Recording, inputs: list[Spec], outputs: list[Spec]) -> list[list[Any]]:
    """The blocks by output and input, from a backward reading for each output."""
    table = []
    for index, spec in of.outputs:
        units = _basis(spec)
        if index is None:  # nothing to read
            read = [[zeros(leaf) for leaf in of.arguments.leaves] for _ in units]
        else:
            read = [of.back([(index, unit)]) for unit in units]
        table.append([_join([row[k] for row in read], shape_of(spec), False, sp) for k, sp in enumerate(inputs)])
    return table


def _columns(of: Recording, inputs: list[Spec], outputs: list[Spec]) -> list[list[Any]]:
    """The blocks by output and input, from a forward reading for each input."""
    columns = [[of.forth({index: unit}) for unit in _basis(spec)] for index, spec in zip(of.arguments.indices, inputs)]
    return [
        [_join([column[k] for column in read], shape_of(sp), True, out) for read, sp in zip(columns, inputs)]
        for k, out in enumerate(outputs)
    ]


def jacrev(
    fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[P, Any]:
    """The Jacobian of a function by backward readings, one for each number in its result.

    Args:
        fun: returns an array, a number, or a nest of these.
        argnums: the position of the argument to differentiate by, or a sequence of positions.
        has_aux: `fun` returns a pair `(value, aux)`, and the result is `(jacobian, aux)`.
        holomorphic: `fun` is complex-differentiable; inputs and outputs are complex.

    Returns:
        A function with the arguments of `fun`. Its result has the structure of what `fun` returns; in the
        place of a leaf of shape s stands the structure of the argument, with a leaf of shape s + t for
        one of shape t. For a sequence of `argnums` there is a tuple of such structures.

    Raises:
        OutputError: complex results without `holomorphic`, results that are no numbers.

    >>> jacrev(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _Jacobian(fun, argnums, has_aux, holomorphic, "jacrev")


def jacfwd(
    fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[P, Any]:
    """The Jacobian of a function by forward readings, one for each number in its argument; else as `jacrev`.

    >>> jacfwd(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _Jacobian(fun, argnums, has_aux, holomorphic, "jacfwd")


def jacobian(
    fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[P, Any]:
    """The Jacobian of a function: `jacrev` or `jacfwd`, whichever reads the tape less often.

    >>> jacobian(lambda x: np.stack([x, x * x, x**3]))(2.0)
    array([ 1.,  4., 12.])
    """
    return _Jacobian(fun, argnums, has_aux, holomorphic, "jacobian")


class _Hessian(Transform[P, Any]):
    def __init__(self, fun: Callable[P, Any], argnums: Argnums, has_aux: bool, holomorphic: bool) -> None:
        super().__init__(fun, "hessian")
        self.options = check_argnums(argnums, "hessian"), has_aux, holomorphic
        gradient = _Jacobian(fun, *self.options, "jacrev")
        self.steps = _Jacobian(gradient, *self.options, "jacfwd")
        gradient.title = self.steps.title = self.title

    def __reduce__(self) -> Any:
        return type(self), (self.fun, *self.options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.steps(*args, **kwargs)


def hessian(
    fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[P, Any]:
    """The second derivatives of a function: `jacfwd(jacrev(fun))`.

    The gradient is recorded once, and that tape read forward once for each number in the argument. Arguments
    and structure are those of `jacrev`, twice: `hessian(f)(p)["w"]["b"]` has the shape of w followed by that of b.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return _Hessian(fun, argnums, has_aux, holomorphic)


_SIGNATURE = inspect.signature(lambda *args, **kwargs: None)


class _Product(Transform[Any, Any]):
    """What takes the arguments of a function and a vector like those that it is differentiated by."""

    def __init__(self, fun: Callable[..., Any], argnums: Argnums, has_aux: bool, kind: str) -> None:
        super().__init__(fun, kind)
        cast(Any, self).__signature__ = _SIGNATURE  # not that of the function
        self.argnums = check_argnums(argnums, kind)
        self.has_aux = has_aux

    def _choose(self, args: Sequence[Any], kwargs: Any) -> tuple[Any, Any, Any, Any]:
        """The call, which of its arguments are chosen, and the vector's part for each of them."""
        if len(args) < 2:
            raise InputError(
                f"{self.title} got {len(args)} argument{'s' * (len(args) != 1)}",
                "it takes those of the function, and then the vector",
                f"write {self.title}(x, v)",
            )
        *primals, v = args
        v = tree.map(lambda a: a.copy() if type(a) is np.ndarray else a, v)  # before the function can change it
        call, words, chosen = choose(self.fun, self.argnums, primals, kwargs, self.title)
        if isinstance(self.argnums, int):
            return call, words, chosen, (v,)
        if not isinstance(v, (tuple, list)):
            raise TangentError(
                f"{self.title} got a {type(v).__name__} for its vector",
                f"it was made with argnums={self.argnums}",
                "pass a tuple, with a part for each argument",
            )
        return call, words, chosen, v


class _HessianProduct(_Product):
    def __init__(self, fun: Callable[..., Any], argnums: Argnums, has_aux: bool) -> None:
        super().__init__(fun, argnums, has_aux, "hvp")
        self.gradient = grad(fun, argnums, has_aux)

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.argnums, self.has_aux)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call, words, chosen, vector = self._choose(args, kwargs)
        with Recording(self.gradient, self.title, call, chosen, words, self.has_aux, valued=False) as of:
            tangents = fit_tangents(self.title, vector, of.arguments)
            if _is_symmetric(of):  # then back is as good as forth, and costs less
                ends = [index for index, _ in of.outputs]
                parts = of.back([(i, t) for i, t in zip(ends, tangents.values()) if i is not None])
            else:
                parts = of.forth(tangents)
            made = _arrange(parts, of, self.argnums)
            return (made, of.aux) if self.has_aux else made


def _is_symmetric(of: Recording) -> bool:
    """Whether the derivative of a recorded gradient is symmetric: rules that the library knows tell the truth."""
    forms = {e[2] for e in of.entries}
    known = [form not in UNFOLD and ((d := DEFINITIONS[form]) is None or d.known) for form in forms]
    return not of.frame.tape.custom and all(known)


def hvp(fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The product of the Hessian with a vector, without the Hessian: `hvp(f)(x, v)`.

    The gradient is recorded, and that tape read once: backward where all rules are the library's, for the Hessian is
    symmetric then; forward, as `hessian` does, where `fun` has rules of its author's.

    Args:
        fun: returns one real number.
        argnums: the position of the argument to differentiate by, or a sequence of positions.
        has_aux: `fun` returns a pair `(value, aux)`, and the result is `(product, aux)`.

    Returns:
        A function of the arguments of `fun` and then `v`, which is like the chosen argument, or a tuple of
        such for a sequence of `argnums`. So is its result.

    >>> hvp(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]), np.array([1.0, 0.0]))
    array([10.,  6.])
    """
    return _HessianProduct(fun, argnums, has_aux)


class _GaussNewtonProduct(_Product):
    def __init__(self, fun: Callable[..., Any], loss: Any, argnums: Argnums, has_aux: bool) -> None:
        super().__init__(fun, argnums, has_aux, "gnvp")
        if loss is not None:
            check_function(loss, "gnvp")
        self.loss = loss

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.loss, self.argnums, self.has_aux)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call, words, chosen, vector = self._choose(args, kwargs)
        with Recording(self.fun, self.title, call, chosen, words, self.has_aux) as of:
            _check_real(of, "the Gauss-Newton matrix is that of a real function")
            u = put_together(of.forth(fit_tangents(self.title, vector, of.arguments)), of.structure)
            if self.loss is not None:
                _, u = jvp(grad(self.loss), (of.value,), (u,))
            made = _arrange(of.back([*seeds(self.title, u, of.structure, of.outputs)]), of, self.argnums)
            return (made, of.aux) if self.has_aux else made


def gnvp(
    fun: Callable[..., Any], loss: Callable[[Any], Any] | None = None, argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The Gauss-Newton product Jᵀ·H·J·v: J the Jacobian of `fun`, H the Hessian of `loss` at its result.

    Args:
        fun: real; returns an array, a number, or a nest of these.
        loss: from what `fun` returns to one real number; without it H is the identity.
        argnums, has_aux: as for `hvp`.

    Returns:
        A function of the arguments of `fun` and then `v`, as that of `hvp`.

    Source: N. Schraudolph, Fast curvature matrix-vector products, Neural Computation 14 (2002).

    >>> gnvp(lambda x: x * x, lambda y: np.sum(y**2))(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 8., 32.])
    """
    return _GaussNewtonProduct(fun, loss, argnums, has_aux)


class _ElementwiseGrad(Transform[P, Any]):
    def __init__(self, fun: Callable[P, Any], argnums: Argnums, has_aux: bool) -> None:
        super().__init__(fun, "elementwise_grad")
        self.argnums = check_argnums(argnums, "elementwise_grad")
        self.has_aux = has_aux

    def __reduce__(self) -> Any:
        return type(self), (self.fun, self.argnums, self.has_aux)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        call, words, chosen = choose(self.fun, self.argnums, args, kwargs, self.title)
        with Recording(self.fun, self.title, call, chosen, words, self.has_aux) as of:
            _check_real(of, "it is the derivative of each number by the one in its place")
            ones = [(i, np.ones(*spec) if isinstance(spec, tuple) else 1.0) for i, spec in of.outputs if i is not None]
            made = _arrange(of.back(ones), of, self.argnums)
            return (made, of.aux) if self.has_aux else made


def elementwise_grad(fun: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[P, Any]:
    """The derivative of a function of each element, at each element: the gradient of the sum of what it returns.

    Args:
        fun: real; what it does with one element of its argument does not depend on the others.
        argnums: the position of the argument to differentiate by, or a sequence of positions.
        has_aux: `fun` returns a pair `(value, aux)`, and the result is `(derivative, aux)`.

    Returns:
        A function with the arguments of `fun`; its result is like the chosen argument.

    >>> elementwise_grad(lambda x: x**3)(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    return _ElementwiseGrad(fun, argnums, has_aux)


__all__ = ["elementwise_grad", "gnvp", "hessian", "hvp", "jacfwd", "jacobian", "jacrev"]
