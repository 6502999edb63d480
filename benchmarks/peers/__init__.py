"""The range test beside those of other libraries, on the same networks: `make bench-peers`."""
