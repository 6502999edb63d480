"""Finding a learning rate: the range test and the sweep. Rules that read a rate from losses are in `suggestions`."""
