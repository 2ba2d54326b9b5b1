"""The commands of `headland-agent`, one file each: options, one example, and what it prints.

A command answers in words or, with ``--output json``, in one JSON value; it raises errors and
never prints them.
"""
