"""The experiments of the original article, as comparisons. Only the command `onecycle reproduce` uses it."""
