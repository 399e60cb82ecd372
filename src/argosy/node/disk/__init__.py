"""The disk that / is on: an identity of its own, and ROOT grown to the disk's end."""
