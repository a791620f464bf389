"""What an editor and a checker see of decorated functions. Checked by mypy and pyright; never run."""

from typing import assert_type

import tapegrad as tg


@tg.primitive
def affine(x: float, w: float, b: float = 0.0) -> float:
    """x w + b"""
    return x * w + b


@affine.defvjp
def affine_vjp(g: float, _y: float, x: float, w: float, _b: float) -> tuple[float, float, float]:
    return g * w, g * x, g


@tg.primitive(nondiff_argnames=("n",))
def power(x: float, n: int) -> float:
    return x**n


@power.defvjp("x")
def power_vjp(g: float, _y: float, x: float, n: int) -> float:
    return g * n * x ** (n - 1)


assert_type(affine(1.0, 2.0), float)
assert_type(affine(x=1.0, w=2.0, b=3.0), float)
assert_type(power(2.0, n=3), float)
assert_type(affine_vjp(1.0, 0.0, 2.0, 3.0, 0.0), tuple[float, float, float])

affine(1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
affine(1.0, "w")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
power(1.0, m=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

slope = tg.grad(affine)
slope(1.0, 2.0)
slope(1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
slope("x", 2.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
value, gradient = tg.value_and_grad(affine, argnums=(0, 1))(1.0, 2.0)
tg.value_and_grad(affine)(1.0, 2.0, c=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
tape = tg.trace(affine)(1.0, 2.0)
tape.backward(1.0)
tg.trace(affine)()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
