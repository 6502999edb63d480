"""Many short training runs of one model, as fast as the backend allows."""

from onecycle.engine.members import Member, MemberRuns
from onecycle.engine.train import train_members

__all__ = ["Member", "MemberRuns", "train_members"]
