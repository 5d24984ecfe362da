# SPDX-License-Identifier: BSD-2-Clause
# Tests that run in the guest of tests/lab/vm. All of them share one guest: the fixture "guest"
# boots it before the first and switches it off after the last. Their label is guest-verbs. They run
# alone: an emulated processor that waits for one of ours holds up the other, and time limits pass.

set(NMT_GUEST ${PROJECT_SOURCE_DIR}/tests/lab/vm/guest)
set(NMT_RXE_PAIR ${PROJECT_SOURCE_DIR}/tests/lab/vm/rxe-pair)
set(NMT_GUEST_DIR ${PROJECT_BINARY_DIR}/tests/lab/guest)

# nmt_add_guest(): the fixture, called once.
function(nmt_add_guest)
	nmt_add_test(NAME lab.up LABELS guest-verbs TIMEOUT 300 COMMAND ${NMT_GUEST}
		ARGS --up ${NMT_GUEST_DIR} --share ${PROJECT_BINARY_DIR}
		LOCK guest FIRST)
	nmt_add_test(NAME lab.down LABELS guest-verbs COMMAND ${NMT_GUEST}
		ARGS --down ${NMT_GUEST_DIR} LOCK guest)
	set_tests_properties(lab.up PROPERTIES FIXTURES_SETUP guest PROCESSORS 4)
	set_tests_properties(lab.down PROPERTIES FIXTURES_CLEANUP guest)
endfunction()

# nmt_add_guest_test(NAME name (PROGRAM target | COMMAND word...) [ARGS word...] [PAIR [word...]]
#                    [TIMEOUT seconds] [ENVIRONMENT VAR=value...] [FIXTURES name...])
#
# PAIR      run it between two hosts with SoftRoCE, made by rxe-pair with these options (PAIR
#           default: none). The hosts stay for the next test that wants the same.
# TIMEOUT   default 60, of the program in the guest
# FIXTURES  others that it needs
#
# Exit status and output are those in the guest, 77 and "SKIP: reason" among them. The program runs
# as root, in the same folder, with ctest's environment.
function(nmt_add_guest_test)
	cmake_parse_arguments(G "" "NAME;PROGRAM;TIMEOUT" "COMMAND;ARGS;PAIR;ENVIRONMENT;FIXTURES" ${ARGN})
	if(NMT_SANITIZE)
		return()
	endif()
	if(NOT G_TIMEOUT)
		set(G_TIMEOUT 60)
	endif()
	if(G_PROGRAM)
		set(G_COMMAND $<TARGET_FILE:${G_PROGRAM}>)
	endif()
	set(pair "")
	if(DEFINED G_PAIR)
		list(REMOVE_ITEM G_PAIR default)
		set(pair ${NMT_RXE_PAIR} --keep ${G_PAIR} --)
	endif()
	math(EXPR limit "${G_TIMEOUT} + 60")
	nmt_add_test(NAME ${G_NAME} LABELS guest-verbs TIMEOUT ${limit} PROCESSORS 2 LOCK guest FIRST
		COMMAND ${NMT_GUEST} ENVIRONMENT ${G_ENVIRONMENT}
		ARGS --in ${NMT_GUEST_DIR} --timeout ${G_TIMEOUT} -- ${pair} ${G_COMMAND} ${G_ARGS})
	set_tests_properties(${G_NAME} PROPERTIES FIXTURES_REQUIRED "guest;${G_FIXTURES}")
endfunction()
