"""Wrong clocks and bad links."""
