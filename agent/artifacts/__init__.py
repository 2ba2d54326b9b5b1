"""How images get onto a device and stay whole there.

Always true here: nothing is used that was not checked against a digest from the signed desired
document or from what that digest names; a blob or a layer is on disk whole or not at all, also
after a power cut; what comes from a registry or an archive is bounded before it is taken; the
network is asked in `fetch` alone, and what is on disk is found without it.
"""
