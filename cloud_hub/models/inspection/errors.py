"""How a model is refused, besides `NotOnnxError`."""

from cloud_hub.errors import ModelRefusedError, NotOnnxError


class ModelUnknownError(ModelRefusedError):
    """A single file whose format the hub does not know."""

    code = "model-kind-unknown"


class ModelPickleError(ModelRefusedError):
    """A file is a pickle, or holds one: whoever loads it runs its author's code."""

    code = "model-is-pickle"


class ModelArchiveError(ModelRefusedError):
    """A file is an archive or compressed, not a model."""

    code = "model-is-archive"


class ModelDamagedError(ModelRefusedError):
    """A file has the mark of its format and breaks its rules."""

    code = "model-damaged"


class ModelTooComplexError(ModelRefusedError):
    """A model asks for more to be looked at than the hub gives."""

    code = "model-too-complex"


class ModelLinkError(ModelRefusedError):
    """A folder holds something else than plain files and folders."""

    code = "model-not-plain-files"


class ExternalDataError(NotOnnxError):
    """An ONNX model keeps weights in other files, and those are not plain files of the same folder."""

    code = "model-external-data"
