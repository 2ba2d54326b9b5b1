"""A client of other people's registries (OCI Distribution API 1.1), over `cloud_hub.outbound`.

Always true here:

- a credential goes to the registry that it is for, and to a token service of its own origin or one that the
  owner's settings name for this registry; never along a redirect or over plain http that is not allowed;
- the scope of a token is what this client needs, not what a registry's answer asks for;
- every byte that is kept has the digest and size that were asked for; ``urls`` of descriptors are nothing;
- answers are bounded in size and time; nothing that a registry says reaches a message, but an error code.
"""
