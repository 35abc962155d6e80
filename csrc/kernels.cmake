# SPDX-License-Identifier: BSD-3-Clause
# One kernel source, compiled once per ISA with that ISA's flags and nothing else's. The feature list of
# dispatch/isa_registry.cpp must name everything that these flags let the compiler use.
set(isas scalar)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND isas avx2 avx2vaes avx512)
  set(flags_avx2 -mavx2 -mfma -mf16c -maes)
  set(flags_avx2vaes ${flags_avx2} -mvaes)
  set(vec_avx2vaes avx2)  # the same header: it looks whether it may use VAES
  set(rows_avx2vaes avx2) # kernels on rows call what draws
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mvaes)
endif()
# Sanitizers leave some out: they compile a kernel for a minute. scalar must be there, and avx2vaes takes
# the rows of avx2.
set(FASTDROP_ISAS "${isas}" CACHE STRING "The instruction sets that are built")
foreach(isa IN LISTS FASTDROP_ISAS)
  if(NOT isa IN_LIST isas)
    message(FATAL_ERROR "FASTDROP_ISAS has '${isa}', but the instruction sets of this processor's family are '${isas}'.")
  endif()
  list(APPEND has_isas FASTDROP_HAS_${isa})
  add_library(kernels_${isa} OBJECT kernels/table.cpp)
  if(NOT DEFINED rows_${isa})
    target_sources(kernels_${isa} PRIVATE kernels/rows/table.cpp)
  endif()
  if(NOT DEFINED vec_${isa})
    set(vec_${isa} ${isa})
  endif()
  target_compile_definitions(kernels_${isa} PRIVATE FASTDROP_ISA=${isa} FASTDROP_VEC="vec/${vec_${isa}}.h"
    FASTDROP_ROWS_VEC="vec/${vec_${isa}}_rows.h")
  target_include_directories(kernels_${isa} PRIVATE kernels)
  # -ffp-contract=off: a * b + c must not become a fused multiply-add on one ISA only.
  # -fno-math-errno: the root of a negative number need not set errno, so that a root is an instruction.
  # -fno-exceptions: nothing here throws, and without it GCC may refer to the C++ run-time library in case.
  target_compile_options(kernels_${isa} PRIVATE ${flags_${isa}} -ffp-contract=off -fno-math-errno -fno-exceptions
    -fno-lto)
  # No link-time optimisation, not even a distribution's: it would forget whose flags a function was compiled with.
  set_target_properties(kernels_${isa} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  list(APPEND kernel_objects $<TARGET_OBJECTS:kernels_${isa}>)
endforeach()
# Kernels on rows are many, so that their size counts: -O3 would make loops twice, with and without sums, for nothing.
# Nobody chooses the portable ones for their speed.
if(NOT FASTDROP_SANITIZE)
  set(rows_options -O2 $<$<STREQUAL:$<TARGET_PROPERTY:NAME>,kernels_scalar>:-Os>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Several registers go through long computations side by side, in the order of the source. By "temporary expression
  # replacement" GCC would put each register's computation where its result is used: 1.3 to 1.5 times the time.
  list(APPEND rows_options -fno-tree-ter -fno-align-jumps -fno-align-loops)
endif()
set_source_files_properties(kernels/rows/table.cpp PROPERTIES COMPILE_OPTIONS "${rows_options}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND TARGET kernels_avx512)
  # GCC's own AVX-512 header starts from registers that it leaves undefined on purpose (GCC bug 105593).
  target_compile_options(kernels_avx512 PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
