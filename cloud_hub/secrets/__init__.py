"""The workspaces' key vault.

Always true here: a value leaves the process only sealed, or as the answer to one who may read it. Each
value has a data key of its own; data keys are wrapped by a master key that is never in the database.
"""
