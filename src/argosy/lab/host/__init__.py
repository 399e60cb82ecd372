"""This machine, as the place where releases are built and clusters run: what it lacks, and how to add it."""
