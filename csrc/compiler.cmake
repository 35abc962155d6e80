# SPDX-License-Identifier: BSD-3-Clause
# How everything in csrc/ is compiled, the bindings included.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
add_compile_options(-Wall -Wextra)

# For the steps of .ci/steps: such as "address,undefined", or "thread". A report ends the process.
set(FASTDROP_SANITIZE "" CACHE STRING "The sanitizers that everything is compiled with")
if(FASTDROP_SANITIZE)
  add_compile_options(-fsanitize=${FASTDROP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=${FASTDROP_SANITIZE})
endif()
