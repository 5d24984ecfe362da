# SPDX-License-Identifier: BSD-2-Clause
# How tests are added. A test's label is its group in scripts/test: unit, model, conformance,
# ofi, hostile, tools, scale, install, build, fuzz. A test that cannot run here prints "SKIP: <reason>" on a
# line of its own and exits 77; one that leaves a part out prints the line and goes on.

# nmt_add_test(NAME name LABELS group
#              (SOURCES file... | PROGRAM target | COMMAND word...)
#              [ARGS word...] [LIBS target...] [NEEDS library...]
#              [INCLUDES dir...] [DEFINES NAME=value...] [TIMEOUT seconds]
#              [ENVIRONMENT VAR=value...] [PROCESSORS n] [LOCK resource...]
#              [NOT_UNDER address|thread...] [FIRST])
#
# SOURCES  a cmocka program of these files is built and run. It is linked with the static library
#          (so it may call nmti_*) and sees libnmt/include and libnmt/. Its target is the name
#          with '.' and '-' made '_'.
# PROGRAM  runs a program that is there already (one program, several tests with other ARGS); may
#          be a target of this tree, also one of nmt_add_program().
# COMMAND  runs anything else, a script for instance; $<TARGET_FILE:x> works.
# NEEDS    libraries of NmtDeps.cmake: JSON XXHASH OPENSSL IBVERBS RDMACM FABRIC; without them it is left out.
# TIMEOUT  default 60; five times as long under a sanitizer. A test over its time has failed.
# PROCESSORS  that the test keeps busy. Others count as half of one: scripts/test runs two tests a
#          processor, since most of them wait.
# LOCK     tests with the same word do not run at the same time. Use it only where needed.
# FIRST    begins before the others: it, or what waits for its LOCK, takes longest.
# NOT_UNDER  left out of builds with that sanitizer; say why beside it.
#
# In a sanitizer build a test is called asan.<name> or tsan.<name> and its label is "sanitize";
# the groups model, scale, install and build are left out there.
#
# Example: nmt_add_test(NAME unit.pool LABELS unit SOURCES test_pool.c)
function(nmt_add_test)
	cmake_parse_arguments(A "FIRST" "NAME;PROGRAM;TIMEOUT;PROCESSORS"
		"LABELS;SOURCES;COMMAND;ARGS;LIBS;NEEDS;INCLUDES;DEFINES;ENVIRONMENT;LOCK;NOT_UNDER"
		${ARGN})
	if(A_UNPARSED_ARGUMENTS OR NOT A_NAME OR NOT A_LABELS)
		message(FATAL_ERROR "nmt_add_test(${ARGN}): NAME and LABELS are needed")
	endif()
	nmt_test_wanted(wanted)
	if(NOT wanted)
		return()
	endif()
	if(A_SOURCES)
		string(REGEX REPLACE "[.-]" "_" A_PROGRAM ${A_NAME})
		nmt_dep_targets(deps ${A_NEEDS})
		nmt_add_test_program(${A_PROGRAM} SOURCES ${A_SOURCES}
			LIBS ${A_LIBS} ${deps} INCLUDES ${A_INCLUDES} DEFINES ${A_DEFINES})
	endif()
	if(A_PROGRAM)
		set(A_COMMAND $<TARGET_FILE:${A_PROGRAM}>)
	endif()
	set(name ${NMT_TEST_PREFIX}${A_NAME})
	add_test(NAME ${name} COMMAND ${A_COMMAND} ${A_ARGS})
	nmt_test_properties()
endfunction()

# nmt_add_test_program(TARGET SOURCES file... [LIBS target...] [INCLUDES dir...]
# [DEFINES NAME=value...]): the program of a test, for use with PROGRAM.
function(nmt_add_test_program target)
	cmake_parse_arguments(P "" "" "SOURCES;LIBS;INCLUDES;DEFINES" ${ARGN})
	add_executable(${target} ${P_SOURCES})
	target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/libnmt/include
		${PROJECT_SOURCE_DIR}/libnmt ${CMAKE_CURRENT_SOURCE_DIR} ${P_INCLUDES})
	target_link_libraries(${target} PRIVATE nmt_flags nmt_dep::cmocka ${P_LIBS} nmt_static)
	target_compile_options(${target} PRIVATE -UNDEBUG)
	target_compile_definitions(${target} PRIVATE ${P_DEFINES})
endfunction()

# ---- inside ---------------------------------------------------------------------------------

set(NMT_TEST_PREFIX "")
set(NMT_TEST_ENVIRONMENT "")
if(NMT_SANITIZE AND NOT NMT_FUZZ)
	set(NMT_TEST_PREFIX "asan.")
	if(NMT_SANITIZE MATCHES thread)
		set(NMT_TEST_PREFIX "tsan.")
	endif()
	set(NMT_TEST_ENVIRONMENT
		"ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1"
		"UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
		"TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
endif()

# Whether the test that nmt_add_test() is called for belongs into this build.
macro(nmt_test_wanted var)
	set(${var} ${NMT_BUILD_TESTS})
	nmt_have(have ${A_NEEDS})
	if(${var} AND NOT have)
		nmt_left_out("test ${A_NAME}" ${A_NEEDS})
		set(${var} OFF)
	endif()
	if(NMT_SANITIZE AND NOT NMT_FUZZ AND A_LABELS MATCHES "model|scale|install|build")
		set(${var} OFF)
	endif()
	foreach(sanitizer ${A_NOT_UNDER})
		if(NMT_SANITIZE MATCHES ${sanitizer})
			set(${var} OFF)
		endif()
	endforeach()
endmacro()

# The properties of the test that nmt_add_test() adds.
macro(nmt_test_properties)
	if(NOT A_TIMEOUT)
		set(A_TIMEOUT 60)
	endif()
	if(NMT_SANITIZE AND NOT NMT_FUZZ)
		math(EXPR A_TIMEOUT "${A_TIMEOUT} * 5")
		set(A_LABELS sanitize)
	endif()
	set_tests_properties(${name} PROPERTIES
		LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} SKIP_RETURN_CODE 77
		ENVIRONMENT "${A_ENVIRONMENT};${NMT_TEST_ENVIRONMENT}" RESOURCE_LOCK "${A_LOCK}")
	if(A_PROCESSORS)
		math(EXPR slots "2 * ${A_PROCESSORS}")
		set_tests_properties(${name} PROPERTIES PROCESSORS ${slots})
	endif()
	if(A_FIRST)
		set_tests_properties(${name} PROPERTIES COST 1000)
	endif()
endmacro()
