"""Many short training runs of one model, as fast as the backend allows."""

from onecycle.engine.members import Member, MemberRuns
from onecycle.engine.train import NotCompiled, train_members

__all__ = ["Member", "MemberRuns", "NotCompiled", "train_members"]
