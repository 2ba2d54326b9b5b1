"""The model registry: name and version, content by digest, lineage to the run."""
