"""Files of others that are given in place of a model, by how they begin."""

from __future__ import annotations

WEIGHTS = "make the same layers in fastnn and hand their weights to set_weights()"
STARTS = {
    b"\x89HDF\r\n\x1a\n": (
        "an HDF5 file; load_weights reads Keras's under names that end in .weights.h5, and a model that is one is read "
        "by Keras 3, which saves it as .keras"
    ),
    b"\x93NUMPY": "an array of NumPy; read it with numpy.load()",
    b"SQLite format 3\0": "a SQLite database; give it to fastnn.data.SQLDataset",
    b"BZh": "compressed with bzip2; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"%PDF": "a PDF document",
    b"{": "a text that begins as JSON; a model of to_json() is read by model_from_json()",
}
# A zip archive, by the end of the name of its first file.
ARCHIVES = {
    (
        b"metadata.json",
        b"config.json",
        b".weights.h5",
    ): "a Keras model; load_model reads it under a name that ends in .keras",
    (b"/data.pkl", b"/byteorder", b"/version", b"/.format_version"): f"a PyTorch file; {WEIGHTS}",
    (b".npy",): "arrays of NumPy (.npz); read them with numpy.load()",
}


def kind_of(start: bytes) -> str | None:
    """What a file is that begins so, with what to do; None for one that may be a model's, and for an unknown one."""
    if start[8:9] == b"{":
        return None
    for magic, kind in STARTS.items():
        if start.startswith(magic):
            return kind
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return next((kind for ends, kind in ARCHIVES.items() if name.endswith(ends)), "a zip archive; unpack it first")
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return f"a pickle, as joblib and older PyTorch write them; fastnn runs no code from a file: {WEIGHTS}"
    if start[4:8] == b"TFL3":
        return f"a TensorFlow Lite model; {WEIGHTS}"
    if start[:1] == b"\x08" and start[1:2] < b"\x20" and start[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        return "an ONNX model; fastnn.exchange.from_onnx(path) reads it"
    return None
