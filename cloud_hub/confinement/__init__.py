"""Work on bytes that nobody trusts, in a child process that can be lost.

What always holds: the child gets its limits before it imports anything of ours, it has no
environment and no descriptors of the hub, it cannot gain privileges, nor fork unless its work is to
start a compiler, it ends with the thread that started it, and its answer is bounded. A bomb ends the
child, never the hub.
"""
