#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# find_package(nmt) from the installed tree, with nmt::nmt and nmt::nmt_static; and libnmt as a
# folder of another project (add_subdirectory).
. "$(dirname "$0")/lib.sh"

install_tree
unset LD_LIBRARY_PATH
cp "$here/package/CMakeLists.txt" "$here/consumer.c" "$work"
cxx=OFF
command -v "$CXX" >/dev/null && cxx=ON
[ $cxx = ON ] || echo "SKIP: no C++ compiler (Debian: g++)"

run 60 cmake -S "$work" -B "$work/b" -DCMAKE_PREFIX_PATH="$root" -DWITH_CXX=$cxx
run 60 cmake --build "$work/b"
run 60 ctest --test-dir "$work/b" --output-on-failure

mkdir "$work/outer"
cp "$here/consumer.c" "$work/outer"
cat >"$work/outer/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(outer LANGUAGES C)
add_subdirectory($source nmt)
add_executable(app consumer.c)
target_link_libraries(app nmt::nmt)
END
run 60 cmake -S "$work/outer" -B "$work/o" -DCMAKE_BUILD_TYPE=Debug -DNMT_BUILD_TOOLS=OFF
run 100 cmake --build "$work/o" --target app
run 30 "$work/o/app"
