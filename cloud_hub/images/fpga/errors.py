"""How a build of kind ``fpga`` ends badly."""

from cloud_hub.images.build.errors import BuildError


class FpgaUnavailableError(BuildError):
    """The hub lacks what the kind ``fpga`` needs: hls4ml, or a C++ compiler."""

    code = "fpga-unavailable"


class FpgaModelRefusedError(BuildError):
    """The model cannot become fixed-point arithmetic; the operator and the node are named."""

    code = "fpga-model-refused"


class FpgaDataRefusedError(BuildError):
    """The data set that the emulation is to be measured on does not fit the model."""

    code = "fpga-data-refused"


class FpgaFailedError(BuildError):
    """Making the HLS project, compiling it or running it failed, or took more than it may."""

    code = "fpga-failed"
