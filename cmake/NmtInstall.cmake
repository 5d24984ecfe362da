# SPDX-License-Identifier: BSD-2-Clause
# Installation: library, headers, pkg-config file, CMake package, and the target "uninstall".
# Programs, man pages and completions are installed by the folders that hold them.
include(CMakePackageConfigHelpers)

set(nmt_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nmt)

install(TARGETS nmt nmt_static EXPORT nmt_targets
	LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
	ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES libnmt/include/nmt/nmt.h libnmt/include/nmt/provider.h
	DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nmt)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT nmt_targets NAMESPACE nmt:: FILE nmtTargets.cmake DESTINATION ${nmt_package_dir})
configure_package_config_file(cmake/nmtConfig.cmake.in ${PROJECT_BINARY_DIR}/nmtConfig.cmake
	INSTALL_DESTINATION ${nmt_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nmtConfigVersion.cmake
	COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nmtConfig.cmake ${PROJECT_BINARY_DIR}/nmtConfigVersion.cmake
	DESTINATION ${nmt_package_dir})

# The pkg-config file finds its prefix from its own place, so that --prefix at install time works.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
	set(nmt_pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
	file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
	cmake_path(SET nmt_pc_prefix "${up}")
	string(REGEX REPLACE "/$" "" nmt_pc_prefix "\${pcfiledir}/${nmt_pc_prefix}")
endif()
set(nmt_pc_static "-lpthread")
if(CMAKE_DL_LIBS)
	string(APPEND nmt_pc_static " -l${CMAKE_DL_LIBS}")
endif()
get_property(nmt_static_libs GLOBAL PROPERTY nmt_static_libs)
string(PREPEND nmt_pc_static "${nmt_static_libs} ")
string(STRIP "${nmt_pc_static}" nmt_pc_static)
configure_file(cmake/libnmt.pc.in ${PROJECT_BINARY_DIR}/libnmt.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/libnmt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# A project around this one has an uninstall of its own.
if(PROJECT_IS_TOP_LEVEL)
	configure_file(cmake/uninstall.cmake.in ${PROJECT_BINARY_DIR}/uninstall.cmake @ONLY)
	add_custom_target(uninstall
		COMMAND ${CMAKE_COMMAND} -P ${PROJECT_BINARY_DIR}/uninstall.cmake
		COMMENT "Removing what install_manifest.txt lists" VERBATIM)
endif()
