"""A formula as a tree: a recursive-descent grammar for the LaTeX and plain text of answers.

Grammar, loosest first: sums; products and quotients from left to right, implied multiplication binding as `*`; signs;
powers; `!`, `%`, degrees; numbers, letters, groups and functions.  `-x^2` is -(x^2), `1/2x` is (1/2)x, `ab` is a times
b, x^12 is x to the twelfth, a whole number before a proper fraction is a mixed number.  Whatever the grammar does not
know is refused with a reason: nothing is guessed, nothing is executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from r1zero.grading.guards import MAX_EXPONENT_DIGITS, MAX_NESTING
from r1zero.grading.tokens import FUNCTIONS, GREEK, Token, UnreadableError, tokens


@dataclass(frozen=True)
class Node:
    """One operation.  Example: Node("^", (Node("name", name="x"), Node("number", value=Fraction(2))))

    Kinds: number, name, constant (pi e i infinity), + * / ^ neg ! and the functions, by their names.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    value: Fraction | None = None
    name: str = ""


_OPEN = {"(": ")", "[": "]", "{": "}"}
_STOPS = frozenset(["", ")", "]", "}", "+", "-", ",", "|", "\\rfloor", "\\rceil", "\\pm", "\\rangle"])
_TIMES = frozenset(["*", "\\cdot", "\\times"])
_OVER = frozenset(["/", "\\div"])


def parse(text: str) -> Node:
    """The tree of a normalized formula.  Raises UnreadableError with the reason.

    >>> parse("3") , parse("-x").kind, parse("\\\\frac12").kind
    (Node(kind='number', parts=(), value=Fraction(3, 1), name=''), 'neg', '/')
    """
    if "d" in text and "\\frac" in text:
        text = _DERIVATIVE.sub(_primed, text)
    reader = _Reader(tokens(text))
    node = reader.sum()
    if reader.peek():
        raise UnreadableError(f"{reader.peek()[:20]!r} does not fit")
    return node


# dv/dt and d^2v/dt^2 as v' and v''; by t or x, as such answers have them
_DERIVATIVE = re.compile(
    r"\\frac\s*\{\s*d\s*(?P<twice>\^\s*\{?\s*2\s*\}?)?\s*(?P<name>\\?[a-zA-Z]+(?:_\s*\{?\w+\}?)?)\s*\}\s*"
    r"\{\s*d\s*[tx]\s*(?P<below>\^\s*\{?\s*2\s*\}?)?\s*\}"
)


def _primed(found: re.Match[str]) -> str:
    name = str(found["name"])
    is_product = not name.startswith("\\") and len(name.partition("_")[0]) > 1  # \frac{d xy}{dt}
    if is_product or bool(found["twice"]) != bool(found["below"]):
        return found.group()
    return f" {name}" + ("''" if found["twice"] else "'") + " "


def number(token: str) -> Fraction:
    """The exact value of a numeral: 1,234.5 or 12 345 or 4.5e33."""
    mantissa, _, exponent = token.lower().partition("e")
    if len(exponent.lstrip("+-")) > MAX_EXPONENT_DIGITS - 2:
        raise UnreadableError("an exponent too large")
    value = Fraction(mantissa.replace(",", "").replace(" ", ""))
    return value * Fraction(10) ** int(exponent) if exponent else value


class _Reader:
    """A position in a list of tokens; every method reads one rule of the grammar and moves on."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].kind if self.at + ahead < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise UnreadableError(f"{expected or 'something'!r} is missing")
        self.at += 1
        return token

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise UnreadableError("nested too deeply")
        terms = [self.product()]
        while self.peek() in ("+", "-"):
            sign = self.take()
            term = self.product()
            terms.append(term if sign == "+" else Node("neg", (term,)))
        self.depth -= 1
        if self.peek() == "\\choose":
            self.take()
            below = self.sum()
            return Node("binom", (_joined("+", terms), below))
        return _joined("+", terms)

    def product(self) -> Node:
        if self.peek() in ("+", "-"):
            sign = self.take()
            rest = self.product()
            return rest if sign == "+" else Node("neg", (rest,))
        result = self.factor()
        while True:
            token = self.peek()
            if token in _TIMES:
                self.take()
                result = Node("*", (result, self.signed_factor()))
            elif token in _OVER:
                slash = self.take() == "/" and self.is_plain_letter()
                below = self.signed_factor()
                while slash and self.is_plain_letter() and not self.tokens[self.at].spaced:
                    below = Node("*", (below, self.factor()))  # t/RC is t/(RC)
                result = Node("/", (result, below))
            elif token == "\\mod":
                self.take()
                result = Node("mod", (result, self.signed_factor()))
            elif token in _STOPS or token in ("\\choose", "=", "<", ">", "&") or not self.starts_factor():
                return result
            else:
                self.check_adjacent()
                result = Node("*", (result, self.factor()))

    def starts_factor(self) -> bool:
        kind, token = self.kind(), self.peek()
        return kind in ("number", "letter", "command") or token in _OPEN

    def is_plain_letter(self) -> bool:
        return self.kind() == "letter" and self.peek() not in ("e", "i")

    def check_adjacent(self) -> None:
        """Two numerals side by side, and a numeral after a letter, are no product."""
        if self.kind() == "number" and self.kind(-1) in ("number", "letter") and self.peek(-1) != "i":
            raise UnreadableError(f"an operator is missing before {self.peek()[:20]!r}")

    def signed_factor(self) -> Node:
        if self.peek() in ("+", "-"):
            sign = self.take()
            rest = self.signed_factor()
            return rest if sign == "+" else Node("neg", (rest,))
        return self.factor()

    def factor(self) -> Node:
        """An atom with its factorials, powers, primes and percent signs."""
        if (mixed := self.mixed_number()) is not None:
            return self.suffixes(mixed)
        return self.suffixes(self.atom())

    def suffixes(self, base: Node) -> Node:
        while True:
            token = self.peek()
            if token == "^":
                self.take()
                if self.peek() == "\\circ" or (self.peek() == "{" and self.peek(1) == "\\circ" and self.peek(2) == "}"):
                    self.at += 1 if self.peek() == "\\circ" else 3
                    base = Node("degree", (base,))
                    continue
                base = Node("^", (base, self.exponent()))
            elif token == "!":
                if self.peek(1) == "!":
                    raise UnreadableError("double factorial")
                self.take()
                base = Node("fact", (base,))
            elif token == "%":
                self.take()
                base = Node("/", (base, _whole(100)))
            elif token in ("\\degrees", "\\degree", "\\deg"):
                self.take()
                base = Node("degree", (base,))
            else:
                return base

    def exponent(self) -> Node:
        if self.peek() in ("+", "-"):
            sign = self.take()
            inner = self.exponent()
            return inner if sign == "+" else Node("neg", (inner,))
        if self.peek() == "{":
            return self.group()
        node = self.atom()
        if self.peek() == "^":  # 2^3^2 is 2^(3^2)
            self.take()
            return Node("^", (node, self.exponent()))
        return Node("fact", (node,)) if self.peek() == "!" and self.take() else node

    def mixed_number(self) -> Node | None:
        """`2\\frac13` and `2 1/3`, the fraction being proper: 7/3."""
        if self.kind() != "number" or not self.peek().isdigit():
            return None
        whole = self.peek()
        if self.peek(1) == "\\frac":
            start = self.at
            self.at += 2
            top, bottom = self.plain_digits(), self.plain_digits()
        elif self.kind(1) == "number" and self.tokens[self.at + 1].spaced and self.peek(2) == "/":
            start = self.at
            self.at += 1
            top = self.take()
            self.take()
            bottom = self.take() if self.kind() == "number" else ""
        else:
            return None
        if top.isdigit() and bottom.isdigit() and int(top) < int(bottom):
            return Node("number", value=int(whole) + Fraction(int(top), int(bottom)))
        self.at = start
        return None

    def plain_digits(self) -> str:
        """A braced or single numeral of a \\frac; "" when it is anything else."""
        braced = self.peek() == "{"
        text = self.peek(1 if braced else 0)
        if self.kind(1 if braced else 0) != "number" or (braced and self.peek(2) != "}"):
            return ""
        if braced:
            self.at += 3
            return text
        if len(text) > 1:  # \frac12: one digit each
            self.tokens[self.at : self.at + 1] = [Token("number", digit, False) for digit in text if digit.isdigit()]
        return self.take()

    def group(self) -> Node:
        """What stands between a bracket and its partner."""
        opening = self.take()
        node = self.sum()
        self.take(_OPEN[opening])
        return node

    def argument(self) -> Node:
        """A braced group, or the single symbol that LaTeX would take: `\\frac12`, `\\sqrt x`."""
        if self.peek() == "{":
            return self.group()
        if self.kind() == "number" and len(self.peek()) > 1:
            text = self.peek()
            if not text.isdigit():
                return _numeral(self.take())
            self.tokens[self.at : self.at + 1] = [Token("number", digit, False) for digit in text]
        return self.atom()

    def atom(self) -> Node:
        kind, token = self.kind(), self.peek()
        if kind == "number":
            node = _numeral(self.take())
            if self.peek() == "\\overline":
                return self.repeating(token)
            if self.peek() == "_":
                raise UnreadableError("a numeral with a base")
            return node
        if kind == "letter":
            return self.name(self.take())
        if token in ("(", "[", "{"):
            return self.group()
        if token == "|":
            self.take()
            inner = self.sum()
            self.take("|")
            return Node("abs", (inner,))
        if kind == "command":
            return self.command(self.take()[1:])
        raise UnreadableError(f"{token[:20]!r} is not part of a formula" if token else "empty")

    def name(self, name: str) -> Node:
        """A variable, with its subscript and primes; e and i are numbers unless they have one."""
        subscript = ""
        if self.peek() == "_":
            self.take()
            subscript = self.subscript()
        while self.peek() == "'":
            subscript += self.take()
        if not subscript and name in ("e", "i"):
            return Node("constant", name=name)
        if name == "C" and not subscript and self.peek() == "(" and (chosen := self.chosen()):
            return chosen
        if self.peek() == "(" and self.peek(1) == "0" and self.peek(2) == ")":  # I(0), f(0): one value, not I times 0
            self.at += 3
            subscript += "(0)"
        return Node("name", name=f"{name}_{subscript}" if subscript else name)

    def chosen(self) -> Node | None:
        """C(n, k), the binomial coefficient; None where the bracket holds no pair."""
        start = self.at
        try:
            pair = self.listed()
        except UnreadableError:
            pair = ()
        if len(pair) == 2:
            return Node("binom", pair)
        self.at = start
        return None

    def subscript(self) -> str:
        if self.peek() != "{":
            token = self.take()
            if token == "\\text":
                return "".join(self.take() for _ in range(self.closing() + 1)).strip("{}")
            return token
        self.take()
        text = ""
        while self.peek() != "}":
            text += self.take()
        self.take()
        return text.replace("\\text", "").replace("{", "")

    def closing(self) -> int:
        """How many tokens ahead the brace that opens here is closed."""
        ahead = 0
        while self.peek(ahead) != "}":
            if not self.peek(ahead):
                raise UnreadableError("'}' is missing")
            ahead += 1
        return ahead

    def repeating(self, start: str) -> Node:
        """0.1\\overline{6} = 1/6."""
        self.take()
        self.take("{")
        digits = self.take()
        self.take("}")
        if "." not in start or not digits.isdigit():
            raise UnreadableError("an overline that is no repeating decimal")
        places = len(start.split(".")[1])
        return Node("number", value=number(start) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places))

    def command(self, name: str) -> Node:
        if name == "frac":
            top = self.argument()
            return Node("/", (top, self.argument()))
        if name == "sqrt":
            return self.root()
        if name == "cbrt":
            return Node("root", (self.argument(), _whole(3)))
        if name == "binom":
            if self.peek() == "(":
                return Node("binom", self.listed())
            top = self.argument()
            return Node("binom", (top, self.argument()))
        if name in ("pi", "infty", "infinity", "inf"):
            return Node("constant", name="pi" if name == "pi" else "infinity")
        if name in ("lfloor", "lceil"):
            inner = self.sum()
            self.take("\\r" + name[1:])
            return Node("floor" if name == "lfloor" else "ceil", (inner,))
        if name in ("text", "mathbf", "mathrm", "vec", "hat", "bar", "dot", "ddot", "tilde", "mathcal"):
            return self.accented(name)
        if name in GREEK:
            return self.name("\\" + name)
        if name in FUNCTIONS:
            return self.function({"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name))
        raise UnreadableError(f"'\\{name[:20]}' is not known")

    def accented(self, name: str) -> Node:
        """\\vec{v}, \\dot{x}: one name; \\text{x} only around a single letter."""
        braced = self.peek() == "{"
        letters = [self.take() for _ in range(self.closing() + 1)][1:-1] if braced else [self.take()]
        if len(letters) != 1 or not (letters[0].isalpha() or letters[0][1:].isalpha()):
            raise UnreadableError("words in a formula")
        if name in ("dot", "ddot"):
            inner = self.name(letters[0]).name or letters[0]
            return Node("name", name=inner + "_" * ("_" not in inner) + ("'" if name == "dot" else "''"))
        return self.name(letters[0] if name in ("text", "mathrm", "mathbf") else f"{name} {letters[0]}")

    def root(self) -> Node:
        if self.peek() == "[":
            self.take()
            degree = self.sum()
            self.take("]")
            return Node("root", (self.argument(), degree))
        if self.peek() == "(":
            return Node("root", (self.group(), _whole(2)))
        if self.kind() == "number":  # √19 and sqrt19 in plain text
            return Node("root", (_numeral(self.take()), _whole(2)))
        return Node("root", (self.argument(), _whole(2)))

    def listed(self) -> tuple[Node, ...]:
        """(a, b, c)"""
        closing = _OPEN[self.take()]
        items = [self.sum()]
        while self.peek() == ",":
            self.take()
            items.append(self.sum())
        self.take(closing)
        return tuple(items)

    def function(self, name: str) -> Node:
        """sin x, sin^2 x, log_2 8, max(a, b): the argument is a bracket, or the factors that follow."""
        base = power = None
        while self.peek() in ("_", "^"):
            if self.take() == "_":
                base = self.argument()
            else:
                power = self.exponent()
        if name in ("max", "min", "gcd", "lcm") or (name == "log" and base is None and self.peek() == "("):
            bracketed = self.peek() in ("(", "{", "[")
            parts = self.listed() if bracketed else (self.signed_factor(),)
        elif self.peek() in _OPEN:
            parts = (self.group(),)
        else:
            parts = (self.following(),)
        if name == "cis" and base is None and power is None:  # cos x + i sin x
            turn = Node("*", (Node("constant", name="i"), Node("sin", parts)))
            return Node("+", (Node("cos", parts), turn))
        if name == "abs" or (name == "sqrt"):
            node = Node(name, parts)
        elif base is not None:
            node = Node("/", (Node("ln", parts), Node("ln", (base,)))) if name == "log" else Node(name, (*parts, base))
        else:
            node = Node(name, parts)
        if power is None:
            return node
        if power.kind == "neg" and power.parts[0].value == 1 and "arc" + name in FUNCTIONS:
            return Node("arc" + name, parts)
        return Node("^", (node, power))

    def following(self) -> Node:
        """The argument of a function without brackets: `\\sin 2x` takes 2x, and stops before another function."""
        if self.peek() == "-":
            self.take()
            return Node("neg", (self.following(),))
        result = self.factor()
        while self.starts_factor() and self.peek() not in _TIMES and self.peek() not in _OVER:
            if self.kind() == "command" and self.peek()[1:] in FUNCTIONS - {"sqrt"}:
                break
            if self.peek() in ("(", "[", "\\rfloor", "\\rceil", "\\choose", "\\mod", "\\pm", "\\rangle"):
                break
            if self.kind() == "number":
                break
            result = Node("*", (result, self.factor()))
        return result


def _joined(kind: str, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Node(kind, tuple(parts))


def _whole(value: int) -> Node:
    return Node("number", value=Fraction(value))


def _numeral(token: str) -> Node:
    return Node("number", value=number(token))
