"""A result read back: from the JSON that it was saved as, or out of the page that shows it."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import msgspec

from stepsize._result import Result
from stepsize.report.page import PAGES

ELSEWHERE = {"Chapter": "stepsize.chapter.result"}
"""Results that bring a page of their own, by the modules above this layer that define them."""

_INSIDE = re.compile(r'<script type="application/json" id="result">(.*?)</script>', re.DOTALL)
_PAGE = '<meta name="generator" content="stepsize">'


def load(path: str | os.PathLike[str]) -> Result:
    """The result in a file that `save` or `report` wrote, whatever kind it is.

    ```python
    advice = ss.load("report.html")
    ```

    Raises `OSError` when the file cannot be read, and `ValueError`, both naming it, when it is neither a
    result nor a page, was cut short or damaged, holds a kind of result without a page, or a newer format.
    """
    text = result_text(path)
    try:
        kind = msgspec.json.decode(text, type=_Head).stepsize
        known = {one.__name__: one for one in PAGES}
        if kind in ELSEWHERE:
            known[kind] = getattr(importlib.import_module(ELSEWHERE[kind]), kind)
        if kind not in known:
            raise ValueError(f"it holds a {kind}, but can be one of {', '.join([*known, *ELSEWHERE])}")
        return known[kind].from_json(text)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError(f"cannot read {os.fspath(path)}: {error}") from error


def result_text(path: str | os.PathLike[str]) -> str:
    """The result's JSON as `to_json` wrote it, out of a page too; raises as `load` does."""
    name = os.fspath(path)
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise type(error)(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"cannot read {name}: it is not UTF-8 (byte {error.start}), so neither a page nor a saved result"
        ) from error
    if text.lstrip().startswith("{"):
        return _plain(text, name)
    found = _INSIDE.search(text)
    if found is not None:
        return _plain(found[1], name)
    if _PAGE in text:
        raise ValueError(f"cannot read {name}: it is a page of stepsize, but was cut short before its result")
    raise ValueError(
        f"cannot read {name}: it is no page of stepsize; pass a file that --report, report(), --json or "
        "save() wrote"
    )


def _plain(text: str, name: str) -> str:
    """The same JSON without a page's escapes; raises `ValueError` unless it holds a result."""
    try:
        msgspec.json.decode(text, type=_Head)
        return msgspec.json.encode(msgspec.json.decode(text)).decode()
    except msgspec.MsgspecError as error:
        raise ValueError(f"cannot read {name}: it holds no result ({error})") from error


class _Head(msgspec.Struct):
    stepsize: str
    format: int
