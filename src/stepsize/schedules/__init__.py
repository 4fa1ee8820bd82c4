"""The learning rate as a pure function of the update.

`Schedule` is the one type; the functions named after shapes make it, `|` and `*` combine it, a `Run`
binds it: `(warmup("2%") | cosine(floor=0.01)).at(0.1).values(Run(steps=1000))`.
"""

from stepsize.schedules.annealing import cosine, inverse_sqrt, linear, noam, piecewise, plateau, power, rex
from stepsize.schedules.audit import Audit, audit
from stepsize.schedules.bound import Bound, HorizonError
from stepsize.schedules.check import Finding, Report
from stepsize.schedules.classic import exp, fixed, inv, multistep, poly, sigmoid, step
from stepsize.schedules.convert.recipe import ConversionError
from stepsize.schedules.cycles import dip, exp_range, one_cycle, triangular, triangular2, warm_restarts
from stepsize.schedules.diff import Difference
from stepsize.schedules.feedback import watch_plateau
from stepsize.schedules.growth import GrowthBatchSampler, GrowthPlan
from stepsize.schedules.parse import ParseError
from stepsize.schedules.phases import decay, hold, warmup, wsd
from stepsize.schedules.plot import plot
from stepsize.schedules.policy import COMPOSITIONS, SHAPES
from stepsize.schedules.recognise import recognise
from stepsize.schedules.robbins_monro import Verdict
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length, Run

__all__ = [
    "COMPOSITIONS",
    "SHAPES",
    "Audit",
    "Bound",
    "ConversionError",
    "Difference",
    "Finding",
    "GrowthBatchSampler",
    "GrowthPlan",
    "HorizonError",
    "Length",
    "ParseError",
    "Report",
    "Run",
    "Schedule",
    "Verdict",
    "audit",
    "cosine",
    "decay",
    "dip",
    "exp",
    "exp_range",
    "fixed",
    "hold",
    "inv",
    "inverse_sqrt",
    "linear",
    "multistep",
    "noam",
    "one_cycle",
    "piecewise",
    "plateau",
    "plot",
    "poly",
    "power",
    "recognise",
    "rex",
    "sigmoid",
    "step",
    "triangular",
    "triangular2",
    "warm_restarts",
    "warmup",
    "watch_plateau",
    "wsd",
]
