"""Pictures and pages of results: what is said, apart from how it is drawn."""

from stepsize.report.figures import FIGURES, draw
from stepsize.report.picture import Picture, Table

__all__ = ["FIGURES", "Picture", "Table", "draw"]
