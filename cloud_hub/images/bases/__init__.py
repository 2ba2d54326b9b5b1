"""Bases of images that come from elsewhere: a registry, an OCI layout, a docker-archive.

Always true here:

- a base's layers are taken as they are: their digests are those of the place they come from, apart from
  those of a docker-archive, which has none for compressed layers: there the diff ids are kept;
- every layer is read to its end, in a confined child, and has the diff id that its configuration names;
- nothing of a base is run or imported: what its Python is, is read from its files;
- a reference is looked up once; what is kept with the image is the digest that it led to.
"""
