"""The names of tapegrad.numpy, and what was forgotten: rules without tests, functions that would drop a derivative."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_creation
import test_elementwise
import test_indexing
import test_joining
import test_sorting
import test_structure
from cases import Case, array

import tapegrad as tg
import tapegrad.numpy as tnp
from tapegrad.errors import MissingRuleError, TapegradError
from tapegrad.tracer import FUNCTIONS, UFUNCS, Tracer

HOMES = [(np, tnp), (np.linalg, tnp.linalg), (np.fft, tnp.fft)]

# names


@pytest.mark.parametrize(("theirs", "home"), HOMES, ids=lambda home: home.__name__)
def test_every_name_of_numpy_is_there(theirs: Any, home: Any) -> None:
    assert [name for name in theirs.__all__ if not hasattr(home, name)] == []
    assert set(theirs.__all__) <= set(dir(home))
    for name in theirs.__all__:
        one, other = getattr(theirs, name), getattr(home, name)
        if callable(one) and hasattr(one, "__name__") and not isinstance(one, type):
            assert callable(other)
            assert other.__name__ == one.__name__ or name in ("amax", "amin")
        else:
            assert other is one or inspect.ismodule(one)


@pytest.mark.parametrize(("theirs", "home"), HOMES, ids=lambda home: home.__name__)
def test_what_has_a_rule_is_served_here(theirs: Any, home: Any) -> None:
    for name in theirs.__all__:
        function = getattr(theirs, name)
        if function.__hash__ and (function in UFUNCS or function in FUNCTIONS):
            assert getattr(home, name) is not function
            assert getattr(home, name) is (UFUNCS.get(function) or FUNCTIONS[function])
            assert inspect.getdoc(getattr(home, name))


def test_a_star_import_gives_numpys_names() -> None:
    assert set(tnp.__all__) == {*np.__all__, "index_add", "index_multiply", "index_set"}
    names: dict[str, Any] = {}
    exec("from tapegrad.numpy import *", names)
    assert set(np.__all__) <= set(names)


def test_the_parts_that_numpy_loads_late() -> None:
    for name in ("random", "polynomial", "ma"):
        assert getattr(tnp, name) is getattr(np, name)
    assert tnp.pi is np.pi
    assert tnp.newaxis is None
    assert tnp.float32 is np.float32
    assert tnp.linalg is not np.linalg
    assert tnp.fft is not np.fft
    with pytest.raises(AttributeError):
        _ = tnp.no_such_name


def test_plain_calls_are_numpys() -> None:
    assert tnp.sin(1.0) == np.sin(1.0)
    assert tnp.concatenate([[1], [2]]).tolist() == [1, 2]
    assert tnp.linalg.norm([3.0, 4.0]) == 5
    assert tnp.add(1, 2) == 3
    assert tnp.array([1, 2]).dtype == int
    assert tnp.where([True, False], 1, 2).tolist() == [1, 2]


# what is tested


def covered() -> set[Any]:
    """The functions of the tables that some case calls."""
    found: set[Any] = set()
    for module in (test_elementwise, test_structure, test_joining, test_indexing, test_sorting, test_creation):
        for value in vars(module).values():
            parts = value if isinstance(value, (list, dict)) else []
            found |= {part.function if isinstance(part, Case) else part for part in parts if _is_case(part)}
    for name in ("test_reductions", "test_products"):
        found |= set(mentioned(Path(__file__).with_name(f"{name}.py")))
    found |= {np.put, np.putmask, np.place, np.put_along_axis, np.fill_diagonal}  # in test_assignment
    return found | {np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.full, np.empty_like, np.copyto}


def _is_case(part: Any) -> bool:
    return isinstance(part, (Case, np.ufunc))


def mentioned(path: Path) -> Iterator[Any]:
    """NumPy's functions that a file of tests names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            words = ast.unparse(node).split(".")
            if words[0] in ("np", "tnp") and all(word.isidentifier() for word in words):
                function: Any = np
                for word in words[1:]:
                    function = getattr(function, word, None)
                if callable(function):
                    yield function


def test_every_rule_is_covered() -> None:
    """A new row needs a line in the tables of these tests; its name stands here until it has one."""
    rules = {**UFUNCS, **FUNCTIONS}
    seen = {rules[function] for function in covered() & rules.keys()}  # by any of its names
    assert sorted(function.__name__ for function, rule in rules.items() if rule not in seen) == []


def test_what_was_forgotten_is_named() -> None:
    """The test above can fail."""
    assert np.fft.fft not in covered()
    assert np.sin in covered()
    assert np.take in covered()


# what has no rule


def _drops(result: Any) -> bool:
    """Whether there are plain floats in a result: that they depend on the arguments is lost."""
    if isinstance(result, (list, tuple)):
        return any(map(_drops, result))
    return not isinstance(result, Tracer) and getattr(np.asarray(result), "dtype", np.dtype(int)).kind in "fc"


UFUNCS_OF_NUMPY = sorted({f for f in vars(np).values() if isinstance(f, np.ufunc)}, key=lambda f: f.__name__)
# of these the derivative is zero wherever there is one
STEPS = {np.floor, np.ceil, np.rint, np.trunc, np.sign, np.spacing, np.floor_divide}


@pytest.mark.parametrize("function", UFUNCS_OF_NUMPY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("home", [np, tnp], ids=["np", "tnp"])
def test_ufuncs_have_a_rule_or_raise(function: np.ufunc, home: Any) -> None:
    """With traced values in every place, a result of floats is traced, or its derivative is zero by nature."""
    served = function if home is np else getattr(tnp, function.__name__)
    for x in (0.7, array(3), np.array(0.7)):
        for traced in range(1, 1 << function.nin):
            args = [x if traced >> k & 1 else 2 for k in range(function.nin)]
            seen = []

            def f(*values: Any, args: list[Any] = args, seen: list[Any] = seen) -> float:
                rest = iter(values)
                seen.append(served(*[a if type(a) is int else next(rest) for a in args]))
                return 1.0

            try:
                with np.errstate(all="ignore"):
                    tg.vjp(f, *[a for a in args if type(a) is not int])
            except (TapegradError, TypeError, ValueError) as error:
                assert isinstance(error, TapegradError) or function in UFUNCS
                continue
            assert function in UFUNCS
            if function is np.divmod:
                seen = [seen[0][1]]
            assert not _drops(seen[0]) or function in STEPS


@pytest.mark.parametrize("function", UFUNCS_OF_NUMPY, ids=lambda f: f.__name__)
def test_methods_of_ufuncs_have_a_rule_or_raise(function: np.ufunc) -> None:
    x = array(3)
    for method, more in {
        "reduce": (),
        "accumulate": (),
        "reduceat": ([0, 1],),
        "outer": (x,) * (function.nin - 1),
        "at": ([0], *(1.0,) * (function.nin - 1)),
    }.items():
        seen: list[Any] = []

        def f(x: Any, method: str = method, more: Any = more, seen: list[Any] = seen) -> float:
            seen.append(getattr(function, method)(x, *more))
            return 1.0

        try:
            with np.errstate(all="ignore"):
                tg.vjp(f, x)
        except (TapegradError, TypeError, ValueError):
            continue
        except RuntimeError as error:
            assert "signature" in str(error)  # NumPy's word on such as matmul
            continue
        if method == "at":
            assert hasattr(UFUNCS.get(function), "definition")
        assert not _drops(seen[0][1] if function is np.divmod else seen[0]) or function in STEPS


X, M = array(4), array(3, 3)
# of each function that takes arrays: arguments that NumPy takes
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "apply_along_axis": (np.sum, 0, M),
    "apply_over_axes": (np.sum, M, [0]),
    "array_split": (X, 2),
    "average": (X,),
    "bincount": (np.array([0, 1, 1, 0]), X),
    "block": ([X, X],),
    "broadcast_to": (X, (2, 4)),
    "choose": (np.array([0, 1, 0, 1]), [X, X]),
    "compress": ([True, False], X),
    "concatenate": ([X, X],),
    "concat": ([X, X],),
    "stack": ([X, X],),
    "vstack": ([X, X],),
    "hstack": ([X, X],),
    "dstack": ([X, X],),
    "column_stack": ([X, X],),
    "copyto": (np.zeros(4), X),
    "delete": (X, 1),
    "digitize": (X, np.array([0.5, 1.0])),
    "polyfit": (X, X, 1),
    "clip": (X, 0.5, 1.0),
    "cholesky": (M @ M.T,),
    "tensorinv": (M, 1),
    "einsum": ("i,i", X, X),
    "einsum_path": ("i,i", X, X),
    "expand_dims": (X, 0),
    "extract": (X > 1, X),
    "full_like": (X, X),
    "gradient": (X,),
    "histogram": (X, 2),
    "histogram2d": (X, X, 2),
    "histogramdd": (M, 2),
    "histogram_bin_edges": (X, 2),
    "insert": (X, 1, 0.5),
    "interp": (X, np.sort(X), X),
    "ix_": (np.array([True, False]),),
    "kron": (X, X),
    "lexsort": ((X, X),),
    "linspace": (X, X, 3),
    "geomspace": (X, X, 3),
    "logspace": (X, X, 3),
    "moveaxis": (M, 0, 1),
    "nan_to_num": (X,),
    "pad": (X, 1),
    "partition": (X, 1),
    "argpartition": (X, 1),
    "percentile": (X, 50),
    "nanpercentile": (X, 50),
    "quantile": (X, 0.5),
    "nanquantile": (X, 0.5),
    "piecewise": (X, [X > 1], [lambda x: x, 0]),
    "place": (np.zeros(4), X > 1, X),
    "put": (np.zeros(4), [0], X),
    "put_along_axis": (np.zeros(4), np.array([0]), X, 0),
    "putmask": (np.zeros(4), X > 1, X),
    "repeat": (X, 2),
    "reshape": (X, (2, 2)),
    "resize": (X, 2),
    "roll": (X, 1),
    "rollaxis": (M, 0),
    "searchsorted": (np.sort(X), X),
    "select": ([X > 1], [X]),
    "split": (X, 2),
    "hsplit": (X, 2),
    "vsplit": (array(2, 2), 2),
    "dsplit": (array(1, 1, 2), 2),
    "swapaxes": (M, 0, 1),
    "take": (X, 1),
    "take_along_axis": (X, np.array([1]), 0),
    "tensordot": (M, M),
    "tile": (X, 2),
    "unwrap": (X,),
    "where": (X > 1, X, X),
    "astype": (X, np.dtype(np.float32)),
    "multi_dot": ([M, M],),
    "matrix_power": (M, 2),
    "tensorsolve": (M, X[:3]),
    "solve": (M, X[:3]),
    "lstsq": (M, X[:3]),
    "cross": (X[:3], X[:3]),
}
# for which there is no sensible call with a traced array: types, files, settings, and what makes arrays from numbers
NOT_OF_ARRAYS = {
    *("arange", "asarray_chkfinite", "asmatrix", "base_repr", "binary_repr", "bmat", "busday_count", "busday_offset"),
    *("broadcast_shapes", "can_cast", "datetime_as_string", "datetime_data", "diag_indices", "einsum_path", "empty"),
    *(
        "eye",
        "format_float_positional",
        "format_float_scientific",
        "from_dlpack",
        "frombuffer",
        "fromfile",
        "fromfunction",
    ),
    *(
        "fromiter",
        "frompyfunc",
        "fromregex",
        "fromstring",
        "genfromtxt",
        "get_include",
        "get_printoptions",
        "getbufsize",
    ),
    *(
        "geterr",
        "geterrcall",
        "identity",
        "info",
        "is_busday",
        "isdtype",
        "isfortran",
        "isscalar",
        "issubdtype",
        "iterable",
    ),
    *(
        "ix_",
        "load",
        "loadtxt",
        "mask_indices",
        "may_share_memory",
        "memmap",
        "min_scalar_type",
        "mintypecode",
        "ndindex",
    ),
    *(
        "nested_iters",
        "ones",
        "printoptions",
        "promote_types",
        "ravel_multi_index",
        "require",
        "save",
        "savetxt",
        "savez",
    ),
    *("savez_compressed", "set_printoptions", "setbufsize", "seterr", "seterrcall", "shares_memory", "show_config"),
    *("show_runtime", "tri", "tril_indices", "tril_indices_from", "triu_indices", "triu_indices_from", "typename"),
    *("unravel_index", "zeros", "test", "asarray", "asanyarray", "array", "full", "indices", "packbits", "unpackbits"),
    *(
        "diag_indices_from",
        "bartlett",
        "blackman",
        "hamming",
        "hanning",
        "kaiser",
        "fftfreq",
        "rfftfreq",
        "copyto",
        "poly",
    ),
    *(
        "place",
        "put",
        "put_along_axis",
        "putmask",
        "fill_diagonal",
        "vectorize",
        "testing",
        "row_stack",
        "trapz",
        "in1d",
    ),
}


CONSTANT = ("zeros_like", "ones_like", "empty_like", "round", "around", "fix", "angle")  # the angle of real numbers


def _functions() -> Iterator[tuple[str, Any]]:
    for theirs, _ in HOMES:
        for name in theirs.__all__:
            function = getattr(theirs, name)
            public = not name.startswith("_") and name not in NOT_OF_ARRAYS
            if public and callable(function) and not isinstance(function, (type, np.ufunc)):
                yield f"{theirs.__name__}.{name}", function


@pytest.mark.parametrize("function", [pytest.param(f, id=name) for name, f in _functions()])
@pytest.mark.filterwarnings("ignore")
def test_functions_have_a_rule_or_raise(function: Any) -> None:
    """With arrays for arguments, a result of floats is traced, or its derivative is zero by nature."""
    name = function.__name__
    given = [ARGUMENTS[name]] if name in ARGUMENTS else [(X,), (M,), (X, X), (M, M), (M, X[:3])]
    plain = None
    for args in given:
        args = tg.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, args)  # it may write
        try:
            plain = function(*args)
        except Exception:  # these arguments are not for this function
            continue
        seen = []
        leaves, structure = tg.tree.flatten(args)
        places = [k for k, leaf in enumerate(leaves) if tg.tracer.is_inexact(leaf)]

        def f(
            *traced: Any, leaves: Any = leaves, structure: Any = structure, places: Any = places, seen: list[Any] = seen
        ) -> float:
            full = list(leaves)
            for k, t in zip(places, traced, strict=True):
                full[k] = t
            seen.append(function(*structure.unflatten(full)))
            return 1.0

        try:
            tg.vjp(f, *[leaves[k] for k in places])
        except TapegradError:
            continue
        except (TypeError, ValueError, NotImplementedError) as error:
            pytest.fail(f"{name} raises {error!r}, which does not tell that it met a traced value")
        assert function in FUNCTIONS or function in UFUNCS
        assert not _drops(seen[0]) or name in CONSTANT
    if plain is None:
        pytest.fail(f"{name} was never called: give it arguments in ARGUMENTS, or a place in NOT_OF_ARRAYS")


def test_the_error_says_what_is_missing() -> None:
    for call, name in (
        (lambda x: np.fft.fft(x), "numpy.fft.fft"),
        (lambda x: np.linalg.svd(x), "numpy.linalg.svd"),
        (lambda x: np.median(x), "numpy.median"),
        (lambda x: np.subtract.reduce(x), "numpy.subtract.reduce"),
        (lambda x: np.gcd(x, x), "numpy.gcd"),
    ):
        with pytest.raises(MissingRuleError, match=name.replace(".", r"\.")) as error:
            tg.grad(lambda x, call=call: np.sum(call(x)))(M)
        assert isinstance(error.value, NotImplementedError)
        assert len(str(error.value).splitlines()) == 3
        assert "stop_gradient" in str(error.value)


def test_stop_gradient_helps() -> None:
    assert tg.grad(lambda x: np.sum(x * np.median(tg.stop_gradient(x))))(X).tolist() == [np.median(X)] * 4


def test_a_rule_can_be_added_for_a_function_of_numpy() -> None:
    median = tg.primitive(np.median)
    with pytest.raises(MissingRuleError):
        tg.grad(lambda x: median(x))(X)
    assert median(X) == np.median(X)


@pytest.mark.parametrize("module", ["creation", "elementwise", "indexing", "joining", "sorting", "structure"])
def test_the_files_of_rules_import_alone(module: str) -> None:
    assert importlib.import_module(f"tapegrad.numpy.{module}").__doc__
