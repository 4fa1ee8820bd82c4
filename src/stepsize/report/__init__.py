"""Pictures and pages of results: what is said, apart from how it is drawn."""

from stepsize.report.figures import FIGURES, draw
from stepsize.report.page import PAGES, check_writable, holds_answer, page, write_page
from stepsize.report.picture import Picture, Table
from stepsize.report.reading import load, result_text
from stepsize.report.readings import log_to

__all__ = [
    "FIGURES",
    "PAGES",
    "Picture",
    "Table",
    "check_writable",
    "draw",
    "holds_answer",
    "load",
    "log_to",
    "page",
    "result_text",
    "write_page",
]
