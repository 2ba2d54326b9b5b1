"""Webhooks: what happened, told to addresses that a workspace's Owners name (Standard Webhooks 1.0.0).

Always true here: a delivery is a row in the transaction of what it tells of, so a kill loses none; it is
sent until it is answered with 2xx or given up, so it may arrive twice under one id; per webhook the order
is that of the commits.
"""
