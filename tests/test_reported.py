"""Small programs that users of other libraries reported as wrong, with their right values."""

import numpy as onp
import pytest

import tapegrad as tg
import tapegrad.numpy as np
from tapegrad.errors import MissingRuleError


def jacobian(f):
    return lambda x: onp.stack([tg.vjp(f, x)[1](e)[0] for e in onp.eye(len(f(x)))])


def derivatives(f, x, n):
    found = []
    for _ in range(n):
        found.append(f(x))
        f = tg.grad(f)
    return found


def close(got, expected):
    assert onp.allclose(got, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.exp(-0.5 * (x * x)),
        lambda x: np.exp(-0.5 * x**2),
        lambda x: np.exp(-0.5 * x**2.0),
        lambda x: np.exp(-0.5 * np.power(x, 2)),
    ],
)
def test_four_derivatives_of_a_gaussian(f):
    assert derivatives(f, 0.0, 5) == [1, 0, -1, 0, 3]


def test_morse_potential():
    f = lambda x: (1.0 - np.exp(1.0 - x)) ** 2
    assert derivatives(f, 1.0, 5)[1:] == [0, 2, -6, 14]
    close(derivatives(f, 1.2, 5)[1:], [0.296821414085, 1.04381867799, -3.72509886213, 9.08765923041])


def test_powers():
    assert tg.grad(lambda x: x**1.25)(0.0) == 0
    assert tg.grad(lambda x: x * np.log(x))(1.0) == 1


def test_a_rule_asked_again():
    product = tg.primitive(lambda x: np.prod(x))
    product.defvjp(0)(lambda g, y, x: g * y / x)
    x = np.array([1.0, 2.0, 4.0])
    h = jacobian(tg.grad(product))
    for _ in range(3):
        assert h(x).tolist() == [[0, 4, 2], [4, 0, 1], [2, 1, 0]]
    assert tg.grad(product)(x).tolist() == [8, 4, 2]


def test_a_network_that_solves_an_equation():
    X = np.array([0.0, 0.5, 1.0])
    slope = lambda f: lambda x: tg.grad(lambda x: np.sum(f(x)))(x)

    def loss(p):
        u = lambda x: 1.0 + x * np.sum(p[0:2] * np.tanh(x[:, None] * p[2:4] + p[4:6]), axis=1)
        return np.sum((slope(u)(X) + u(X)) ** 2) + np.sum(slope(slope(u))(X) ** 2)

    p = np.array([1.0, -0.5, 0.8, 1.5, 0.2, -0.3])
    close(loss(p), 7.35188718037)
    expected = [11.2032520110, 11.4201974929, 4.88862809800, -1.29662183189, 5.18973422872, -2.09887245509]
    close(tg.grad(loss)(p), expected)


def test_a_kernel_of_the_norm():
    k = lambda x, y: np.exp(-(np.linalg.norm(x - y) ** 2) / 2.0)
    x, y = np.array([0.3, -0.4]), np.array([0.9, 0.4])
    mixed = jacobian(lambda y: tg.grad(k)(x, y))
    assert tg.grad(k)(x, x).tolist() == [0, 0]
    close(mixed(y), [[0.388179622216, -0.291134716662], [-0.291134716662, 0.218351037497]])
    with pytest.raises(MissingRuleError, match="norm has no second derivative where it is 0") as caught:
        mixed(x)
    assert "numpy.sum(x * x)" in str(caught.value).splitlines()[2]
    square = lambda x, y: np.exp(-np.sum((x - y) * (x - y)) / 2.0)
    close(jacobian(lambda y: tg.grad(square)(x, y))(x), [[1, 0], [0, 1]])


@pytest.mark.parametrize("f", [lambda x: np.std(x) ** 2, lambda x: np.hypot(x[0], x[1]) ** 2])
def test_the_curvature_at_the_tip_of_a_cone_is_refused(f):
    x = np.zeros(3)
    assert tg.grad(f)(x).tolist() == [0, 0, 0]
    with pytest.raises(MissingRuleError, match="second derivative"):
        jacobian(tg.grad(f))(x)


def test_an_epidemic():
    data = np.array([[0.95, 0.05, 0.0], [0.9, 0.08, 0.02], [0.83, 0.12, 0.05]])
    u, v = np.array([-1.0, 1.0, 0.0]), np.array([0.0, -1.0, 1.0])

    def loss(p):
        rate = lambda y: p[0] * y[0] * y[1] * u + p[1] * y[1] * v
        y, total = np.array([1.0, 0.0, 0.0]) + p[2] * u, 0.0
        for row in data:
            total = total + np.sum((y - row) ** 2)
            a = rate(y)
            b = rate(y + a / 2)
            c = rate(y + b / 2)
            y = y + (a + 2 * b + 2 * c + rate(y + c)) / 6
        return total

    p = np.array([0.9, 0.3, 0.04])
    close(loss(p), 0.000858344811138)
    close(tg.grad(loss)(p), [-0.0133422655173, 0.00706538952642, -0.282837445847])
    close(
        jacobian(tg.grad(loss))(p),
        [
            [0.184857423972, -0.129960526570, 2.81892951006],
            [-0.129960526570, 0.150514852655, -1.85400884932],
            [2.81892951006, -1.85400884932, 55.5944740031],
        ],
    )


def test_augmented_assignment_of_numbers():
    def f(a):
        power = a[0] * a[1]
        torque = power
        torque /= a[2]
        power *= a[0] + a[2]
        torque -= 0.5 * power
        return power + 3.0 * torque

    a = np.array([1.0, 2.0, 4.0])
    assert f(a) == -3.5
    close(tg.grad(f)(a), [-4.5, -1.75, -1.375])


def test_scaling_by_a_power_of_two():
    assert tg.grad(lambda x: np.sum(np.ldexp(x, 3)))(np.array([0.0, 1.0, -3.0])).tolist() == [8, 8, 8]


def test_lists_inside():
    x = np.array([3.0, 4.0])
    assert jacobian(lambda x: np.concatenate([[x[1]], [x[0] * x[1]]]))(x).tolist() == [[0, 1], [4, 3]]
    assert jacobian(lambda x: np.concatenate([x, [2.0, x[0]]]))(x).tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    assert tg.grad(lambda x: np.sum(np.hstack([x[0], [x[1]], 5.0]) ** 2))(x).tolist() == [6, 8]
    assert tg.grad(lambda x: np.sum(np.append(x, [x[0]])))(x).tolist() == [2, 1]


def test_a_camera():
    X = np.array([[0.5, -0.3], [0.2, 0.7], [2.0, 3.0]])

    def picture(p):
        c, s = np.cos(p[2]), np.sin(p[2])
        K = np.array([[p[0], 0.0, p[1]], [0.0, p[0], 0.0], [0.0, 0.0, 1.0]])
        R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        z = np.matmul(K, np.matmul(R, X))
        return np.ravel(z[:2] / z[2])

    close(
        jacobian(picture)(np.array([1.5, 0.3, 0.6])),
        [
            [0.149869656388, 1, -0.335541269760],
            [-0.214283471950, 1, -0.204171094209],
            [0.223694179840, 0, 0.224804484582],
            [0.136114062806, 0, -0.321425207925],
        ],
    )
