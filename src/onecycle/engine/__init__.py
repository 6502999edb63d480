"""Many short training runs of one model, as fast as the backend allows."""

from onecycle.engine.dispatch import NotCompiled, train_members
from onecycle.engine.members import Member, MemberRuns

__all__ = ["Member", "MemberRuns", "NotCompiled", "train_members"]
