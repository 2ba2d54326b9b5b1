"""The way out of the device: directly, or through the proxies of the settings.

Always true here: what a proxy is told is the address that is wanted and, where the settings name a file with
them, the credentials for the proxy itself; TLS is with the other side, through the tunnel. Credentials are in
no log, no error and no argument list.
"""
