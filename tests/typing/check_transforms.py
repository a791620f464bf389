"""What an editor and a checker see of transformed functions. Checked by mypy and pyright; never run."""

from collections.abc import Callable
from typing import Any, assert_type

import tapegrad as tg


def loss(x: float, w: float, *, scale: float = 1.0) -> float:
    """scale x w"""
    return scale * x * w


def pair(x: float) -> tuple[float, str]:
    return x * x, "aux"


# each keeps the parameters

assert_type(tg.grad(loss)(1.0, 2.0), Any)
assert_type(tg.value_and_grad(loss)(1.0, 2.0, scale=3.0), tuple[Any, Any])
assert_type(tg.jacrev(loss)(1.0, w=2.0), Any)
assert_type(tg.jacfwd(loss)(x=1.0, w=2.0), Any)
assert_type(tg.jacobian(loss)(1.0, 2.0), Any)
assert_type(tg.hessian(loss)(1.0, 2.0), Any)
assert_type(tg.elementwise_grad(loss)(1.0, 2.0), Any)

tg.grad(loss)(1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.value_and_grad(loss)(1.0, 2.0, 3.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.jacrev(loss)("x", 2.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tg.jacfwd(loss)(1.0, 2.0, size=3.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.jacobian(loss)()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.hessian(loss)(1.0, scale=2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.elementwise_grad(loss)(1.0, [2.0])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# and so do nested ones

twice: Callable[[float], Any] = tg.jacfwd(tg.grad(lambda x: x * x))
tg.hessian(tg.jacrev(loss), argnums=(0, 1), has_aux=False, holomorphic=False)(1.0, 2.0)
tg.jacfwd(tg.grad(loss))(1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.jacrev(tg.value_and_grad(pair, has_aux=True))("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# options

tg.grad(loss, (0, 1), True, False)
tg.jacrev(loss, argnums=[0])
tg.jacfwd(loss, argnums="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tg.hessian(loss, argnum=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.elementwise_grad(loss, holomorphic=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tg.jacobian(3.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# what takes a vector besides, and what is called at once

tg.hvp(loss)(1.0, 2.0, 1.0, scale=3.0)
tg.gnvp(pair, lambda y: y * y, argnums=0, has_aux=True)(1.0, 1.0)
tg.gnvp(loss, 3.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
value, tangent = tg.jvp(loss, (1.0, 2.0), (1.0, 0.0))
value, tangent, aux = tg.jvp(pair, [1.0], [1.0], has_aux=True)
tg.jvp(loss, 1.0, 1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tg.jvp(loss, (1.0, 2.0))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
value, f_jvp = tg.linearize(loss, 1.0, 2.0)
value, pullback, aux = tg.vjp(pair, 1.0, has_aux=True)
tg.vjp(loss, 1.0, scale=2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# functions with rules of their own keep parameters and result

assert_type(tg.checkpoint(loss)(1.0, 2.0, scale=3.0), float)
assert_type(tg.remat(pair)(1.0), tuple[float, str])
tg.checkpoint(loss)(1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@tg.custom_vjp
def square(x: float) -> float:
    return x * x


square.defvjp(lambda x: (x * x, x), lambda x, g: (2 * g * x,))
assert_type(square(1.0), float)
square("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
square.defvjp(lambda x: (x * x, x))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@tg.custom_jvp
def cube(x: float) -> float:
    return x**3


@cube.defjvp
def cube_jvp(primals: tuple[float], tangents: tuple[float]) -> tuple[float, float]:
    (x,), (t,) = primals, tangents
    return x**3, 3 * x**2 * t


assert_type(cube(1.0), float)
assert_type(cube_jvp((1.0,), (1.0,)), tuple[float, float])
assert_type(tg.grad(cube)(1.0), Any)


@tg.primitive(elementwise=True)
def relu(x: float) -> float:
    return max(x, 0.0)


@relu.defjvp("x")
def relu_jvp(t: float, _y: float, x: float) -> float:
    return t * (x > 0)


assert_type(relu(1.0), float)
assert_type(relu_jvp(1.0, 0.0, 1.0), float)
relu("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
