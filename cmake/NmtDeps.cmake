# SPDX-License-Identifier: BSD-2-Clause
# Libraries that parts of the tree need. Each one found gives NMT_HAVE_<NAME> and the target
# nmt_dep::<name>; each one missing is named with its Debian package by what it leaves out.

# nmt_since(VAR MODULE VERSION): VAR is whether pkg-config knows MODULE in VERSION or a later one.
find_package(PkgConfig QUIET)
function(nmt_since var module version)
	if(PKG_CONFIG_FOUND)
		pkg_check_modules(NMT_since_${module} QUIET "${module}>=${version}")
	endif()
	set(${var} ${NMT_since_${module}_FOUND} PARENT_SCOPE)
endfunction()

# nmt_find(NAME LIB library HEADER header PACKAGE debian-package [SINCE version])
# SINCE: as pkg-config tells it; where that is silent the library counts as too old.
function(nmt_find name)
	cmake_parse_arguments(A "" "LIB;HEADER;PACKAGE;SINCE" "" ${ARGN})
	string(TOLOWER ${name} lower)
	find_library(NMT_${name}_LIBRARY ${A_LIB})
	find_path(NMT_${name}_INCLUDE ${A_HEADER})
	mark_as_advanced(NMT_${name}_LIBRARY NMT_${name}_INCLUDE)
	set(NMT_PACKAGE_${name} ${A_PACKAGE} PARENT_SCOPE)
	if(A_SINCE)
		nmt_since(recent lib${A_LIB} ${A_SINCE})
		if(NOT recent)
			set(NMT_${name}_LIBRARY "")
		endif()
	endif()
	if(name IN_LIST NMT_WITHOUT OR NOT NMT_${name}_LIBRARY OR NOT NMT_${name}_INCLUDE)
		set(NMT_HAVE_${name} OFF PARENT_SCOPE)
		return()
	endif()
	set(NMT_HAVE_${name} ON PARENT_SCOPE)
	add_library(nmt_dep::${lower} UNKNOWN IMPORTED GLOBAL)
	set_target_properties(nmt_dep::${lower} PROPERTIES
		IMPORTED_LOCATION ${NMT_${name}_LIBRARY}
		INTERFACE_INCLUDE_DIRECTORIES ${NMT_${name}_INCLUDE})
endfunction()

# nmt_left_out(WHAT NAME...): say that WHAT is not built, and the packages that would change it.
function(nmt_left_out what)
	set(packages "")
	foreach(name ${ARGN})
		if(NOT NMT_HAVE_${name})
			list(APPEND packages ${NMT_PACKAGE_${name}})
		endif()
	endforeach()
	list(JOIN packages " " packages)
	message(STATUS "Left out: ${what} (missing; on Debian: apt-get install ${packages})")
endfunction()

# nmt_have(VAR NAME...): VAR is whether all the libraries named are there.
function(nmt_have var)
	set(${var} ON PARENT_SCOPE)
	foreach(name ${ARGN})
		if(NOT DEFINED NMT_HAVE_${name})
			message(FATAL_ERROR "nmt_have: no library called ${name} in NmtDeps.cmake")
		endif()
		if(NOT NMT_HAVE_${name})
			set(${var} OFF PARENT_SCOPE)
		endif()
	endforeach()
endfunction()

# nmt_dep_targets(VAR NAME...): the targets to link for the libraries named.
function(nmt_dep_targets var)
	list(TRANSFORM ARGN TOLOWER)
	list(TRANSFORM ARGN PREPEND nmt_dep::)
	set(${var} ${ARGN} PARENT_SCOPE)
endfunction()

nmt_find(CMOCKA LIB cmocka HEADER cmocka.h PACKAGE libcmocka-dev)
nmt_find(JSON LIB json-c HEADER json-c/json.h PACKAGE libjson-c-dev)
nmt_find(XXHASH LIB xxhash HEADER xxhash.h PACKAGE libxxhash-dev)
nmt_find(OPENSSL LIB crypto HEADER openssl/evp.h PACKAGE libssl-dev)
nmt_find(IBVERBS LIB ibverbs HEADER infiniband/verbs.h PACKAGE libibverbs-dev)
nmt_find(RDMACM LIB rdmacm HEADER rdma/rdma_cma.h PACKAGE librdmacm-dev)
nmt_find(FABRIC LIB fabric HEADER rdma/fabric.h PACKAGE libfabric-dev SINCE 1.17)
