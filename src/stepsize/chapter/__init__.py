"""The source chapter's experiments: its claims beside what was measured.

`run` works through the sections and returns a `Chapter`, whose `report` writes the page.
"""

from stepsize.chapter.registry import SECTIONS
from stepsize.chapter.result import Chapter
from stepsize.chapter.run import run
from stepsize.chapter.settings import Settings, quick

__all__ = ["SECTIONS", "Chapter", "Settings", "quick", "run"]
