"""The two slots of a disk: which one boots, what is tried, what failed, and the way back."""
