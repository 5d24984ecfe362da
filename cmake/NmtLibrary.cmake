# SPDX-License-Identifier: BSD-2-Clause
# The library targets: nmt (shared) and nmt_static, from one set of objects.

# nmt_add_folder(DIR): add_subdirectory if the folder has a CMakeLists.txt.
macro(nmt_add_folder dir)
	if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt)
		add_subdirectory(${dir})
	endif()
endmacro()

# nmt_exporting(TARGET): the version script alone says what these objects export, so that the
# headers need no annotations; calls inside the library are direct all the same.
function(nmt_exporting target)
	set_target_properties(${target} PROPERTIES C_VISIBILITY_PRESET default)
	target_compile_options(${target} PRIVATE -fno-semantic-interposition)
endfunction()

# nmt_add_library(SOURCES file...): called once, by libnmt/CMakeLists.txt.
function(nmt_add_library)
	cmake_parse_arguments(A "" "" "SOURCES" ${ARGN})
	add_library(nmt_objects OBJECT ${A_SOURCES})
	target_include_directories(nmt_objects
		PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
	target_compile_definitions(nmt_objects
		PRIVATE NMTI_PROVIDER_DIR="${CMAKE_INSTALL_FULL_LIBDIR}/nmt")
	target_link_libraries(nmt_objects PRIVATE nmt_flags Threads::Threads)
	nmt_exporting(nmt_objects)

	set(map ${CMAKE_CURRENT_SOURCE_DIR}/libnmt.map)
	add_library(nmt SHARED $<TARGET_OBJECTS:nmt_objects>)
	set_target_properties(nmt PROPERTIES
		VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS ${map})
	target_link_options(nmt PRIVATE -Wl,--version-script=${map} -Wl,-Bsymbolic-functions)
	# A sanitizer's runtime comes with the program, so its symbols are open in the library.
	if(NOT NMT_SANITIZE AND NOT NMT_FUZZ)
		target_link_options(nmt PRIVATE -Wl,--no-undefined)
	endif()

	add_library(nmt_static STATIC $<TARGET_OBJECTS:nmt_objects>)
	set_target_properties(nmt_static PROPERTIES OUTPUT_NAME nmt)

	foreach(lib nmt nmt_static)
		target_include_directories(${lib} PUBLIC
			$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
			$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
		target_link_libraries(${lib} PRIVATE $<BUILD_INTERFACE:nmt_flags>
			PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
		add_library(nmt::${lib} ALIAS ${lib})
	endforeach()
endfunction()
