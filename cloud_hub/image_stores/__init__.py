"""External registries as the place of a workspace's images.

Always true here:

- the hub stays what people and devices pull from: it knows who may see what, and streams what is outside;
  nobody but the hub sees the credential of the external registry;
- new images and pushes are on the hub first and go out from there, blobs before what names them; a link says
  outside only when the bytes are there, and the hub's own go when nothing else links them;
- manifests stay on the hub too: they are small, and what an image is can be said without the other registry;
- an external registry that is down delays: what waits is shown, and nothing is lost.
"""
