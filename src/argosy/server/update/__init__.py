"""The update service: which machine may update to what, and when. It speaks Omaha with the machines."""
