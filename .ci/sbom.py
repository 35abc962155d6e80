# SPDX-License-Identifier: BSD-3-Clause
"""Whether a repaired wheel says what is in it: `python .ci/sbom.py WHEEL`."""

import json
import sys
import zipfile


def components(wheel):
    """Every component that a bill of materials in the wheel names, with its version and licences."""
    with zipfile.ZipFile(wheel) as archive:
        names = [
            name for name in archive.namelist() if ".dist-info/sboms/" in name and name.endswith(".json")
        ]
        for name in names:
            bill = json.loads(archive.read(name))
            if bill["bomFormat"] != "CycloneDX":
                sys.exit(f"{name} is not of CycloneDX")
            for component in [bill["metadata"]["component"], *bill.get("components", [])]:
                yield name, component


def main(wheel):
    found = {}
    for name, component in components(wheel):
        own = name.endswith("fastdrop.cdx.json")  # the other one is auditwheel's, of the libraries it copies
        if own and ("@" in component["version"] or not component["version"] or not component["licenses"]):
            sys.exit(f"{name} names {component['name']} without a version or a licence")
        found.setdefault(own, set()).add(component["name"])
    missing = {"fastdrop-kernels", "pybind11", "libstdc++"} - found.get(True, set())
    with zipfile.ZipFile(wheel) as archive:
        copied = [name for name in archive.namelist() if ".libs/" in name]
    if missing or (copied and not found.get(False)):
        sys.exit(f"the wheel's bills of materials name {found}, and leave out {missing or copied}")
    print("the bills of materials name", ", ".join(sorted(set.union(*found.values()))))


if __name__ == "__main__":
    main(sys.argv[1])
