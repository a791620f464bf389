"""The contenders: each makes, of a workload, the function of no arguments that is timed.

Each uses what its library offers its users for the transform that is wanted, and gets arguments as they would pass
them: converted before, so that converting is not timed. A new library is one function and one row of CONTENDERS.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import CodeType, FunctionType
from typing import Any

import namespaces
import numpy
from nests import arrays_to, convert, leaves
from workload import Function, Workload

import tapegrad

Run = Callable[[], Any]
HAND = "NumPy"
FIRST = ("grad", "value_and_grad")  # all that some libraries have


def tall(work: Workload) -> bool:
    """Whether a Jacobian has more rows than columns, so that forward mode has less to do."""
    columns = sum(map(numpy.size, leaves(work.args[0])))
    return sum(map(numpy.size, leaves(work.by_hand(*work.args)))) > columns**2


# the contenders


def by_hand(work: Workload) -> Run:
    f, args = work.by_hand, work.args
    return lambda: f(*args)


def tapegrad_plain(work: Workload) -> Run:
    """Code that imports NumPy, as it stands."""
    return _tapegrad(work, namespaces.plain(tapegrad.grad))


def tapegrad_names(work: Workload) -> Run:
    """The same code with `import tapegrad.numpy as np`, and functions of `tapegrad.nn`."""
    return _tapegrad(work, namespaces.tapegrad_names())


def _tapegrad(work: Workload, np: Any) -> Run:
    f, args = getattr(tapegrad, work.wanted)(work.make(np)), work.args
    return lambda: f(*args)


def autograd(work: Workload) -> Run:
    library: Any = importlib.import_module("autograd")
    f, args = work.make(namespaces.autograd_names()), work.args
    if work.wanted == "hvp":
        *args, v = args
        product = library.make_hvp(f)
        return lambda: product(*args)[0](v)
    transformed = getattr(library, work.wanted)(f)
    return lambda: transformed(*args)


def advect(work: Workload) -> Run:
    library: Any = importlib.import_module("advect")
    f, args = getattr(library, work.wanted)(work.make(namespaces.plain(library.grad))), work.args
    if work.wanted == "hvp":
        *args, v = args
        return lambda: f(*args, vectors=v)[1]
    return lambda: f(*args)


def pytorch(work: Workload) -> Run:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_default_dtype(torch.float64)

    def wanted(x: Any) -> Any:
        return torch.tensor(x, requires_grad=work.wanted not in ("hessian", "jacobian"))

    f, x = work.make(namespaces.torch_names()), convert(wanted, work.args[0])
    others, by, grad = arrays_to(torch.tensor, work.args[1:]), leaves(x), torch.autograd.grad
    if work.wanted == "grad":
        return lambda: grad(f(x, *others), by)
    if work.wanted == "hvp":
        *others, v = others
        v = leaves(convert(torch.as_tensor, v))
        return lambda: grad(grad(f(x, *others), by, create_graph=True), by, v, materialize_grads=True)
    if work.wanted == "hessian":
        second = torch.func.hessian(f)
        return lambda: second(x, *others)
    if work.wanted == "jacobian":
        first = (torch.func.jacfwd if tall(work) else torch.func.jacrev)(f)
        return lambda: first(x, *others)

    def value_and_gradient() -> Any:
        value = f(x, *others)
        return value, grad(value, by)

    return value_and_gradient


def _jax(work: Workload) -> tuple[Function, tuple[Any, ...]]:
    jax: Any = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # a call is waited for anyway, and so gets no thread
    f, args = work.make(namespaces.jax_names()), arrays_to(jax.numpy.asarray, work.args)
    if work.wanted == "hvp":
        gradient = jax.grad(f)

        def product(x: Any, *rest: Any) -> Any:
            *others, v = rest
            return jax.jvp(lambda x: gradient(x, *others), (x,), (v,))[1]

        return product, args
    if work.wanted == "jacobian":
        return (jax.jacfwd if tall(work) else jax.jacrev)(f), args
    return getattr(jax, work.wanted)(f), args


def jax_eager(work: Workload) -> Run:
    f, args = _jax(work)
    wait = importlib.import_module("jax").block_until_ready
    return lambda: wait(f(*args))


def jax_jit(work: Workload) -> Run:
    """The whole transform compiled; what is no number or array, or counts something, is a constant of it."""
    f, args = _jax(work)
    jax: Any = importlib.import_module("jax")
    static = [k for k, x in enumerate(args) if k and isinstance(x, (int, str, type(None)))]
    compiled = jax.jit(f, static_argnums=static)
    return lambda: jax.block_until_ready(compiled(*args))


def mygrad(work: Workload) -> Run | None:
    library: Any = importlib.import_module("mygrad")
    if work.wanted not in FIRST:
        return None
    f, others, with_value = work.make(namespaces.mygrad_names()), work.args[1:], work.wanted == "value_and_grad"

    def run() -> Any:
        x = convert(library.tensor, work.args[0])
        y = f(x, *others)
        y.backward()
        gradient = [leaf.grad for leaf in leaves(x)]
        return (y.data, gradient) if with_value else gradient

    return run


def micrograd(work: Workload) -> Run | None:
    """Numbers only: an array is one of `Value`s. Its backward calls itself, so Python has to allow the depth."""
    engine: Any = importlib.import_module("micrograd.engine")
    if work.wanted not in FIRST:
        return None
    f, others, with_value = work.make(engine), work.args[1:], work.wanted == "value_and_grad"
    value, grad = numpy.frompyfunc(engine.Value, 1, 1), numpy.frompyfunc(lambda node: node.grad, 1, 1)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))

    def run() -> Any:
        x = convert(value, work.args[0])
        y = f(x, *others)
        y.backward()
        gradient = convert(grad, x)
        return (y.data, gradient) if with_value else gradient

    return run


@dataclass(frozen=True)
class Contender:
    """`package` is what has to be installed, `loads` what its users import."""

    prepare: Callable[[Workload], Run | None]
    package: str
    loads: str
    arrays: bool = False  # whether its arrays are NumPy's, which tells tracemalloc of them
    compiles: bool = False
    like: str = ""  # whose maker it takes where it has none of its own


CONTENDERS: dict[str, Contender] = {
    HAND: Contender(by_hand, "numpy", "numpy", arrays=True),
    "tapegrad": Contender(tapegrad_plain, "tapegrad", "tapegrad", arrays=True),
    "tapegrad.numpy": Contender(tapegrad_names, "tapegrad", "tapegrad.numpy", arrays=True, like="tapegrad"),
    "autograd": Contender(autograd, "autograd", "autograd, autograd.numpy", arrays=True),
    "Advect": Contender(advect, "advect", "advect", arrays=True),
    "PyTorch": Contender(pytorch, "torch", "torch"),
    "JAX": Contender(jax_eager, "jax", "jax, jax.numpy"),
    "JAX jit": Contender(jax_jit, "jax", "jax, jax.numpy", compiles=True, like="JAX"),
    "MyGrad": Contender(mygrad, "mygrad", "mygrad", arrays=True),
    "micrograd": Contender(micrograd, "micrograd", "micrograd.engine"),
}


def installed() -> list[str]:
    return [name for name, one in CONTENDERS.items() if importlib.util.find_spec(one.package)]


def python(*arguments: str, stderr: int | None = None, **variables: str) -> subprocess.Popen[str]:
    """A new interpreter that finds the modules that this one does, with variables of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
    )


def prepare(name: str, work: Workload) -> Run | None:
    """What is timed; None where it is known that the contender cannot do this workload."""
    contender = CONTENDERS[name]
    if name == "micrograd" and not work.scalar and name not in work.makes:
        return None
    make = work.makes.get(name, work.makes.get(contender.like, work.make))
    return None if make is None else contender.prepare(replace(work, make=_own(make)))


def _own(function: Any) -> Any:
    """The function with bytecode of its own, for the interpreter fits bytecode to the types that it meets there."""
    if isinstance(function, functools.partial):
        return functools.partial(_own(function.func), *function.args, **function.keywords)
    if not isinstance(function, FunctionType):
        return function

    def copy(code: CodeType) -> CodeType:
        return code.replace(co_consts=tuple([copy(c) if isinstance(c, CodeType) else c for c in code.co_consts]))

    made = FunctionType(
        copy(function.__code__), function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
