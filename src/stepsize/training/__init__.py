"""Everything that changes a weight: the stack, the loop, and what brings the state back."""

from stepsize.training.engine import EngineName, train
from stepsize.training.functions import Records
from stepsize.training.history import Cost, History, Member, MemberStatus
from stepsize.training.obstacles import NotStackableError
from stepsize.training.state import preserved

__all__ = [
    "Cost",
    "EngineName",
    "History",
    "Member",
    "MemberStatus",
    "NotStackableError",
    "Records",
    "preserved",
    "train",
]
