"""The expressions of derived claims: `+ − × /`, parentheses, numbers and names of operands, over exact intervals.

An operand stands in an expression once. So interval arithmetic gives exactly the values that the operands allow: it is wider
than that only where a name occurs twice (Moore, *Interval Analysis*, 1966, section 3). No text is evaluated as Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST = 300
"""Characters of an expression."""

TOKENS = 100
"""Numbers, names, signs and parentheses of an expression."""

DEEPEST = 10
"""Parentheses inside each other."""

NAME = r"[a-z][a-z0-9_]{0,39}"

_TOKEN = re.compile(rf"\s*(?:(?P<number>[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?)|(?P<name>{NAME})|(?P<sign>[-+*/()−×÷]))")
_SIGNS = str.maketrans("−×÷", "-*/")


class ExpressionError(ValueError):
    """An expression is not valid, or has no value; `str()` of it is a clause."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers from `low` to `high`."""

    low: Fraction
    high: Fraction

    @property
    def middle(self) -> Fraction:
        """Half-way between the ends."""
        return (self.low + self.high) / 2

    def combined(self, sign: str, other: Interval) -> Interval:
        """What one of `+ - * /` gives for the numbers of two intervals.

        Raises:
            ExpressionError: the divisor may be 0.
        """
        if sign == "+":
            return Interval(self.low + other.low, self.high + other.high)
        if sign == "-":
            return Interval(self.low - other.high, self.high - other.low)
        if sign == "/":
            if other.low <= 0 <= other.high:
                raise ExpressionError("it divides by a value that may be 0 by its printed digits")
            other = Interval(1 / other.high, 1 / other.low)
        ends = [one * two for one in (self.low, self.high) for two in (other.low, other.high)]
        return Interval(min(ends), max(ends))


def exact(value: Fraction) -> Interval:
    """The interval of one number."""
    return Interval(value, value)


@dataclass(frozen=True, slots=True)
class _Number:
    value: Fraction


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


@dataclass(frozen=True, slots=True)
class _Pair:
    sign: str
    left: _Node
    right: _Node


_Node = _Number | _Name | _Pair


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a value is measured in, as exponents: shares (percent, fraction) and counts. A pure number has neither."""

    shares: int = 0
    counts: int = 0


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    root: _Node
    names: tuple[str, ...]
    """The operands, in their order; one that stands in it twice is twice here."""

    def over(self, given: Mapping[str, Interval]) -> Interval:
        """The values that the expression can have.

        Raises:
            ExpressionError: it divides by a value that may be 0.
        """
        return _over(self.root, given)

    def value(self, given: Mapping[str, Fraction]) -> Fraction:
        """The value for exact operands; raises `ExpressionError` like `over`."""
        return self.over({name: exact(value) for name, value in given.items()}).low

    def dimension(self, given: Mapping[str, Dimension]) -> Dimension:
        """What the value is measured in.

        Raises:
            ExpressionError: it adds or subtracts values that are measured in different things.
        """
        return _dimension(self.root, given)

    def rising(self) -> frozenset[str]:
        """The operands whose growth lets the value grow, if all values are positive."""
        return frozenset(name for name, up in _directions(self.root, up=True) if up)


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: it is not one, or it is longer or deeper than an expression may be.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"it has {len(text):,} characters, an expression may have {LONGEST}")
    tokens = list(_tokens(text))
    if len(tokens) > TOKENS:
        raise ExpressionError(f"it has {len(tokens):,} parts, an expression may have {TOKENS}")
    parser = _Parser(tokens)
    root = parser.sum(0)
    if parser.place < len(tokens):
        raise ExpressionError(f"expected one of + - * / before {tokens[parser.place]!r}")
    return Expression(root, tuple(token for token in tokens if token[0].isalpha()))


def _tokens(text: str) -> Iterator[str]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            rest = text[place:].split()[0][:20]
            raise ExpressionError(
                f"{rest!r} has no meaning here; expected names of operands (small letters, digits, '_'), numbers, + - * / and "
                "parentheses"
            )
        place = match.end()
        yield match[0].strip().translate(_SIGNS)


class _Parser:
    """Recursive descent; the depth is limited, and the left side of equal signs is read in a loop."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def sum(self, depth: int) -> _Node:
        found = self.product(depth)
        while (sign := self.next()) in ("+", "-"):
            self.place += 1
            found = _Pair(sign, found, self.product(depth))
        return found

    def product(self, depth: int) -> _Node:
        found = self.atom(depth)
        while (sign := self.next()) in ("*", "/"):
            self.place += 1
            found = _Pair(sign, found, self.atom(depth))
        return found

    def atom(self, depth: int) -> _Node:
        token = self.next()
        self.place += 1
        if token == "(":
            if depth >= DEEPEST:
                raise ExpressionError(f"more than {DEEPEST} parentheses stand inside each other")
            found = self.sum(depth + 1)
            if self.next() != ")":
                raise ExpressionError("a parenthesis is not closed")
            self.place += 1
            return found
        if token[:1].isdigit():
            return _Number(Fraction(token))
        if token[:1].isalpha():
            return _Name(token)
        before = repr(token) if token else "the end"
        raise ExpressionError(f"expected a number, the name of an operand or '(' before {before}")


def _over(node: _Node, given: Mapping[str, Interval]) -> Interval:
    if isinstance(node, _Number):
        return exact(node.value)
    if isinstance(node, _Name):
        return given[node.name]
    return _over(node.left, given).combined(node.sign, _over(node.right, given))


def _dimension(node: _Node, given: Mapping[str, Dimension]) -> Dimension:
    if isinstance(node, _Number):
        return Dimension()
    if isinstance(node, _Name):
        return given[node.name]
    left, right = _dimension(node.left, given), _dimension(node.right, given)
    if node.sign in "+-":
        if left != right:
            raise ExpressionError("it adds or subtracts values of different units")
        return left
    sign = 1 if node.sign == "*" else -1
    return Dimension(left.shares + sign * right.shares, left.counts + sign * right.counts)


def _directions(node: _Node, *, up: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, _Name):
        yield node.name, up
    elif isinstance(node, _Pair):
        yield from _directions(node.left, up=up)
        yield from _directions(node.right, up=up if node.sign in "+*" else not up)
