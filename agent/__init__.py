"""The device daemon `headland-agent`.

Always true here: nothing of ours but `contract` is imported; no numpy, onnxruntime, httpx or
pydantic; threads and not asyncio, so that the daemon stays small.
"""
