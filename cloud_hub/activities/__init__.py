"""Long operations: a durable queue, their state, progress, log and result.

Always true here: an activity is a row before anything is done for it; who works on it holds a lease
that ends by itself, and writes only under the attempt that they hold; a handler may therefore be run
again, and an activity ends exactly once.
"""
