"""`cgpt`: partition tables by hand, with the commands and the output of CoreOS's tool of that name."""
