"""Make the missing runs of this study: python run.py TASK [JOBS]; see README.md."""

import sys
from pathlib import Path

from follow_ups import extras, longer, swept

from onecycle.comparison.article.reproduction import reproduce

RUNS = Path(__file__).parent / "runs"

if __name__ == "__main__":
    task, jobs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    follow_ups = {"extras": extras, "swept": swept, "longer": longer}
    if task in follow_ups:
        follow_ups[task](RUNS, jobs=jobs)
    else:
        reproduce(task, directory=RUNS, jobs=jobs)
