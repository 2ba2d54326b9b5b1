"""The way out of the device, through proxies."""
