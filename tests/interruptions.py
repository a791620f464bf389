"""What happens in the middle of a call: something done at each line of the library's, an exception at each call.

A line is where another thread can take over, a call is where Python looks for signals.
"""

import inspect
import sys
from contextlib import contextmanager
from itertools import count

import tapegrad

HERE = tapegrad.__path__[0]


def at_each_line(run):
    """`run(at)` again and again: in `with at(act):`, `act()` is called at the n-th line of the library. Gives their number."""

    @contextmanager
    def at(act):
        def local(frame, event, arg):
            nonlocal left
            if event == "line":
                left -= 1
                if left == 0:
                    act()
            return local

        before = sys.gettrace()
        sys.settrace(lambda frame, event, arg: local if frame.f_code.co_filename.startswith(HERE) else None)
        try:
            yield
        finally:
            sys.settrace(before)

    for n in count(1):
        left = n
        run(at)
        if left > 0:
            return n - 1


def lines_of(call):
    """How many lines of Python `call()` runs."""

    def local(frame, event, arg):
        nonlocal lines
        lines += event == "line"
        return local

    lines, before = 0, sys.gettrace()
    sys.settrace(lambda frame, event, arg: local)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


def at_each_call(run, error=KeyboardInterrupt):
    """`run()` again and again, with `error` raised at the n-th call, or behind the n-th that is not Python's own.

    Generators are left out, whose end at their death is a call, too. Gives after each of them the exception that came out, None for the last, which came to its end.
    """

    def profile(frame, event, arg):
        nonlocal left
        code = frame.f_code
        if event in ("call", "c_return") and code.co_filename.startswith(HERE) and not code.co_flags & inspect.CO_GENERATOR:
            left -= 1
            if left == 0:
                raise error(f"{event} in {code.co_name}, line {frame.f_lineno}")

    for n in count(1):
        left, raised = n, None
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            run()
        except BaseException as caught:
            raised = caught
        finally:
            sys.setprofile(before)
        yield raised
        if left > 0:
            return
