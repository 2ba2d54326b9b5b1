"""What `headland-agent check` looks at: small functions that return a `Finding` and change nothing.

No secret and no value of the environment gets into a finding: people paste them into tickets.
"""
