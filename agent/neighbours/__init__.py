"""Layers for the devices next door: one pulls from the hub, the others take them from that one.

Always true here: nothing is given to a device whose certificate is not of our hub, or whose id the owner did
not write down; what is kept for others never takes what the disk has in reserve; nobody is told what there
is, only whether a digest that is asked for is there.
"""
