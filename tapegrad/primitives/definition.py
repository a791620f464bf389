"""A primitive: its body, its parameters, its rules, and what of a call the tape keeps for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from ..errors import MissingRuleError, PrimitiveError, RuleError
from .rules import DROP, KEEP, REFUSED, SHAPE, Key, Rule, apart


class Definition:
    """A primitive: its body, its parameters and its rules."""

    def __init__(
        self,
        body: Callable[..., Any],
        name: str,
        nondiff: Sequence[str] = (),
        constants: Sequence[str] = (),
        elementwise: bool = False,
        views: bool = False,
        linear: Sequence[Key] = (),
        multilinear: Sequence[Key] = (),
        reduces: bool = False,
        scales: bool = False,
        scatters: Callable[..., Any] | None = None,
    ) -> None:
        self.body = body
        self.name = name
        self.elementwise = elementwise  # its rules multiply each element, and need not unbroadcast
        self.reduces = reduces  # it takes the one from the many along `axis`; its rules multiply each of the many
        self.scatters = scatters  # tells, of the arguments, where the answer is not 0 whatever they are
        self.scales = scales  # it multiplies its two arguments, and where one is a constant 0 it leaves a hole
        self.views = views  # its result may share memory with its argument
        self.rules: dict[Key, Rule] = {}
        self.joint: Rule | None = None
        self.forward_rules: dict[Key, Rule] = {}
        self.forward_joint: Rule | None = None
        self.made: set[Key] = set()  # of the rules: those that were made from rules that go forward
        self.turn: Callable[[Definition, Key], Callable[..., Any]] | None = None  # makes them
        self.known = True  # its rules are the library's own
        self.inner = False  # only the library calls it, with settings that stay as they are
        self.record: Callable[..., Any] = body  # makes any call, and records it
        self.call: Callable[..., Any] = body  # makes the usual ones, sooner
        self.changed: Callable[[], None] = lambda: None  # called when there is a new rule
        self.plans: dict[Any, tuple[int, tuple[int, ...]]] = {}
        self.names: Sequence[str | None] = []  # of positional parameters; None where only the position counts
        self.defaults: dict[str | int, Any] = {}
        self.keyword_only: list[str] = []
        self.variadic = self.options = False
        self.signature: inspect.Signature | None = None
        if isinstance(body, np.ufunc):
            self.names, self.options = [None] * body.nin, True
        else:
            self._read_signature(body)
        # by the number of arguments given: the defaults of the rest, None where one has no default
        n = len(self.names)
        self.tails = [
            tuple([self.defaults[j] for j in range(k, n)]) if all(j in self.defaults for j in range(k, n)) else None
            for k in range(n + 1)
        ]
        named: Iterable[Any] = nondiff if isinstance(nondiff, Iterable) else (nondiff,)  # to complain of what is none
        self.nondiff = frozenset(self.key(argument) for argument in named)
        self.constants = frozenset(self.key(argument) for argument in constants)  # derivative zero
        self.linear = frozenset(self.key(argument) for argument in linear)  # in all of these together
        self.multilinear = frozenset(self.key(argument) for argument in multilinear)  # in each of these alone
        self.refused = [self.key(word) for word in REFUSED if word in (*self.names, *self.keyword_only)]

    def _read_signature(self, body: Callable[..., Any]) -> None:
        try:
            self.signature = inspect.signature(body)
        except (TypeError, ValueError):  # a built-in that does not tell
            self.variadic = self.options = True
            return
        for p in self.signature.parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                self.variadic = True
            elif p.kind is p.VAR_KEYWORD:
                self.options = True
            elif p.kind is p.KEYWORD_ONLY:
                self.keyword_only.append(p.name)
                if p.default is not p.empty:
                    self.defaults[p.name] = p.default
            else:
                if p.default is not p.empty:
                    self.defaults[len(self.names)] = p.default
                self.names = [*self.names, None if p.kind is p.POSITIONAL_ONLY else p.name]

    # arguments

    def key(self, argument: Any) -> Key:
        """The key of an argument that is named by position or by name; raises where there is none."""
        if isinstance(argument, str):
            if argument in self.names:
                return self.names.index(argument)
            if argument in self.keyword_only or self.options:
                return argument
        elif isinstance(argument, (int, np.integer)) and not isinstance(argument, bool):
            at, n = int(argument), len(self.names)
            if -n <= at < n:
                return at % n
            if self.variadic and at >= 0:
                return at
        raise RuleError(
            f"{self.name} has no argument {argument!r}",
            f"arguments: {self.describe()}",
            "name an argument by its position (0, 1, ...) or by its name",
        )

    def axis(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The argument `axis` of a call."""
        key = self.key("axis")
        return args[key] if isinstance(key, int) else kwargs[key]

    def word(self, key: Key) -> Key:
        """The name of an argument, its position where it has none."""
        return (self.names[key] or key) if isinstance(key, int) and key < len(self.names) else key

    def describe(self) -> str:
        """The parameters, as a person would list them."""
        parts = [name or f"argument {i}" for i, name in enumerate(self.names)]
        parts += ["*args"] * self.variadic + self.keyword_only
        return ", ".join(parts) or "none"

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All arguments, defaults filled in: the positional ones, and the keyword-only ones by name."""
        if not kwargs and not self.keyword_only and len(args) <= len(self.names):
            tail = self.tails[len(args)]
            if tail is not None:
                return args + tail, kwargs
        full = list(args)
        rest = dict(kwargs)
        for position in range(len(args), len(self.names)):
            name = self.names[position]
            if name is not None and name in rest:
                full.append(rest.pop(name))
            elif position in self.defaults:
                full.append(self.defaults[position])
            else:
                self._complain(args, kwargs)
        for name in self.keyword_only:
            if name not in rest:
                if name not in self.defaults:
                    self._complain(args, kwargs)
                rest[name] = self.defaults[name]
        if (len(full) > len(self.names) and not self.variadic) or (
            not self.options and rest.keys() - self.keyword_only
        ):
            self._complain(args, kwargs)
        return tuple(full), rest

    def _complain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise what Python would raise for this call."""
        reason = "the arguments do not fit"
        if self.signature is not None:
            try:
                self.signature.bind(*args, **kwargs)
            except TypeError as error:
                reason = str(error)
        raise PrimitiveError(
            f"{self.name}() was called in a wrong way: {reason}",
            f"arguments: {self.describe()}",
            f"look at help({self.name})",
        )

    def refuse(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise where a call with traced values sets a parameter that no rule knows."""
        for key in self.refused:
            given = args[key] if isinstance(key, int) else kwargs[key]
            if given is not self.defaults[key]:
                word = self.word(key)
                raise PrimitiveError(
                    f"{self.name} was called with {word}= and a traced value",
                    "the derivative of such a call is not known",
                    "leave it out: numpy.where selects, numpy.maximum or + takes a starting value in",
                )

    # rules

    def add(self, key: Key | None, call: Callable[..., Any]) -> None:
        """Take a rule for one argument, or with None the rule for all of them."""
        self._check(key, call, "defvjp", "g")
        self._check_parameters(call, "g")
        for made in self.made:  # again, if they are still needed
            del self.rules[made]
        self.made.clear()
        self.joint = self._put(self.rules, self.joint, key, self._rule(call))

    def add_forward(self, key: Key | None, call: Callable[..., Any]) -> None:
        """Take a rule that goes forward: from the tangent of one argument, or with None from those of all."""
        first = "tangents" if key is None else "t"
        self._check(key, call, "defjvp", first)
        self._check_parameters(call, first)
        self.forward_joint = self._put(self.forward_rules, self.forward_joint, key, self._rule(call))

    def _rule(self, call: Callable[..., Any]) -> Rule:
        rule = Rule(call)
        if not self.known:
            rule.call = apart(call)
        return rule

    def forward_rule(self, key: Key) -> Rule | None:
        """The rule that goes forward from an argument, alone or together with others; None if there is none."""
        return self.forward_joint or self.forward_rules.get(key)

    def _put(self, rules: dict[Key, Rule], joint: Rule | None, key: Key | None, rule: Rule) -> Rule | None:
        """Put a rule among those of one direction; gives the one for all arguments."""
        if joint is not None or (key is None and rules) or key in rules:
            which = "all arguments" if key is None or joint is not None else f"argument {key!r}"
            raise RuleError(
                f"{self.name} has a rule for {which} already",
                f"rules: {self.describe_rules(rules, joint)}",
                "give each argument one rule, alone or all at once",
            )
        if key is None:
            joint = rule
        else:
            rules[key] = rule
        self.plans.clear()
        self.changed()
        return joint

    def is_linear(self, keys: Iterable[Key]) -> bool:
        """Whether the answer is linear in these arguments together, the others held."""
        keys = set(keys)
        return keys <= self.linear or (len(keys) == 1 and keys <= self.multilinear)

    def is_affine(self, keys: Iterable[Key]) -> bool:
        """Whether the derivative is the same everywhere, since no rule looks at the arguments or the answer."""
        if self.joint is not None or isinstance(self.body, np.ufunc) or any(key not in self.rules for key in keys):
            return False
        rules = [self.rules[key] for key in keys]
        return not any(rule.reads_answer or rule.reads(key) for rule in rules for key in keys)

    def _check(self, key: Key | None, call: Any, decorator: str, first: str) -> None:
        if not callable(call):
            raise RuleError(
                f"the rule given for {self.name} is of class {type(call).__name__}, not a function",
                f"arguments: {self.describe()}",
                f"put @{self.name}.{decorator} above a function ({first}, y, arguments)",
            )
        if key in self.nondiff:
            raise RuleError(
                f"argument {self.word(key)!r} of {self.name} carries no derivative",
                "it stands in nondiff_argnames",
                "take it out of nondiff_argnames, or drop the rule",
            )

    def _check_parameters(self, call: Callable[..., Any], first: str) -> None:
        if type(call) is FunctionType and not self.keyword_only and not call.__kwdefaults__:
            code = call.__code__
            if code.co_argcount == 2 + len(self.names) and not code.co_kwonlyargcount:
                return  # the usual case, without the cost of a signature
        try:
            signature = inspect.signature(call)
        except (TypeError, ValueError):
            return
        wanted = 2 + len(self.names)
        try:
            if self.variadic and not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
                return  # such a rule fits the calls with as many arguments as it names
            signature.bind(*range(wanted), **dict.fromkeys(self.keyword_only))
        except TypeError as error:
            raise RuleError(
                f"the rule {getattr(call, '__name__', 'given')} does not fit {self.name}: {error}",
                f"its parameters are {signature}",
                f"take {first}, y and the arguments of {self.name}: {self.describe()}",
            ) from None

    def describe_rules(self, rules: dict[Key, Rule] | None = None, joint: Rule | None = None) -> str:
        if rules is None:
            rules, joint = self.rules, self.joint
        if joint is not None:
            return "for all arguments"
        if not rules:
            return "none"
        return "for arguments " + ", ".join(str(key) for key in rules)

    def require(self, keys: Iterable[Key]) -> None:
        """Raise unless each of these arguments has a rule."""
        for key in keys:
            if key in self.nondiff:
                raise PrimitiveError(
                    f"argument {self.word(key)!r} of {self.name} carries no derivative, but got a traced value",
                    f"nondiff_argnames: {', '.join(sorted(str(self.word(k)) for k in self.nondiff))}",
                    "pass a plain value, such as tapegrad.stop_gradient(x)",
                )
            forward = self.forward_rule(key)
            if self.joint is None and key not in self.rules and self.turn is not None and forward is not None:
                same = self.elementwise and self.forward_joint is None
                self.rules[key] = forward if same else forward.like(self.turn(self, key))
                self.made.add(key)
            if self.joint is None and key not in self.rules:
                raise MissingRuleError(
                    f"{self.name} has no derivative rule for argument {key!r}",
                    f"rules: {self.describe_rules()}",
                    f"add one with @{self.name}.defvjp({key!r}), or keep the argument constant",
                )

    def plan(self, keys: tuple[Key, ...], count: int) -> tuple[int, tuple[int, ...]]:
        """What the rules for these arguments read: of the answer, and of each of `count` arguments."""
        found = self.plans.get((keys, count))
        if found is None:
            self.require(keys)
            rules = [self.joint] if self.joint is not None else [self.rules[key] for key in keys]
            rules += [rule for rule in map(self.forward_rule, keys) if rule is not None]
            settings = self.nondiff if self.linear or self.multilinear or self.reduces else ()
            least: dict[Key, int] = dict.fromkeys(settings, KEEP)  # that the function itself needs
            if len(self.linear) > 1 and not self.elementwise:
                least |= dict.fromkeys(self.linear, SHAPE)
            fates = [max(least.get(i, DROP), *[rule.fate(i) for rule in rules]) for i in range(count)]
            found = self.plans[keys, count] = max(rule.y for rule in rules), tuple(fates)
        return found
