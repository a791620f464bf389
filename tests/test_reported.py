"""Small programs that users of other libraries reported as wrong, with their right values.

Each runs through both doors: with NumPy's functions, which find traced values by protocol, and with tapegrad's.
"""

import contextlib
import sys

import numpy as onp
import pytest

import tapegrad as tg
import tapegrad.numpy as np
from tapegrad.errors import AssignmentError, ConversionError, MissingRuleError


@pytest.fixture(autouse=True, params=[onp, np], ids=["numpy", "tapegrad.numpy"])
def door(request, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "np", request.param)
    return request.param


def derivatives(f, x, n):
    found = []
    for _ in range(n):
        found.append(f(x))
        f = tg.grad(f)
    return found


def close(got, expected):
    assert onp.shape(got) == onp.shape(expected)
    assert onp.allclose(got, expected, rtol=2e-11, atol=1e-13)


def test_pair_forces():
    q = np.array([1.0, -2.0, 3.0])
    x = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])

    def energy(x):
        d = x[:, None] - x[None]
        r = np.sqrt(np.sum(d * d, axis=-1))
        return 0.5 * np.sum(np.where(np.eye(3) > 0, 0.0, q[:, None] * q / r))

    with onp.errstate(divide="ignore"):
        close(energy(x), -0.9)
        for gradient in (tg.grad, tg.jacfwd, tg.jacrev):
            close(gradient(energy)(x), [[107 / 375, -0.064], [0.048, 0.439], [-1 / 3, -0.375]])
        first = [
            [[0.220942222222, -0.02304], [0.00128, 0.02304], [-2 / 9, 0]],
            [[-0.02304, -0.125831111111], [0.02304, 0.01472], [0, 1 / 9]],
        ]
        for hessian in (tg.hessian, lambda f: tg.jacrev(tg.grad(f)), lambda f: tg.jacfwd(tg.jacfwd(f))):
            close(hessian(energy)(x)[0], first)


def test_elu():
    X = np.array([[1.0, 2.0], [3.0, -1.0], [1000.0, 0.0]])

    def layer(w):
        a = np.matmul(X, w)
        return np.sum(np.where(a <= 0, np.exp(a) - 1.0, a))

    with onp.errstate(over="ignore"):
        for gradient in (tg.grad, tg.jacfwd):
            close(gradient(layer)(np.array([1.0, -1.0])), [1003.36787944117, -0.264241117657])


def test_bump():
    def bump(x):
        return np.sum(np.where(x > 0, np.exp(-1.0 / x), 0.0))

    x = np.array([-1.0, 0.0, 0.25, 0.001])
    with onp.errstate(all="ignore"):
        for gradient in (tg.grad, tg.jacfwd):
            close(gradient(bump)(x), [0, 0, 0.293050222220, 0])
            close(gradient(lambda x: np.sum(gradient(bump)(x)))(x), [0, 0, 2.34440177776, 0])


def test_causal_mask():
    w = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0]])
    mask = np.array([[True, False, False], [True, True, False], [True, True, True]])

    def attend(q):
        s = np.where(mask, np.matmul(q, q.T), -np.inf)
        p = np.exp(s - np.max(s, axis=1, keepdims=True))
        return np.sum(w * np.matmul(p / np.sum(p, axis=1, keepdims=True), q))

    expected = [
        [1.92256482504, 1.69098388940],
        [2.32597180604, -0.279764529501],
        [0.251589492989, 0.885453213998],
    ]
    for gradient in (tg.grad, tg.jacfwd):
        close(gradient(attend)(np.array([[0.5, -1.0], [1.0, 0.3], [-0.2, 0.8]])), expected)


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
    for gradient in (tg.grad, tg.jacfwd):
        assert gradient(lambda x: x**1.25)(0.0) == 0
        with onp.errstate(all="ignore"):
            for f in (lambda x: x * x**0.25, lambda x: x * np.sqrt(x)):  # where 0 meets an infinite partial
                assert gradient(f)(0.0) == 0 or onp.isnan(gradient(f)(0.0))
        assert gradient(lambda x: x * np.log(x))(1.0) == 1


def test_a_rule_asked_again():
    product = tg.primitive(lambda x: np.prod(x))
    product.defvjp(0)(lambda g, y, x: g * y / x)
    x = np.array([1.0, 2.0, 4.0])
    for h in (tg.jacrev(tg.grad(product)), tg.hessian(product)):
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
    mixed = tg.jacrev(lambda y: tg.grad(k)(x, y))
    assert tg.grad(k)(x, x).tolist() == [0, 0]
    close(mixed(y), [[0.388179622216, -0.291134716662], [-0.291134716662, 0.218351037497]])
    for refused in (lambda: mixed(x), lambda: tg.hessian(lambda x: k(x, y))(y)):
        with pytest.raises(MissingRuleError, match="norm has no second derivative where it is 0") as caught:
            refused()
        assert "numpy.sum(x * x)" in str(caught.value).splitlines()[2]
    square = lambda x, y: np.exp(-np.sum((x - y) * (x - y)) / 2.0)
    close(tg.jacrev(lambda y: tg.grad(square)(x, y))(x), [[1, 0], [0, 1]])
    close(tg.hessian(lambda x: square(x, y))(y), [[-1, 0], [0, -1]])


def test_rayleigh_quotient():
    A = np.array([[2.0, 1.0], [1.0, 3.0]])

    def f(x):
        return -np.dot(x, np.matmul(A, x)) / np.linalg.norm(x) ** 2

    x, v = np.array([0.6, 0.8]), np.array([1.0, -1.0])
    close(tg.jvp(tg.grad(f), (x,), (v,))[1], [4.656, -4.192])
    close(tg.hvp(f)(x, v), [4.656, -4.192])
    close(tg.grad(lambda x: np.dot(tg.grad(f)(x), v))(x), [4.656, -4.192])
    close(tg.grad(lambda x: tg.jvp(f, (x,), (v,))[1])(x), [4.656, -4.192])


def test_a_hessian_by_a_list_of_layers():
    x, y = np.array([[0.5], [-1.0]]), np.array([[0.2], [0.7]])
    p = [(np.array([[0.4, -0.7]]), np.array([0.1, 0.2])), (np.array([[0.9], [-0.3]]), np.array([0.05]))]

    def loss(p):
        (W, b), (V, c) = p
        return np.mean((np.matmul(np.tanh(np.matmul(x, W) + b), V) + c - y) ** 2)

    H = tg.hessian(loss)(p)
    close(H[0][1][0][1], [[0.740605142426, -0.361920803713], [-0.361920803713, -0.142166924139]])
    close(H[0][0][1][0], [[[[1.46309001523], [-0.651272179826]], [[-0.0852818242057], [0.751946405855]]]])
    close(H[1][1][0][0], [[[-0.411811632822, -0.000599778669900]]])


def test_complex_weights():
    w, x = np.array([3.0 + 4.0j, 1.0 - 2.0j]), np.array([1.0, 2.0])
    power = lambda z: np.abs(z) ** 2
    for f in (
        lambda x: power(np.sum(x * w)),
        lambda x: power(np.dot(x, w)),
        lambda x: power(np.matmul(w, x)),
        lambda x: power(np.einsum("i,i", w, x)),
        lambda x: power(np.tensordot(x, w, 1)),
    ):
        for gradient in (tg.grad, tg.jacfwd):
            assert gradient(f)(x).dtype == onp.float64
            close(gradient(f)(x), [30, 10])


@pytest.mark.parametrize("f", [lambda x: np.std(x) ** 2, lambda x: np.hypot(x[0], x[1]) ** 2])
def test_the_curvature_at_the_tip_of_a_cone_is_refused(f):
    x = np.zeros(3)
    assert tg.grad(f)(x).tolist() == [0, 0, 0]
    with pytest.raises(MissingRuleError, match="second derivative"):
        tg.jacrev(tg.grad(f))(x)


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
    expected = [
        [0.184857423972, -0.129960526570, 2.81892951006],
        [-0.129960526570, 0.150514852655, -1.85400884932],
        [2.81892951006, -1.85400884932, 55.5944740031],
    ]
    close(tg.hessian(loss)(p), expected)
    close(tg.jacrev(tg.grad(loss))(p), expected)


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
    for gradient in (tg.grad, tg.jacfwd):
        close(gradient(f)(a), [-4.5, -1.75, -1.375])


def test_an_entry_set_twice():
    w = np.array([1.0, 10.0, 100.0])

    def f(v):
        y = np.zeros_like(v)
        y[np.array([0, 0, 1])] = v
        return np.sum(w * y)

    v = np.array([5.0, 7.0, 9.0])
    assert f(v) == 97
    for gradient in (tg.grad, tg.jacfwd):
        with contextlib.suppress(AssignmentError, ConversionError):
            assert gradient(f)(v).tolist() == [0, 1, 10]


def test_scaling_by_a_power_of_two():
    for gradient in (tg.grad, tg.jacfwd):
        assert gradient(lambda x: np.sum(np.ldexp(x, 3)))(np.array([0.0, 1.0, -3.0])).tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: np.concatenate([[x[1]], [x[0] * x[1]]]), [[0, 1], [4, 3]]),
        (lambda x: np.concatenate([x, [2.0, x[0]]]), [[1, 0], [0, 1], [0, 0], [1, 0]]),
        (lambda x: np.sum(np.hstack([x[0], [x[1]], 5.0]) ** 2), [6, 8]),
        (lambda x: np.sum(np.append(x, [x[0]])), [2, 1]),
    ],
)
def test_lists_inside(door, f, expected):
    x = np.array([3.0, 4.0])
    for jacobian in (tg.jacrev, tg.jacfwd):
        try:
            assert jacobian(f)(x).tolist() == expected
        except ConversionError:  # a list of lists of traced numbers is NumPy's before it is ours
            assert door is onp


def test_a_camera(door):
    X = np.array([[0.5, -0.3], [0.2, 0.7], [2.0, 3.0]])

    def picture(p):
        c, s = np.cos(p[2]), np.sin(p[2])
        K = np.array([[p[0], 0.0, p[1]], [0.0, p[0], 0.0], [0.0, 0.0, 1.0]])
        R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        z = np.matmul(K, np.matmul(R, X))
        return z[:2] / z[2]

    p = np.array([1.5, 0.3, 0.6])
    if door is onp:
        with pytest.raises(ConversionError):
            tg.jacrev(picture)(p)
        return
    for jacobian in (tg.jacrev, tg.jacfwd):
        close(
            jacobian(picture)(p),
            [
                [[0.149869656388, 1, -0.335541269760], [-0.214283471950, 1, -0.204171094209]],
                [[0.223694179840, 0, 0.224804484582], [0.136114062806, 0, -0.321425207925]],
            ],
        )


def test_an_entry_that_is_set_twice():
    w, i = np.array([1.0, 10.0, 100.0]), np.array([0, 0, 1])

    def f(v):
        y = np.zeros_like(v)
        y[i] = v
        return np.sum(w * y)

    def by_index_set(v):
        return np.sum(w * tg.index_set(np.zeros_like(v), i, v))

    v = np.array([5.0, 7.0, 9.0])
    for g in (f, by_index_set):
        assert g(v) == 97
        assert tg.grad(g)(v).tolist() == [0, 1, 10]
        assert tg.jacfwd(g)(v).tolist() == [0, 1, 10]
