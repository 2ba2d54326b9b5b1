"""The hub's own certificate authority, and the key that signs desired documents.

Always true here: private keys lie in files that only their owner may read and never appear in an
error or a log; of a device's certificate request nothing is used but its public key; no function
reads the clock where a device's certificate is concerned: the caller says what time it is.
"""
