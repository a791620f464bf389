"""The whole idea, in some thirty lines of NumPy: tape, `@primitive`, `defvjp`, `grad`.

Running a function writes a tape: the calls of primitives, one after the other. Reading it from the end, and asking
each primitive for its rule, gives the gradient. The rules are made of primitives too, so the reading lands on the tape
as well and can be differentiated again, to any order. Here a value is one number, as in a first course; the library
adds arrays that broadcast, nests of arguments, the other readings of the tape, speed, and errors that explain.
"""

import numpy as np

tape = []  # the calls of primitives on traced values, one after the other
rules = {}  # function -> how its derivative is passed on


class Node(np.lib.mixins.NDArrayOperatorsMixin):  # a traced value; the mixin turns x * z into np.multiply(x, z)
    def __init__(self, fn, args):
        self.fn, self.args, self.value = fn, args, fn(*map(plain, args))
        tape.append(self)

    def __array_ufunc__(self, ufunc, _method, *args):  # NumPy comes here when it meets a Node, as in np.sin(x)
        return Node(ufunc, args)


def plain(x):
    return x.value if isinstance(x, Node) else x


class primitive:  # the decorator: a call of the function becomes one entry on the tape
    def __init__(self, fn):
        self.fn = fn

    def __call__(self, *args):
        return Node(self.fn, args) if any(isinstance(a, Node) for a in args) else self.fn(*args)

    def defvjp(self, rule):  # rule(g, y, *args): g is what a change of y is worth; what is one of each argument worth?
        rules[self.fn] = rule
        return rule


def grad(f):  # the derivative of f by its first argument
    def gradient(x, *rest):
        start, x = len(tape), Node(np.positive, [x])  # +x is a new node, even where x is a node of an outer gradient
        try:
            y = f(x, *rest)
            worth = {id(y): 1.0}  # of a node: how much y changes when it changes by 1
            for node in reversed(tape[start:]):
                if id(node) in worth:
                    back = rules[node.fn](worth[id(node)], node, *node.args)
                    for a, g in zip(node.args, back, strict=True):
                        worth[id(a)] = worth.get(id(a), 0.0) + g
            return worth.get(id(x), 0.0) if start else plain(worth.get(id(x), 0.0))
        finally:
            if start == 0:  # no other gradient runs around this one
                tape.clear()

    return gradient


# That is all of it. What follows is a table of rules, and one function with a rule of our own.

# fmt: off
rules[np.positive] = lambda g, y, x:    (g,)
rules[np.negative] = lambda g, y, x:    (-g,)
rules[np.add]      = lambda g, y, x, z: (g, g)
rules[np.subtract] = lambda g, y, x, z: (g, -g)
rules[np.multiply] = lambda g, y, x, z: (g * z, g * x)
rules[np.divide]   = lambda g, y, x, z: (g / z, -g * y / z)
rules[np.exp]      = lambda g, y, x:    (g * y,)
rules[np.log]      = lambda g, y, x:    (g / x,)
rules[np.sin]      = lambda g, y, x:    (g * np.cos(x),)
rules[np.cos]      = lambda g, y, x:    (-g * np.sin(x),)
rules[np.tanh]     = lambda g, y, x:    (g * (1 - y * y),)
# fmt: on


@primitive
def affine(x, w):
    return x * w + 1.0


@affine.defvjp
def affine_vjp(g, _y, x, w):
    return g * w, g * x


# And the check: the library gives the same, up to the fourth derivative.


def main() -> None:
    """Compare with the library."""
    import tapegrad as tg

    library_affine = tg.primitive(affine.fn)
    library_affine.defvjp(affine_vjp)

    functions = {
        "sin(x) / x": lambda x, *_: np.sin(x) / x,
        "exp(-x x) log(x)": lambda x, *_: np.exp(-x * x) * np.log(x),
        "tanh(x affine(x, x))": lambda x, _grad, affine: np.tanh(x * affine(x, x)),
        "x d/dy sin(x y), y = x": lambda x, grad, _affine: x * grad(lambda y: np.sin(x * y))(x),
    }
    x = 0.7
    print(f"{f'at x = {x}':<24}order   thirty lines         tapegrad")
    for name, f in functions.items():
        ours, theirs = f, f
        for order in range(1, 5):
            ours, theirs = grad(ours), tg.grad(theirs)
            a, b = float(ours(x, grad, affine)), float(theirs(x, tg.grad, library_affine))
            print(f"{name:<24}{order:5}   {a:<19.13g}  {b:.13g}")
            if not abs(a - b) <= 1e-10 * max(1.0, abs(b)):
                raise SystemExit(f"{name}: derivative {order} differs by {a - b}")
    print("the thirty lines and tapegrad agree")


if __name__ == "__main__":
    main()
