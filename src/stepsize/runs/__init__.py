"""Many runs: their plan, the ledger that keeps them, where they are trained, and the table of results."""

from stepsize.runs.cell import Cell, CellRun
from stepsize.runs.executor import Executor, LocalExecutor
from stepsize.runs.halving import Halving
from stepsize.runs.ledger import TaskChangedError
from stepsize.runs.plan import Job, Tasks
from stepsize.runs.statistics import Arm, ArmCurve, ArmSummary, Comparison, Crossings, Heatmap
from stepsize.runs.storage import DamagedLedgerError, LedgerError, LedgerFullError, NewerLedgerError
from stepsize.runs.sweep import sweep
from stepsize.runs.table import Runs

__all__ = [
    "Arm",
    "ArmCurve",
    "ArmSummary",
    "Cell",
    "CellRun",
    "Comparison",
    "Crossings",
    "DamagedLedgerError",
    "Executor",
    "Halving",
    "Heatmap",
    "Job",
    "LedgerError",
    "LedgerFullError",
    "LocalExecutor",
    "NewerLedgerError",
    "Runs",
    "TaskChangedError",
    "Tasks",
    "sweep",
]
