"""What runs in the container of an image of kind ``fpga``: the scoring script over the emulation.

What always holds: it needs numpy and the model's folder, and onnxruntime only to compare. It is copied into
an image as a single file, and the hub measures an emulation with this very file.
"""
