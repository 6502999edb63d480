"""Makes the runs of this study, or what is missing of them: python run.py TASK [JOBS]; see README.md."""

import sys
from pathlib import Path

from onecycle.comparison.article.further import extras, longer, swept
from onecycle.comparison.article.reproduction import reproduce

RUNS = Path(__file__).parent / "runs"

if __name__ == "__main__":
    task, jobs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    others = {"extras": extras, "swept": swept, "longer": longer}
    if task in others:
        others[task](RUNS, jobs=jobs)
    else:
        reproduce(task, directory=RUNS, jobs=jobs)
