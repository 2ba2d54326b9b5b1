"""The audit log: who changed what, from where, and when.

Always true here: rows are only ever added, in the transaction of the change that they tell of; each is
chained to the one before by a MAC whose key is not in the database.
"""
