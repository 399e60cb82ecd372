"""The front door: parsing and printing only."""
