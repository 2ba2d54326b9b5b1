"""Wheels built from source archives, of packages that have none; only where a person allows it.

Always true here:

- code of a package runs in a sandbox of bubblewrap alone: no network, no environment, nothing of the hub;
  also what merely tells a package's metadata or what its build needs is such code;
- what a build needs is there as wheels, fetched before and pinned by hash;
- out of the sandbox comes one stream of bytes, which is checked as any wheel is, and written anew, so
  that the same archive gives the same wheel;
- a wheel that was built is kept with the digests of its archive and of what was there to build it.
"""
