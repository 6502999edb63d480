"""What onecycle costs. Ratios taken side by side in one process; every raw number is kept in `results/`."""
