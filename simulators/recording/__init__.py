"""`make recording`: a terminal session on real parts, kept as text: docs/transcript.md and an asciicast."""
