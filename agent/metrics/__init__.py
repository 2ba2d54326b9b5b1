"""What Prometheus may ask of the agent, on a Unix socket, in its text format 0.0.4; no client library."""
