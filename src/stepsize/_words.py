"""Figures in words, for results and their pages alike."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`30 ms`, `0.4 s`, `48 s`, `2 min 5 s`, `1 h 20 min`."""
    if 0 < seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def plural(value: int, noun: str) -> str:
    """`1 seed`, `3 seeds`, `1,000 seeds`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"
