"""Long operations: state, progress, log, result."""
