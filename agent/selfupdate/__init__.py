"""The agent's own versions: ordered by the signed document, tried, and kept or left again.

Always true here: the launcher, `boot` and `choice` use the standard library alone and nothing of a version's
libraries; what a version has to be is said by `choice` and `health`, which are pure; the file of `record` is
on disk before what it tells of; a version that was not confirmed runs a bounded number of times.
"""
