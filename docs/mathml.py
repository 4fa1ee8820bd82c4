"""Formulas as MathML, made while the site is built: a page needs no script and no font for them."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.+?)\\[)\]]</\1>', re.DOTALL)
"""What pymdownx.arithmatex leaves of $…$ (a span) and $$…$$ (a div) with `generic: true`."""


def on_page_content(content: str, **_: object) -> str:
    """Called by mkdocs with the HTML of every page."""
    return FORMULA.sub(_mathml, content)


def _mathml(formula: re.Match[str]) -> str:
    tag, bracket, latex = formula.groups()
    display = "block" if bracket == "[" else "inline"
    return f'<{tag} class="formula">{convert(html.unescape(latex).strip(), display=display)}</{tag}>'
