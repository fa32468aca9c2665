"""The words of formulas: numbers, letters, commands and symbols of LaTeX and of plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from r1zero.grading.guards import MAX_NODES


class UnreadableError(Exception):
    """The text is not a formula of this grammar; carries the reason."""


FUNCTIONS = frozenset([
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc", "sinh",
    "cosh", "tanh", "coth", "ln", "log", "lg", "exp", "abs", "sqrt", "cbrt", "floor", "ceil", "max", "min", "gcd",
    "lcm", "cis", "det", "sgn", "Re", "Im", "asin", "acos", "atan", "fact", "binom", "mod", "root"
])  # fmt: skip
_PLAIN_WORDS = {"sqrt", "cbrt", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos",
                "atan", "sinh", "cosh", "tanh", "ln", "log", "lg", "exp", "abs", "floor", "ceil", "max", "min", "gcd",
                "lcm", "binom", "cis", "pi", "infinity", "infty", "inf", "theta", "alpha", "beta", "gamma", "lambda",
                "phi", "omega", "sigma", "degrees", "degree", "deg", "choose", "mod"}  # fmt: skip
GREEK = frozenset([
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
    "xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "hbar", "ell", "partial", "nabla", "odot", "oplus"
])  # fmt: skip
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[ ]\d{3})+(?!\d)(?:\.\d+)?|\d+\.?\d*|\.\d+"
_TOKEN = re.compile(
    rf"""(?P<space>\s+) | (?P<number>(?:{_NUMBER})(?:[eE][+-]?\d+(?![\d.a-zA-Z]))?)
    | (?P<command>\\[a-zA-Z]+) | (?P<escaped>\\[^a-zA-Z]) | (?P<word>[a-zA-Z]+) | (?P<power>\*\*) | (?P<symbol>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    kind: str  # number, command, letter, symbol
    text: str
    spaced: bool  # white space stood before it


def tokens(text: str) -> list[Token]:
    """The tokens of a normalized text; a run of letters is one function name, or single letters."""
    found: list[Token] = []
    spaced = False
    for match in _TOKEN.finditer(text):
        kind, token = str(match.lastgroup), match.group()
        if kind == "space":
            spaced = True
            continue
        if kind == "word":
            found += _letters(token, spaced)
        elif kind == "escaped" and token not in ("\\%", "\\$", "\\{", "\\}", "\\|"):
            raise UnreadableError(f"{token!r} is not part of a formula")
        else:
            kind, token = ("symbol", token.replace("\\", "")) if kind == "escaped" else (kind, token)
            found.append(Token("symbol" if kind == "power" else kind, "^" if kind == "power" else token, spaced))
        spaced = False
        if len(found) > MAX_NODES:
            raise UnreadableError(f"more than {MAX_NODES} symbols")
    return found


def _letters(word: str, spaced: bool) -> list[Token]:
    if word in _PLAIN_WORDS or (len(word) > 3 and word.lower() in _PLAIN_WORDS):
        return [Token("command", "\\" + word.lower(), spaced)]
    for name in ("sqrt", "sin", "cos", "tan", "log", "ln", "pi"):  # 2sqrt, xsin, kpi: letters that run into a name
        at = word.find(name)
        if at >= 0 and len(word) - len(name) <= 2:
            before, after = word[:at], word[at + len(name) :]
            middle = Token("command", "\\" + name, spaced and not before)
            return [*(_letters(before, spaced) if before else []), middle, *(_letters(after, False) if after else [])]
    return [Token("letter", letter, spaced and i == 0) for i, letter in enumerate(word)]
