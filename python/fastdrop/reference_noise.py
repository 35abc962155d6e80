# SPDX-License-Identifier: BSD-3-Clause
"""A module that is gone. This file says where its names are now."""

raise ImportError("fastdrop.reference_noise is now a part of fastdrop.reference", name=__name__)
