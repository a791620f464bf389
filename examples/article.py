"""The program of the article, working: a line fitted by gradient descent, with a rule written by hand.

In the article's order: forward, loss, gradient, training loop. Each number is computed here and compared with what it
must be. The article's loop had three faults:

1. the sign: it added the gradient, and so climbed the loss instead of descending;
2. the missing sums: w and b are single numbers that NumPy broadcasts over five examples, so each of the five sends a
   cotangent back and these have to be added up (`tg.unbroadcast`); the article passed arrays of five on;
3. the step: 0.1 is three times what the summed loss bears, and the loop explodes, whatever the sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import tapegrad as tg
import tapegrad.numpy as np

Array: TypeAlias = Any  # a number or an array, traced or not
Loss: TypeAlias = Callable[[float, float], Array]


def check(what: str, value: Array, expected: Array, within: float = 1e-9) -> None:
    """Stop if a value is not what it must be."""
    if not np.allclose(value, expected, rtol=0, atol=within):
        raise SystemExit(f"{what} is {value}, expected {expected}")


# --- 1. forward: a primitive, and its rule -------------------------------------------------------------------------


@tg.primitive
def forward(x: Array, w: Array, b: Array) -> Array:
    """The model, ŷ = w x + b."""
    return w * x + b


@forward.defvjp
def forward_vjp(g: Array, _y: Array, x: Array, w: Array, _b: Array) -> tuple[Array, Array, Array]:
    """What the cotangent g of ŷ sends to x, w and b.

    `unbroadcast` sums over the examples, which was the article's second fault. An underscore says that the rule needs
    no more than a shape, so that the tape does not keep the value.
    """
    return tg.unbroadcast(g * w, x), tg.unbroadcast(g * x, w), tg.unbroadcast(g, _b)


x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
y = 2 * x  # so the best line has w = 2 and b = 0


# --- 2. the loss ---------------------------------------------------------------------------------------------------


def summed_loss(w: Array, b: Array) -> Array:
    """The article's loss, half the sum of the squared errors."""
    return 0.5 * np.sum((forward(x, w, b) - y) ** 2)


def mean_loss(w: Array, b: Array) -> Array:
    """Half the mean of the squared errors: the same minimum, and slopes that do not grow with the data."""
    return 0.5 * np.mean((forward(x, w, b) - y) ** 2)


# --- 3. the gradient, and the gradient of the gradient --------------------------------------------------------------


def hessian(loss: Loss, w: float, b: float) -> Array:
    """The second derivatives, a row for each first one. The rule above is differentiated like any other code."""
    rows = [tg.grad(tg.grad(loss, argnums=i), argnums=(0, 1))(w, b) for i in (0, 1)]
    return np.array(rows)


# --- 4. the training loop ------------------------------------------------------------------------------------------


def descend(loss: Loss, w: float, b: float, step: float, count: int) -> tuple[float, float]:
    """Follow the slope downwards."""
    slope = tg.grad(loss, argnums=(0, 1))
    for _ in range(count):
        dw, db = slope(w, b)
        w, b = w - step * dw, b - step * db  # minus: the gradient points uphill (the first fault was a plus)
    return w, b


def main() -> None:
    """Everything in the article's order."""
    predictions = forward(x, 1.0, 0.0)
    check("predictions", predictions, [1, 2, 3, 4, 5])  # the article prints 3, 6, 9, 12, 15
    print("predictions at w = 1, b = 0:", *(f"{v:g}" for v in predictions))

    loss, (dw, db) = tg.value_and_grad(summed_loss, argnums=(0, 1))(1.0, 0.0)
    check("loss", loss, 27.5)
    check("gradient", [dw, db], [-55, -15])
    print(f"loss: {loss:g}\ngradient: dL/dw = {dw:g}, dL/db = {db:g}")

    curvature = hessian(summed_loss, 1.0, 0.0)
    check("Hessian", curvature, [[55, 15], [15, 5]])
    (a, c), (d, e) = curvature.tolist()
    print(f"Hessian: [[{a:g}, {c:g}], [{d:g}, {e:g}]]")

    # Along an eigenvector with eigenvalue k, a step s multiplies the error by 1 - s k: it shrinks if s < 2 / k.
    largest = 2 / float(np.max(np.linalg.eigvalsh(curvature)))
    check("largest stable step", largest, 0.0338096, within=5e-8)
    print(f"largest stable step: 2 / (largest eigenvalue) = {largest:.7f}\n\nfrom w = 0.5, b = 0.5")
    for step, stable in ((0.99 * largest, True), (1.01 * largest, False)):
        w, b = descend(summed_loss, 0.5, 0.5, step, 2000)
        check(f"stability with step {step}", abs(w - 2) < 1 and abs(b) < 1, stable)
        print(f"step {step:.5f}, summed loss, 2000 steps: {'settles' if stable else 'explodes'}")

    # The third fault: the article's step with the summed loss, and with the mean one.
    step = 0.1
    w, b = descend(summed_loss, 0.5, 0.5, step, 10)
    check("the summed loss explodes", abs(w) > 1e6, True)
    print(f"step {step}, summed loss, 10 steps: w = {w:.3g}, b = {b:.3g}: the article's step explodes")
    w, b = descend(mean_loss, 0.5, 0.5, step, 1000)
    check("w and b by the mean loss", [w, b], [2, 0], within=1e-6)
    print(f"step {step}, mean loss, 1000 steps: w = {w:.5f}, b = {b:z.5f}")

    # The article's loop, mended.
    step = 0.03
    for count, expected, within in ((100, (1.98195, 0.06518), 5e-6), (1000, (2, 0), 1e-9)):
        w, b = descend(summed_loss, 0.5, 0.5, step, count)
        check(f"w and b after {count} steps", [w, b], expected, within)
        print(f"step {step}, summed loss, {count} steps: w = {w:.5f}, b = {b:z.5f}")


if __name__ == "__main__":
    main()
