"""What crosses a process boundary, or what both ends must compute the same way.

Always true here: no I/O, no clock, no randomness, and no import of another Headland package.
Messages are read tolerantly (unknown fields are skipped) and written strictly. A change that
would break a reader gets a new topic version; golden files hold every version ever sent.
"""
