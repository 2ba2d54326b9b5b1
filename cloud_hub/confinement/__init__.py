"""Work on bytes that nobody trusts, in a child process that can be lost.

What always holds: the child gets its limits before it imports anything of ours, it has no
environment and no descriptors of the hub, it cannot gain privileges, nor fork unless its work is to
start a compiler, it ends with the thread that started it, and its answer is bounded. A bomb ends the
child, never the hub.

A child (`run`) runs our code on their bytes. A sandbox (`sandbox`) runs their code: it sees the machine's
programs read-only and what it was given, has no network, no environment and no way to write but into
memory of its own, and its answer is a stream of bytes.
"""
