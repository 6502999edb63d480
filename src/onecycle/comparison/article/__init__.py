"""The experiments of the article that onecycle grew from, as comparisons; nothing else uses this package."""
