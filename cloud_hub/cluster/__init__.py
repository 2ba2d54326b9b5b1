"""Several hub processes that are one: who of them is there, and who does what only one may do at a time.

Always true here: a share of the work belongs to at most one hub by the database's clock, for a lease
that ends by itself. What a lease is for must be right all the same when two hubs do it at once: a
hub that was paused does not know that its lease has run out.
"""
