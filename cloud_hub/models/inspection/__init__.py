"""What an uploaded file or folder really is, found out without trusting a byte of it.

Everything is read in one confined child (`cloud_hub.confinement`) that can write nothing; nothing is
ever executed or unpickled, by the child or the hub. The door is `inspect`.
"""
