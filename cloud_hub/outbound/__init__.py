"""The only door by which the hub makes HTTP requests to addresses that people give.

What always holds: a name is resolved once, all its addresses are judged, and the connection goes to
one of exactly those; each hop of a redirect is judged anew; a credential goes to its own origin
alone; no proxy, netrc or certificate variable of the environment counts; time and size are bounded.

Use: ``Outbound(parse_allowed(settings.outbound_allow)).send("POST", url, body=...)``, in a thread.
"""
