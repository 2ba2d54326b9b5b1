"""A model as fixed-point arithmetic for an FPGA: the HLS project, and its C++ compiled as an emulation.

What always holds: no board and no synthesis tool is involved. hls4ml, the compiler and the compiled code
each run in a confined child, and no name of the model gets into the code: tensors and nodes are numbered.
What measures the agreement with the float model is the scoring script that the image runs.
"""
