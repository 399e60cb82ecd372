"""Real clusters of local machines."""
