"""Each library's functions under NumPy's names and signatures, for the one maker that all contenders share.

Beside NumPy's names each has what its library has of its own: `grad`, the gradient of a function of one array that can
be differentiated again, and functions for networks (`log_softmax`, `logsumexp`, `sigmoid`, `relu`, ...), which a
maker takes by `getattr(np, name, written_out)`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy

import tapegrad


def public(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def plain(grad: Callable[..., Any]) -> SimpleNamespace:
    """NumPy as it stands, for libraries that differentiate code that imports NumPy."""
    return SimpleNamespace(**{**public(numpy), "linalg": numpy.linalg, "fft": numpy.fft, "grad": grad})


def tapegrad_names() -> SimpleNamespace:
    networks = {name: getattr(tapegrad.nn, name) for name in tapegrad.nn.__all__}
    return SimpleNamespace(**{**public(tapegrad.numpy), **networks, "grad": tapegrad.grad})


def autograd_names() -> SimpleNamespace:
    names = public(importlib.import_module("autograd.numpy"))
    with suppress(ImportError):  # without SciPy
        names["logsumexp"] = importlib.import_module("autograd.scipy.special").logsumexp
    return SimpleNamespace(**{**names, "grad": importlib.import_module("autograd").grad})


def jax_names() -> SimpleNamespace:
    jax: Any = importlib.import_module("jax")
    networks = ("log_softmax", "softmax", "logsumexp", "sigmoid", "log_sigmoid", "relu", "softplus")
    own = {name: getattr(jax.nn, name) for name in networks}
    return SimpleNamespace(**{**public(importlib.import_module("jax.numpy")), **own, "grad": jax.grad})


def mygrad_names() -> SimpleNamespace:
    """NumPy's functions where MyGrad has none: they take its tensors, too."""
    mygrad: Any = importlib.import_module("mygrad")
    activations: Any = importlib.import_module("mygrad.nnet.activations")
    own = {name: getattr(activations, name) for name in ("sigmoid", "relu", "softmax")}
    names = {**public(numpy), "linalg": numpy.linalg, **public(mygrad), **own}
    return SimpleNamespace(**names, log_softmax=activations.logsoftmax)


def torch_names() -> SimpleNamespace:
    """PyTorch knows `axis` and `keepdims` as they are; what is here is named or called in another way."""
    torch: Any = importlib.import_module("torch")
    Tensor = torch.Tensor

    def tensor(x: Any) -> Any:
        return x if isinstance(x, Tensor) else torch.tensor(x)

    def also_of_floats(name: str) -> Callable[[Any], Any]:
        of_tensors, of_floats = getattr(torch, name), getattr(math, name)
        return lambda x: of_tensors(x) if isinstance(x, Tensor) else of_floats(x)

    def with_a_bound(of_tensors: Any, side: str) -> Callable[[Any, Any], Any]:
        def f(x: Any, z: Any) -> Any:
            if isinstance(x, Tensor) and isinstance(z, Tensor):
                return of_tensors(x, z)
            return torch.clamp(x, **{side: z}) if isinstance(x, Tensor) else torch.clamp(z, **{side: x})

        return f

    def transpose(x: Any, axes: Any = None) -> Any:
        return x.permute(tuple(range(x.ndim))[::-1] if axes is None else axes)

    def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.prod(x) if axis is None else torch.prod(x, axis, keepdims)

    def grad(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def gradient(x: Any) -> Any:
            x = x if x.requires_grad else x.detach().requires_grad_()
            return torch.autograd.grad(f(x), x, create_graph=True)[0]

        return gradient

    names = public(torch)
    names |= {name: also_of_floats(name) for name in ("exp", "log", "sqrt", "tanh", "sin", "cos")}
    names |= dict(
        grad=grad,
        float64=torch.float64,
        float32=torch.float32,
        ndarray=Tensor,
        array=tensor,
        asarray=tensor,
        power=torch.pow,
        dot=torch.matmul,
        maximum=with_a_bound(torch.maximum, "min"),
        minimum=with_a_bound(torch.minimum, "max"),
        max=lambda x, axis=(), keepdims=False: torch.amax(x, axis, keepdims),
        min=lambda x, axis=(), keepdims=False: torch.amin(x, axis, keepdims),
        prod=prod,
        var=lambda x, axis=None, ddof=0, keepdims=False: torch.var(x, axis, correction=ddof, keepdim=keepdims),
        std=lambda x, axis=None, ddof=0, keepdims=False: torch.std(x, axis, correction=ddof, keepdim=keepdims),
        transpose=transpose,
        stack=lambda parts, axis=0: torch.stack([tensor(part) for part in parts], axis),
        concatenate=lambda parts, axis=0: torch.cat(tuple(parts), axis),
        expand_dims=torch.unsqueeze,
        repeat=lambda x, repeats, axis=None: torch.repeat_interleave(x, repeats, axis),
        roll=lambda x, shift, axis=None: torch.roll(x, shift, axis),
        flip=lambda x, axis: torch.flip(x, (axis,)),
        sort=lambda x, axis=-1: torch.sort(x, axis)[0],
        copy=torch.clone,
        softplus=torch.nn.functional.softplus,
        log_sigmoid=torch.nn.functional.logsigmoid,
    )
    return SimpleNamespace(**names)
