# SPDX-License-Identifier: BSD-3-Clause
"""XLA's C interface: the structs against the installed jaxlib's header, and which versions fit."""

import re
import subprocess
from pathlib import Path

import jax
import pytest

from processes import python, run

CSRC = Path(__file__).parents[1] / "csrc"
HEADER = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"

# Our names beside XLA's: the fields of a struct are in the same order in both.
STRUCTS = {
    "Extension": ("XLA_FFI_Extension_Base", "struct_size type next"),
    "Version": (
        "XLA_FFI_Api_Version",
        "struct_size extensions:extension_start major:major_version minor:minor_version",
    ),
    "ErrorArguments": (
        "XLA_FFI_Error_Create_Args",
        "struct_size extensions:extension_start message code:errc",
    ),
    "Api": (
        "XLA_FFI_Api",
        "struct_size extensions:extension_start version:api_version internal:internal_api "
        "create_error:XLA_FFI_Error_Create",
    ),
    "Buffer": ("XLA_FFI_Buffer", "struct_size extensions:extension_start type:dtype data rank shape:dims"),
    "Bytes": ("XLA_FFI_ByteSpan", "data:ptr size:len"),
    "Scalar": ("XLA_FFI_Scalar", "type:dtype value"),
    "Array": ("XLA_FFI_Array", "type:dtype size data"),
    "Values": ("XLA_FFI_Args", "struct_size extensions:extension_start count:size types values:args"),
    "Attributes": (
        "XLA_FFI_Attrs",
        "struct_size extensions:extension_start count:size types names values:attrs",
    ),
    "CallFrame": (
        "XLA_FFI_CallFrame",
        "struct_size extensions:extension_start api context:ctx stage "
        "arguments:args results:rets attributes:attrs",
    ),
    "Metadata": ("XLA_FFI_Metadata", "struct_size version:api_version traits"),
    "MetadataExtension": ("XLA_FFI_Metadata_Extension", "base:extension_base metadata"),
}
NUMBERS = {
    "kU32": "XLA_FFI_DataType_U32",
    "kS64": "XLA_FFI_DataType_S64",
    "kF16": "XLA_FFI_DataType_F16",
    "kBF16": "XLA_FFI_DataType_BF16",
    "kF32": "XLA_FFI_DataType_F32",
    "kF64": "XLA_FFI_DataType_F64",
    "kBuffer": "XLA_FFI_ArgType_BUFFER",
    "kArrayAttribute": "XLA_FFI_AttrType_ARRAY",
    "kScalarAttribute": "XLA_FFI_AttrType_SCALAR",
    "kExecute": "XLA_FFI_ExecutionStage_EXECUTE",
    "kInvalidArgument": "XLA_FFI_Error_Code_INVALID_ARGUMENT",
    "kMetadata": "XLA_FFI_Extension_Metadata",
    "kMajorVersion": "XLA_FFI_API_MAJOR",
    "kMinorVersion": "XLA_FFI_API_MINOR",
}
WHOLE = {
    "Extension",
    "Version",
    "Buffer",
    "Bytes",
    "Scalar",
    "Array",
    "Values",
    "Attributes",
    "MetadataExtension",
}


def fields(pairs):
    return [(pair.split(":")[0], pair.split(":")[-1]) for pair in pairs.split()]


def assertions():
    """A static assertion for every place, size and number."""
    yield "static_assert(int(XLA_FFI_RetType_BUFFER) == kBuffer);"
    yield "static_assert(sizeof(XLA_FFI_Rets) == sizeof(Values));"
    for ours, theirs in NUMBERS.items():
        yield f"static_assert(int({ours}) == int({theirs}));"
    for ours, (theirs, pairs) in STRUCTS.items():
        for own, other in fields(pairs):
            yield f"static_assert(offsetof({ours}, {own}) == offsetof({theirs}, {other}));"
            yield f"static_assert(sizeof({ours}::{own}) == sizeof({theirs}::{other}));"
        if ours in WHOLE:
            yield f"static_assert(sizeof({ours}) == sizeof({theirs}));"


def compiles(lines, folder):
    source = folder / "layout.cpp"
    head = [f'#include "{HEADER}"', f'#include "{CSRC / "xla" / "ffi.h"}"', "using namespace fastdrop::xla;"]
    source.write_text("\n".join([*head, *lines, ""]))
    command = ["g++", "-std=c++17", "-fsyntax-only", "-Wno-invalid-offsetof", str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_structs_are_those_of_the_installed_jaxlib(tmp_path):
    done = compiles(assertions(), tmp_path)
    assert done.returncode == 0, done.stderr
    wrong = compiles(["static_assert(offsetof(Buffer, rank) == offsetof(XLA_FFI_Buffer, data));"], tmp_path)
    assert "static assertion failed" in wrong.stderr


def test_every_field_is_compared():
    text = (CSRC / "xla" / "ffi.h").read_text()
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL):
        body = re.sub(r"//.*|\(ErrorArguments\*\)", "", body)
        declared = [
            word for line in body.split(";") for word in re.findall(r"(\w+)\)?(?:,|\s*$)", line.strip())
        ]
        assert declared == [own for own, _ in fields(STRUCTS[name][1])], name


# --- The version ------------------------------------------------------------------------------------


def versions(folder, major, minor):
    """A folder with a header that says so, as jaxlib's include folder."""
    path = folder / "xla" / "ffi" / "api" / "c_api.h"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#define XLA_FFI_API_MAJOR {major}\n#define XLA_FFI_API_MINOR {minor}\n")
    return folder


IMPORT = """
import jax
jax.ffi.include_dir = lambda: {folder!r}
try:
    import fastdrop.jax
except ImportError as error:
    print(error)
print(jax.numpy.ones(3).sum())
"""


@pytest.mark.parametrize("version", ["1.0", "0.0", "1.3"])
def test_another_version_is_refused_at_import_and_jax_goes_on(tmp_path, version):
    folder = versions(tmp_path, *version.split("."))
    said = run(IMPORT.format(folder=str(folder)))
    assert said == (
        "fastdrop.jax speaks the versions 0.1 to 0.3 of XLA's FFI, and jaxlib "
        f"{jax.lib.__version__} speaks {version}: install versions of fastdrop-kernels and jax that fit\n3.0"
    )


@pytest.mark.parametrize("minor", [1, 2, 3, 4, 9])
def test_the_minor_versions_that_xla_takes(tmp_path, minor):
    """XLA asks the handler when it starts, and takes its own and older ones."""
    code = IMPORT.format(folder=str(versions(tmp_path, 0, minor)))
    code += "print(fastdrop.jax.dropout(jax.numpy.ones(2), 0.0, jax.random.key(0)))"
    assert run(code) == "3.0\n[1. 1.]"


def test_a_missing_jax_is_one_sentence():
    code = "import sys; sys.modules['jax'] = None; import fastdrop.jax"
    _, errors = python("-c", code, code=1)
    assert errors.splitlines()[-1] == (
        "ImportError: fastdrop.jax needs JAX: install both with pip install 'fastdrop-kernels[jax]'"
    )
