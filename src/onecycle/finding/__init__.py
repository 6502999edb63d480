"""Finding a learning rate: the range test and the race. Rules that read a rate from losses are in `suggestions`."""
