"""What may run here. Pure: the clock, the keys and the floor are given, a verdict is returned."""
