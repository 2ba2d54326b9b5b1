"""What a model may ask of the hub that looks at it."""

from dataclasses import dataclass

from cloud_hub.confinement.limits import MIB, ChildLimits


@dataclass(frozen=True)
class InspectionLimits:
    """Bounds of one inspection.

    ``max_structure_bytes`` is an ONNX file without its weights, ``max_fields`` how many fields of
    protobuf it has, ``max_nesting`` how deep its messages lie (protobuf's own bound is 100), and
    ``max_tensor_bytes`` what one tensor may claim. ``max_header_bytes`` is the JSON header of a
    safetensors file. ``max_ratio`` is for zips that are models (.npz, .keras, .pt), expanded over
    packed. ``memory_bytes`` is the child's address space, whatever the size of the model.
    """

    max_files: int = 10_000
    max_depth: int = 24
    max_structure_bytes: int = 32 * MIB
    max_fields: int = 2_000_000
    max_nesting: int = 64
    max_tensor_bytes: int = 64 * 1024 * MIB
    max_header_bytes: int = 16 * MIB
    max_zip_entries: int = 10_000
    max_ratio: int = 200
    max_metadata_entries: int = 100
    max_text_bytes: int = 4096
    memory_bytes: int = 1024 * MIB
    cpu_s: int = 60
    wall_s: float = 180.0

    def of_child(self) -> ChildLimits:
        """Return the limits of the child that looks."""
        return ChildLimits(
            memory_bytes=self.memory_bytes,
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
            file_bytes=0,
            open_files=64,
            answer_bytes=16 * MIB,
        )
