"""The base ``debian``: packages of Debian 12, without root and without dpkg.

Always true here:

- apt fetches the lists and checks their signature, with Debian's own keys; the lists name the digest of
  each package, and a package with another digest is not read;
- which packages in which versions went in is part of the image's lock, and a lock brings the same again;
- packages are unpacked in Python: none of their scripts is run. The one program of them that does run is
  Debian's Python for the hub's own processor, which compiles bytecode.
"""
