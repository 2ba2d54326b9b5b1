"""Desired to observed: values, a pure planner, and a loop that carries its steps out.

Always true here: no plan is stored. Each round observes what is there and plans anew, so a round
that was cut off by a crash is simply the last round that did less.
"""
