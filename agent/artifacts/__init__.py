"""Images on the device: pulled by digest, proved, unpacked once, swept when nobody needs them.

Always true here: what is visible in the store is whole and matches its digest; a crash leaves
only temporary names, which the next start clears away.
"""
