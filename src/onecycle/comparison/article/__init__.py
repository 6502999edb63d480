"""The experiments of the article that onecycle grew from, as comparisons. No other package depends on this one."""
