"""The text form of schedules: the constructor calls, read without evaluating anything.

sequence := product ('|' product)*            product := item ('*' item)*
item     := (number | call | '(' sequence ')') ('.' method)*
call     := name [ '(' arguments ')' ]        argument := [name '='] value
value    := length | string | list | True | False | None | sequence
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from stepsize.schedules.policy import maker
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<string>'[^'\n]*'|"[^"\n]*")
    |(?P<symbol>[()\[\],|*.=%]))""",
    re.VERBOSE,
)
_METHODS = ("clip", "over", "along")
_CONSTANTS = {"True": True, "False": False, "None": None}
_DEPTH = 40
"""Nesting beyond any schedule that a person writes; it keeps hostile text from exhausting the stack."""


class ParseError(ValueError):
    """Text that is not a schedule; the message shows the text with a caret under the place."""

    def __init__(self, problem: str, text: str, place: int) -> None:
        self.problem, self.text, self.place = problem, text, place
        line = re.sub(r"\s", " ", text)
        super().__init__(f"{problem}\n  {line}\n  {' ' * place}^")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.text, self.place)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def parse(text: str) -> Schedule:
    """Read a schedule; raises `ParseError` (a `ValueError`) with a caret under the place."""
    if not isinstance(text, str):
        raise ValueError(f"a schedule is parsed from text, but got {text!r}")
    return _Parser(text).schedule()


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            raise ParseError(f"{text[place]!r} has no meaning here", text, place)
        kind = match.lastgroup or ""
        yield _Token(kind, match[kind], match.start(kind))
        place = match.end()
    yield _Token("end", "", end)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, problem: str, place: int | None = None) -> NoReturn:
        raise ParseError(problem, self.text, self.token.place if place is None else place) from None

    def takes(self, symbol: str) -> bool:
        if self.token.kind == "symbol" and self.token.text == symbol:
            self.index += 1
            return True
        return False

    def expect(self, symbol: str, after: str) -> None:
        if not self.takes(symbol):
            self.fail(f"expected {symbol!r} {after}")

    def schedule(self) -> Schedule:
        if self.token.kind == "end":
            self.fail("a schedule is expected, for example cosine or warmup('2%') | cosine(floor=0.01)")
        value = self.sequence()
        if self.token.kind != "end":
            self.fail("expected '|', '*' or the end")
        if not isinstance(value, Schedule):
            self.fail(f"a schedule is expected: for a constant rate write fixed({self.text.strip()})", 0)
        return value

    def sequence(self) -> Schedule | float:
        self.depth += 1
        if self.depth > _DEPTH:
            self.fail(f"nested more than {_DEPTH} deep")
        value = self.product()
        while self.token.text == "|" and self.token.kind == "symbol":
            place = self.token.place
            self.index += 1
            value = self.combine("|", value, self.product(), place)
        self.depth -= 1
        return value

    def product(self) -> Schedule | float:
        value = self.item()
        while self.token.text == "*" and self.token.kind == "symbol":
            place = self.token.place
            self.index += 1
            value = self.combine("*", value, self.item(), place)
        return value

    def combine(
        self, symbol: str, left: Schedule | float, right: Schedule | float, place: int
    ) -> Schedule | float:
        try:
            if symbol == "*":
                return left * right
            if not (isinstance(left, Schedule) and isinstance(right, Schedule)):
                self.fail("'|' joins schedules, and here stands a number", place)
            return left | right
        except ParseError:
            raise
        except (ValueError, OverflowError) as error:
            self.fail(str(error), place)

    def item(self) -> Schedule | float:
        token = self.token
        value: Schedule | float
        if token.kind == "number":
            self.index += 1
            return float(token.text)
        if token.kind == "name":
            self.index += 1
            positional, named = self.arguments() if self.takes("(") else ([], {})
            value = self.build(token, positional, named)
        elif self.takes("("):
            value = self.sequence()
            self.expect(")", "to close the parenthesis")
        else:
            self.fail("a schedule is expected here")
        while self.takes("."):
            value = self.method(value)
        return value

    def build(self, token: _Token, positional: list[Any], named: dict[str, Any]) -> Schedule:
        try:
            return maker(token.text)(*positional, **named)
        except (ValueError, TypeError, OverflowError) as error:
            self.fail(str(error), token.place)

    def method(self, value: Schedule | float) -> Schedule:
        token = self.token
        if token.kind != "name" or token.text not in _METHODS or not isinstance(value, Schedule):
            self.fail(f"after a schedule and '.' comes one of {', '.join(_METHODS)}")
        self.index += 1
        self.expect("(", f"after {token.text}")
        positional, named = self.arguments()
        try:
            result = getattr(value, token.text)(*positional, **named)
        except (ValueError, TypeError, OverflowError) as error:
            self.fail(str(error), token.place)
        assert isinstance(result, Schedule)
        return result

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while not self.takes(")"):
            token, after = self.token, self.tokens[min(self.index + 1, len(self.tokens) - 1)]
            if token.kind == "name" and after.text == "=" and after.kind == "symbol":
                self.index += 2
                if token.text in named:
                    self.fail(f"{token.text} is given twice", token.place)
                named[token.text] = self.value()
            elif named:
                self.fail("an argument without a name must come before those with one")
            else:
                positional.append(self.value())
            if not self.takes(","):
                self.expect(")", "or ',' after an argument")
                break
        return positional, named

    def value(self) -> Any:
        token = self.token
        if token.kind == "string":
            self.index += 1
            return token.text[1:-1]
        if token.kind == "name" and token.text in _CONSTANTS:
            self.index += 1
            return _CONSTANTS[token.text]
        if self.takes("["):
            items: list[Any] = []
            self.depth += 1
            if self.depth > _DEPTH:
                self.fail(f"nested more than {_DEPTH} deep")
            while not self.takes("]"):
                items.append(self.value())
                if not self.takes(","):
                    self.expect("]", "or ',' after an item")
                    break
            self.depth -= 1
            return items
        if token.kind == "number":
            after = self.tokens[self.index + 1]
            if after.text == "%" or after.kind == "name":
                self.index += 2
                try:
                    return Length.of(f"{token.text}{after.text}")
                except ValueError as error:
                    self.fail(str(error), token.place)
        return self.sequence()
