"""The arguments that say where trainings run. Nothing here imports keras."""

from __future__ import annotations

from onecycle.suggestions.arguments import check_integer


def check_workers(jobs: object, cluster: object) -> None:
    """Check the arguments `jobs` and `cluster`.

    Raises:
        TypeError, ValueError: If `jobs` is not a number >= 1 or `cluster` not the address of a cluster, or for both.
    """
    check_integer("jobs", jobs)
    if cluster is None:
        return
    if jobs != 1:
        raise ValueError(f"Pass either `jobs` or `cluster`. Received: jobs={jobs}, cluster={cluster!r}")
    kind, _, address = cluster.partition("://") if isinstance(cluster, str) else ("", "", "")
    if not (kind == "ray" or (kind == "dask" and address)):
        raise ValueError(
            f'Argument `cluster` must be "dask://host:port", "ray" or "ray://host:port". Received: cluster={cluster!r}'
        )
