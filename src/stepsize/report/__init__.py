"""Pictures and pages of results: what is said, apart from how it is drawn."""

from stepsize.report.figures import FIGURES, draw
from stepsize.report.page import PAGES, check_writable, page, write_page
from stepsize.report.picture import Picture, Table

__all__ = ["FIGURES", "PAGES", "Picture", "Table", "check_writable", "draw", "page", "write_page"]
