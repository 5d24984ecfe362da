# SPDX-License-Identifier: BSD-2-Clause
# Compiler settings of everything in the tree: the interface target nmt_flags.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
	set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_library(nmt_flags INTERFACE)
target_compile_definitions(nmt_flags INTERFACE _GNU_SOURCE=)
target_compile_options(nmt_flags INTERFACE -Wall -Wextra -fno-common)
if(NMT_WERROR)
	target_compile_options(nmt_flags INTERFACE -Werror)
endif()

if(NMT_SANITIZE)
	set(nmt_san -fsanitize=${NMT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
	target_compile_options(nmt_flags INTERFACE ${nmt_san})
	target_link_options(nmt_flags INTERFACE ${nmt_san})
endif()

if(NMT_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
		message(FATAL_ERROR "NMT_FUZZ needs clang: cmake -DCMAKE_C_COMPILER=clang")
	endif()
	# Coverage for the fuzzer in all code; only the targets link libFuzzer's main.
	target_compile_options(nmt_flags INTERFACE -fsanitize=fuzzer-no-link)
	target_link_options(nmt_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
