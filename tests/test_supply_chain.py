# SPDX-License-Identifier: BSD-3-Clause
"""What a wheel is made with is pinned, and what is compiled into it is said in its bill of materials.

`.ci/steps/wheels` looks into a wheel, and compares two builds.
"""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BILL = json.loads((ROOT / "sbom.cdx.json.in").read_text())
COMPONENTS = [BILL["metadata"]["component"], *BILL["components"]]


def test_build_requirements_are_exact():
    for requirement in PROJECT["build-system"]["requires"]:
        assert re.fullmatch(r"[\w-]+==\d+(\.\d+)+", requirement)


def test_the_bill_of_materials_names_what_is_included():
    """The headers of others that the core includes, and the system's."""
    files = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".h", ".cpp"}]
    included = {name for path in files for name in re.findall(r"#include <(\w+)/", path.read_text())}
    assert included == {"pybind11", "sys"}
    assert {each["name"] for each in COMPONENTS} == {"fastdrop-kernels", "pybind11", "libstdc++"}


def test_the_bill_of_materials_is_whole():
    assert (BILL["bomFormat"], BILL["specVersion"]) == ("CycloneDX", "1.6")
    for component in COMPONENTS:
        assert re.search(r"@\w+@", component["version"])  # filled in by CMake
        assert component["licenses"]
    (root,) = BILL["dependencies"]
    references = {component["bom-ref"] for component in COMPONENTS}
    assert {root["ref"], *root["dependsOn"]} == references
    assert "timestamp" not in BILL["metadata"], "two builds give the same bytes"
    assert COMPONENTS[0]["licenses"] == [{"license": {"id": PROJECT["project"]["license"]}}]
