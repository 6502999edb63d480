"""The work behind each command, apart from how the command line is read."""
