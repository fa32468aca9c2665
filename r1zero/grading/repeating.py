"""Repeating decimals: every way of writing them becomes `0.1\\overline{6}`, which the grammar reads."""

from __future__ import annotations

import re

_DOTTED = re.compile(r"(?<=[\d.])\\dot\s*\{?\s*(\d+)\s*\}?(?:(\d*)\\dot\s*\{?\s*(\d)\s*\}?)?")  # 0.\dot{1}4\dot{2}
_BARRED = re.compile(r"(?<=[\d.])\\(?:bar|overbar)\s*\{?\s*(\d+)\s*\}?")
_BRACKETED = re.compile(r"(?<![\d.,)])(-?\s*\d*\.\d*)\((\d+)\)$")
# at least twice, and nothing after it: 0.333..., 0.1666..., 0.1212...
_AND_SO_ON = re.compile(r"(?<![\d.])(\d*\.\d*?)(\d+?)\2+\s*(?:\\ldots|\.\.\.)$")


def with_overline(text: str) -> str:
    """A normalized text with one spelling for the digits that repeat.

    >>> with_overline(r"0.\\dot{3}"), with_overline(r"0.1\\bar{6}"), with_overline("0.1666..."), with_overline("0.(12)")
    ('0.\\\\overline{3}', '0.1\\\\overline{6}', '0.1\\\\overline{6}', '0.\\\\overline{12}')
    """
    if "." not in text:
        return text
    if "\\" in text:
        text = _DOTTED.sub(lambda m: "\\overline{" + "".join(part or "" for part in m.groups()) + "}", text)
        text = _BARRED.sub(r"\\overline{\1}", text)
    if text[-1:] in (")", ".", "s"):
        text = _BRACKETED.sub(r"\1\\overline{\2}", text)
        text = _AND_SO_ON.sub(r"\1\\overline{\2}", text)
    return text
