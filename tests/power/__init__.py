"""Power cuts of the disk that a hub keeps its data on."""
