"""Deployments of other platforms, read as rollouts: `headland import`.

Always true here: nothing reaches a hub or a disk, what is given in is text and what comes out is text; each
leaf of a source is carried over or listed by its path (`imported.unaccounted` finds one that is neither); the
hub's own schema judges each value before it is taken; no secret of a source stands in what comes out.
"""
