# SPDX-License-Identifier: BSD-2-Clause

# Installed programs find the library from their own place, but in the system's folders.
set(NMT_INSTALL_RPATH "")
if(NOT CMAKE_INSTALL_PREFIX STREQUAL /usr AND NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
	file(RELATIVE_PATH up /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
	set(NMT_INSTALL_RPATH "$ORIGIN/${up}")
endif()

# nmt_add_program(NAME SOURCES file... [NEEDS library...] [LIBS target...] [INCLUDES dir...])
#
# A program for people: linked with the shared library, sees nmt.h only, installed in bin.
# NEEDS names libraries of NmtDeps.cmake (JSON XXHASH OPENSSL); when one is missing the
# program is left out, with a message that names the package. Afterwards `if(TARGET NAME)` tells.
function(nmt_add_program name)
	cmake_parse_arguments(A "" "" "SOURCES;NEEDS;LIBS;INCLUDES" ${ARGN})
	nmt_have(have ${A_NEEDS})
	if(NOT have)
		nmt_left_out(${name} ${A_NEEDS})
		return()
	endif()
	nmt_dep_targets(deps ${A_NEEDS})
	add_executable(${name} ${A_SOURCES})
	target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${A_INCLUDES})
	target_link_libraries(${name} PRIVATE nmt_flags nmt::nmt ${deps} ${A_LIBS})
	set_target_properties(${name} PROPERTIES INSTALL_RPATH "${NMT_INSTALL_RPATH}")
	install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
