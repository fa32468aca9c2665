"""One spelling for what LaTeX, unicode and habit spell in many ways.  Both sides pass through here once.

What comes out is still LaTeX: \\frac, \\sqrt, ^, _ and braces stay.  Nothing that carries meaning is dropped: brackets,
signs, relations, units and words are left to whoever reads the answer.
"""

from __future__ import annotations

import re
import unicodedata

from r1zero.grading.repeating import with_overline

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True))
_FRACTIONS = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
    "⅘": (4, 5),
    "⅙": (1, 6),
    "⅚": (5, 6),
    "⅐": (1, 7),
    "⅛": (1, 8),
    "⅜": (3, 8),
    "⅝": (5, 8),
    "⅞": (7, 8),
    "⅑": (1, 9),
    "⅒": (1, 10),
}
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξρσςτυφχψωΓΔΘΛΞΠΣΦΨΩϕ",
        [
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "theta",
            "iota",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
            "rho",
            "sigma",
            "sigma",
            "tau",
            "upsilon",
            "phi",
            "chi",
            "psi",
            "omega",
            "Gamma",
            "Delta",
            "Theta",
            "Lambda",
            "Xi",
            "Pi",
            "Sigma",
            "Phi",
            "Psi",
            "Omega",
            "phi",
        ],
        strict=True,
    )
)
_CHARACTERS = {
    "−": "-",
    "–": "-",
    "—": "-",
    "‐": "-",
    "‑": "-",
    "﹣": "-",
    "－": "-",
    "×": "\\times ",
    "·": "\\cdot ",
    "⋅": "\\cdot ",
    "∙": "\\cdot ",
    "•": "\\cdot ",
    "∗": "*",
    "÷": "\\div ",
    "∕": "/",
    "⁄": "/",
    "π": "\\pi ",
    "∞": "\\infty ",
    "≤": "\\le ",
    "≥": "\\ge ",
    "⩽": "\\le ",
    "⩾": "\\ge ",
    "≦": "\\le ",
    "≧": "\\ge ",
    "≠": "\\ne ",
    "≈": "\\approx ",
    "≅": "\\approx ",
    "≃": "\\approx ",
    "°": "^\\circ ",
    "º": "^\\circ ",
    "′": "'",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "√": "\\sqrt ",
    "∛": "\\cbrt ",
    "±": "\\pm ",
    "∓": "\\mp ",
    "∈": "\\in ",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∅": "\\emptyset ",
    "ℝ": "\\mathbb{R}",
    "ℤ": "\\mathbb{Z}",
    "ℕ": "\\mathbb{N}",
    "ℚ": "\\mathbb{Q}",
    "ℂ": "\\mathbb{C}",
    "⟨": "\\langle ",
    "⟩": "\\rangle ",
    "〈": "\\langle ",
    "〉": "\\rangle ",
    "⌊": "\\lfloor ",
    "⌋": "\\rfloor ",
    "⌈": "\\lceil ",
    "⌉": "\\rceil ",
    "∠": "\\angle ",
    "…": "\\ldots ",
    "⋯": "\\ldots ",
    "ℓ": "\\ell ",
    "∖": "\\setminus ",
    "，": ",",
    "。": ".",
    "：": ":",
    "；": ";",
    "、": ",",
    "ℏ": "\\hbar ",
    "¢": " cents",
    "∶": ":",
    "✓": " ",
    "✔": " ",
    "∎": " ",
}
_TABLE: dict[str, str] = {
    **{c: f"\\{name} " for c, name in _GREEK.items()},
    **_CHARACTERS,
    **{c: f"\\frac{{{a}}}{{{b}}}" for c, (a, b) in _FRACTIONS.items()},
}
_TRANSLATION = str.maketrans(_TABLE)

_RAISED = re.compile(f"[{''.join(map(re.escape, _SUPERSCRIPTS))}]+")
_LOWERED = re.compile(f"[{''.join(map(re.escape, _SUBSCRIPTS))}]+")
_SMALL_FRACTION = re.compile(f"([{''.join(_SUPERSCRIPTS)[:10]}]+)[⁄/∕]([{''.join(_SUBSCRIPTS)[:10]}]+)")  # ⁴⁄₃
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

# LaTeX that changes looks and not meaning
_SPACING = re.compile(r"\\(?:[,;:> ]|quad(?![a-zA-Z])|qquad(?![a-zA-Z])|hspace\*?\{[^{}]*\}|hfill(?![a-zA-Z]))|~")
_LOOKS = re.compile(
    r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|biggl?|biggr|Biggl?|Biggr|displaystyle|textstyle|limits|nolimits|rm|bf|it|"
    r"boldsymbol|mathstrut|phantom\{[^{}]*\}|boldmath|centering|large|Large|small|tiny|normalsize|protect|checkmark|"
    r"blacksquare|qed)(?![a-zA-Z])|\\(?:text)?color\s*\{[a-zA-Z]*\}"
)
_INVISIBLE_DELIMITER = re.compile(r"\\(?:left|right)\s*\.")
_WORDY = re.compile(r"\\(?:textbf|textit|textrm|textsf|texttt|textnormal|textup|emph|mbox|hbox|text|bold|mathtt|mathsf|"
                    r"mathit|mathrm|mathbf|operatorname\*?|underline)\s*(?=\{)")  # fmt: skip
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_RENAMED = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "dbinom": "binom",
    "tbinom": "binom",
    "leq": "le",
    "geq": "ge",
    "leqslant": "le",
    "geqslant": "ge",
    "leqq": "le",
    "geqq": "ge",
    "neq": "ne",
    "lbrace": "{",
    "rbrace": "}",
    "lt": "<",
    "gt": ">",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "mid": "|",
    "lbrack": "[",
    "rbrack": "]",
    "lparen": "(",
    "rparen": ")",
    "degree": "^\\circ",
    "degrees": "^\\circ",
    "varnothing": "emptyset",
    "arctg": "arctan",
    "tg": "tan",
    "ctg": "cot",
    "varepsilon": "epsilon",
    "varphi": "phi",
    "vartheta": "theta",
    "dots": "ldots",
    "cdots": "ldots",
    "ast": "*",
    "land": "\\text{ and }",
    "lor": "\\text{ or }",
    "wedge": "\\text{ and }",
    "vee": "\\text{ or }",
    "slash": "/",
    "colon": ":",
    "percent": "\\%",
    "bmod": "mod",
    "pmod": "mod",
    "iff": "\\text{ or }",
    "smallsetminus": "setminus",
    "backslash": "setminus",
    "thickapprox": "approx",
    "simeq": "approx",
    "cong": "approx",
    "doteq": "=",
    "equiv": "equiv",
    "prime": "'",
    "lnot": "not",
    "arccot": "arccot",
    "R": "mathbb{R}",
    "reals": "mathbb{R}",
}
_RENAME = re.compile(r"\\(" + "|".join(sorted(_RENAMED, key=len, reverse=True)) + r")(?![a-zA-Z])")
_NEGATIVE = re.compile(r"^(?:\\text\s*\{\s*(?:negative|minus)\s*\}|(?:negative|minus)\s)\s*(?=[\d\\.(])", re.IGNORECASE)
_MODULO = re.compile(r"\\text\s*\{\s*\(?\s*mod\s*(\d+)\s*\)?\s*\}|(?<=\d)\s*\(\s*mod\s*(\d+)\s*\)$")
_INCHES = re.compile(r"(?<=[\d})])\s*(?:\"|'')$")
_CROSS = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*(?:\^|\*\*))")  # 6.7 x 10^5
_PERCENT = re.compile(r"(?<=[\d})$])\s*(?:\\text\{\s*)?\bper\s?cent(?:age)?\b(?:\s*\})?|(?<=\d)\s*pct\b", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_THIN_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!|\\!\s*,|\\,|\{\\,\})\s*(?=\d{3}(?!\d))")
_MATRIX = re.compile(r"\\begin\{(?:p|b|B|small)?(?:matrix|array)\}(?:\s*\{[lcr|\s]*\})?")
_ROW_GAP = re.compile(r"\x01\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm|in)\s*\]")  # \\[4pt]
_BRACED_MARK = re.compile(
    r"(?<=\d)\s*(?:\{|\\text\s*\{)\s*([:.])\s*\}\s*(?=\d)|(?<=\d)\\text\s*\{(,)\}(?=\d{3})"
)  # 4{:}30, 10\text{,}080
_CHOOSE = re.compile(r"(?:\{\s*\})?[_^]\s*\{?(\w+)\}?\s*(?:\\text\{C\}|C)\s*_\s*(?:\{(\w+)\}|(\w))$")
_POWER_IN_TEXT = re.compile(r"(?<=[a-z])(\^)\{(-?\d)\}(?=[a-z\s]*\})")  # \text{km h^{-1}}
_CASES = re.compile(r"\\begin\{(?:cases|aligned)\}(.*?)\\end\{(?:cases|aligned)\}", re.DOTALL)
_PRIME = re.compile(r"\^\s*\{?\s*('+)\s*\}?")
_CIRCLE = re.compile(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])|\\circ(?![a-zA-Z])")
_LETTER_O = re.compile(r"(?<=\d)\s*\^\s*(?:o(?![a-zA-Z])|\{\s*(?:o|\\text\s*\{\s*o\s*\})\s*\})")  # 30^{\text{o}}
_UNIT_FRACTION = re.compile(
    r"\\frac\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}\s*\{\s*\\text\s*\{([^{}]*)\}\s*(?:(\^)\s*\{?\s*(\d)\s*\}?\s*)?\}"
)
_FUNCTION_NAME = re.compile(r"\\text\s*\{\s*((?:arc)?(?:sin|cos|tan|cot|sec|csc)|sinh|cosh|tanh|cis)\s*\}")
_QUANTITY = re.compile(r"\\text\s*\{\s*([-$]?\d[^{}]*)\}")  # \text{2 hours}
_MARKUP = re.compile(r"^(\*\*|__|\*|`+|\"|')(.+)\1$", re.DOTALL)
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


def normalize(text: str) -> str:
    """The one spelling of an answer.  Linear in its length; "" when nothing is left.

    >>> normalize(" $\\\\dfrac{1}{2}$. "), normalize("２½"), normalize("x² − 1"), normalize("11,\\\\! 111")
    ('\\\\frac{1}{2}', '2\\\\frac{1}{2}', 'x^{2} - 1', '11111')
    """
    text = _plain_characters(text)
    text = unwrap(text)
    if "\\" in text or "{" in text or "~" in text:
        text = _plain_latex(text)
    text = _PERCENT.sub(r"\\%", text)
    text = _INCHES.sub(" inches", _NEGATIVE.sub("-", text))
    if "mod" in text:
        text = _MODULO.sub(lambda m: f" \\mod {m.group(1) or m.group(2)}", text)
    text = _CROSS.sub(r" \\times ", _SPACES.sub(" ", text))
    if found := _QUANTITY.fullmatch(text):
        text = found[1]
    return with_overline(unwrap(text))


def _plain_characters(text: str) -> str:
    """ASCII where unicode has the same meaning; control characters, surrogates and invisible marks become spaces."""
    if text.isascii():
        return _CONTROL.sub(" ", text)
    text = _CONTROL.sub(" ", _INVISIBLE.sub("", text))
    text = _SMALL_FRACTION.sub(
        lambda m: f"\\frac{{{_digits(m[1], _SUPERSCRIPTS)}}}{{{_digits(m[2], _SUBSCRIPTS)}}}", text
    )
    text = _RAISED.sub(lambda m: "^{" + "".join(_SUPERSCRIPTS[c] for c in m.group()) + "}", text)
    text = _LOWERED.sub(lambda m: "_{" + "".join(_SUBSCRIPTS[c] for c in m.group()) + "}", text)
    # NFKC can bring back characters of the table (full-width −), so the table is applied on both sides of it
    return unicodedata.normalize("NFKC", text.translate(_TRANSLATION)).translate(_TRANSLATION)


def _digits(small: str, table: dict[str, str]) -> str:
    return "".join(table[c] for c in small)


def _plain_latex(text: str) -> str:
    """One command for each meaning, none for looks."""
    text = _THIN_THOUSANDS.sub("", text)
    text = _ROW_GAP.sub("\x01", re.sub(r"\\\\|\\(?:cr|newline)(?![a-zA-Z])", "\x01", text))  # a row end; put back below
    text = _BRACED_MARK.sub(lambda m: m.group(1) or m.group(2), text)
    text = _INVISIBLE_DELIMITER.sub(" ", text)
    text = text.replace("\\!", "")
    text = _SPACING.sub(" ", text)
    text = _WORDY.sub(r"\\text", text)
    text = _LOOKS.sub("", text)
    text = _RENAME.sub(lambda m: _renamed(_RENAMED[m.group(1)]), text)
    text = _LETTER_O.sub(r"^\\circ ", _CIRCLE.sub(r"^\\circ ", text))
    text = _UNIT_FRACTION.sub(lambda m: f"\\text{{{m[1]}/{m[2]}{m[3] or ''}{m[4] or ''}}}", text)
    text = _FUNCTION_NAME.sub(r"\\\1 ", text)
    text = _PRIME.sub(r"\1", text)
    text = _POWER_IN_TEXT.sub(r"\1\2", text)
    text = _CASES.sub(lambda m: m.group() if "&" in m.group(1) else m.group(1).replace("\x01", ", "), text)
    if "C" in text:
        text = _CHOOSE.sub(r"\\binom{\1}{\2\3}", text)
    text = _MATRIX.sub(r"\\begin{matrix}", text)
    text = re.sub(r"\\end\{(?:p|b|B|small)?(?:matrix|array)\}", r"\\end{matrix}", text)
    return text.replace("\x01", "\\\\")


def _renamed(name: str) -> str:
    """A command name gets its backslash back, a symbol stands as it is; `{` and `}` are set braces."""
    if name in ("{", "}"):
        return "\\" + name
    return f"\\{name}" if name[0].isalpha() else name


def unwrap(text: str) -> str:
    """Without the delimiters, quotes and marks of punctuation around it.

    >>> unwrap(r"\\[ **42**. \\]"), unwrap("$1$, $2$"), unwrap(r"\\boxed{7}")
    ('42', '$1$, $2$', '7')
    """
    while True:
        before = text
        text = text.strip().removesuffix("\\\\").rstrip()
        if text and text[-1] in ".,;:!" and not text.endswith(("\\,", "\\;", "\\:", "\\!")):
            text = _without_final_mark(text)
        for opening, closing in _DELIMITERS:
            inner = text[len(opening) : -len(closing)]
            if len(text) > len(opening) and text.startswith(opening) and text.endswith(closing):
                if opening not in inner and closing not in inner and not inner.endswith("\\"):
                    text = inner
                break
        if match := _MARKUP.match(text):
            text = match.group(2) if match.group(1) not in match.group(2) else text
        for opening in ("\\boxed{", "\\fbox{", "\\mathbf{", "\\mathrm{", "{"):
            if text.startswith(opening) and text.endswith("}") and _closes_at_end(text, len(opening)):
                text = text[len(opening) : -1]
        if text == before:
            return text


def _without_final_mark(text: str) -> str:
    """`5.` and `yes!` lose their mark, `5!` (a factorial) and `p.m.` keep it."""
    if text[-1] == "!" and (len(text) < 2 or not text[-2].isalpha() or len(text) < 4 or not text[:-1].isalpha()):
        return text
    if text.endswith("..") or text[-4:].lower() in ("p.m.", "a.m."):
        return text
    return text[:-1]


def _closes_at_end(text: str, start: int) -> bool:
    """Whether the brace before `start` is closed by the very last character."""
    depth, i, end = 1, start, len(text)
    while i < end:
        if text[i] == "\\":
            i += 2
            continue
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i == end - 1
        i += 1
    return False


def plain_text(text: str) -> str:
    """`\\text{...}` replaced by what it holds, for reading words.

    >>> plain_text(r"\\text{even}")
    'even'
    """
    return _SPACES.sub(" ", _TEXT.sub(r" \1 ", text)).strip()
