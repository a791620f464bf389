"""The quick path of functions of a list of arrays that look at shapes alone: `concatenate(arrays, axis)`.

It serves flat lists of tracers of one scope, plain arrays and numbers. Their entries are

    (index, mask, form, spec, places, parents, specs of all parts, settings)

where the places are those of the traced parts in the list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape import Entry
from ..tracer import NUMBERS, Tracer
from .bodies import LEAVES
from .cotangent import conform, stretch
from .definition import Definition
from .forms import View, form
from .partial import Partial, within
from .rules import Placeholder

_ndarray = np.ndarray
_spec = NUMBERS.get
_missing: Any = object()


def listed(definition: Definition, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """The function that records a call of such a primitive, whose rule is for the list; other calls go `otherwise`."""
    body, name, rules = definition.body, definition.name, definition.rules
    first = definition.names[0]
    usual: Any = definition.tails[1]
    alone = usual is not None  # whether there need be nothing else in the call
    options = {word: definition.defaults[word] for word in definition.keyword_only}
    refused = [(key - 1, definition.defaults[key]) for key in definition.refused if isinstance(key, int)]

    def pull(g: Any, e: Entry, cots: Any, bit: int) -> None:
        _, _, _, _, places, parents, specs, settings = e
        parts = rules[0].call(g, None, [Placeholder(spec) for spec in specs], *settings, **options)
        for k, p in zip(places, parents):
            r = parts[k]
            if type(r) is not _ndarray or (r.shape, r.dtype) != specs[k]:
                r = conform(r, specs[k], name, 0)
            c = cots[p]
            cots[p] = r if c is None else c + r

    def view(e: Entry) -> View:
        _, mask, _, _, places, parents, specs, settings = e
        edges = tuple([(0, k, len(specs), p, mask, specs[k]) for k, p in zip(places, parents)])
        return None, ([Placeholder(spec) for spec in specs], *settings), options, edges, None

    def push(e: Entry, bit: int, tangent: Callable[[int], Any]) -> Any:
        _, _, _, spec, _, parents, specs, settings = e
        ts = [tangent(p) for p in parents]
        if len(ts) < len(specs) or any([t is None or type(t) is Partial for t in ts]):
            return NotImplemented if any([t is not None for t in ts]) else None
        traced = any([isinstance(t, Tracer) for t in ts])
        made = stretch(call(ts, *settings) if traced else body(ts, *settings, **options), spec, name)
        return made if definition.scatters is None else within(made, definition.scatters(ts, *settings))

    quick = form(name, pull, lambda e, scopes: e, definition, view, push)

    def call(arrays: Any = _missing, /, *settings: Any, **named: Any) -> Any:
        if arrays is _missing:
            return call(named.pop(first), *settings, **named) if first in named else otherwise(*settings, **named)
        if type(arrays) is not list and type(arrays) is not tuple:
            return otherwise(arrays, *settings, **named)
        s = None
        plain: list[Any] = []
        places: list[int] = []
        parents: list[int] = []
        specs: list[Any] = []
        for k, a in enumerate(arrays):
            t = type(a)
            if t is Tracer:
                if s is None:
                    s = a._scope
                elif a._scope is not s:
                    return otherwise(arrays, *settings, **named)
                plain.append(a._value)
                places.append(k)
                parents.append(a._index)
                specs.append(a._spec)
            else:
                spec: Any = (a.shape, a.dtype) if t is _ndarray else _spec(t)
                if spec is None or (t is _ndarray and a.dtype.kind not in "fciub"):
                    return otherwise(arrays, *settings, **named)
                plain.append(a)
                specs.append(spec)
        if s is None:
            return otherwise(arrays, *settings, **named)
        if settings or named or not alone:
            (_, *full), others = definition.bind((None, *settings), named)
            odd = any([t is _ndarray or not (t in LEAVES or t is tuple) for t in map(type, full)])
            odd = odd or any([full[k] is not default for k, default in refused])
            if odd or any([others[word] is not default for word, default in options.items()]):
                return otherwise(arrays, *settings, **named)
            settings = tuple(full)
        else:
            settings = usual
        y = body(plain, *settings, **options)
        made = Tracer()
        made._value = y
        made._scope = s
        made._index = i = next(s.count)
        made._spec = spec = y.shape, y.dtype
        s.record((i, s.mask, quick, spec, tuple(places), tuple(parents), tuple(specs), settings))
        return made

    return call
