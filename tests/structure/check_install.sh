#!/bin/sh
# Installs into a new folder and uses it as a host would: headers alone as C and C++, shared and static links
# by pkg-config, and as a Meson subproject. With pages: each function has one, and none refers to a missing one.
#   check_install.sh BUILD_DIRECTORY SOURCE_DIRECTORY CC CXX WITH_PAGES
set -eu
build=$1 source=$2 cc=$3 cxx=$4 with_pages=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/usr
DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
mkdir -p "$prefix"
cp -r "$work/root"/*/* "$work/root"/*/*/* "$prefix/" 2>/dev/null || true
found=$(find "$work/root" -name serverlog.pc)
base=$(cd "$(dirname "$found")/../.." && pwd)
[ -f "$base/pkgconfig/serverlog.pc" ] && base=$(cd "$base/.." && pwd)
installed=$(find "$work/root" -name serverlog.h)
include=$(dirname "$installed")

cat >"$work/app.c" <<'C'
#include <serverlog.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    svl_store *store;
    if (argc < 2 || svl_store_open(argv[1], NULL, &store) != SVL_OK)
        return 1;
    puts(svl_build_info());
    return svl_store_close(store) == SVL_OK ? 0 : 1;
}
C
for header in serverlog.h serverlog/bus.h serverlog/handler.h serverlog/pipeline.h serverlog/store.h serverlog/types.h; do
    echo "#include <$header>" >"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cc"
    $cc -std=c11 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -fsyntax-only -I "$include" "$work/alone.c"
    $cxx -std=c++11 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -fsyntax-only -I "$include" "$work/alone.cc"
done

if grep -q '^ *#' "$include/serverlog/serverlog.cdef.h"; then echo "serverlog.cdef.h has a preprocessor line"; exit 1; fi

if [ "$with_pages" = true ]; then
    pages=$(dirname "$(find "$work/root" -name man3)")
    {
        sed -n 's|^ *\(svl_[a-z0-9_]*\);|man3/\1.3|p' "$source/lib/serverlog.map"
        sed -n -e 's|^\.so ||p' -e 's|^\.Xr \(svl_[a-z0-9_]*\) 3.*|man3/\1.3|p' \
            -e 's|^\.Xr \(serverlog[a-z-]*\) 7.*|man7/\1.7|p' "$pages"/man3/*.3 "$pages"/man7/*.7
    } | sort -u >"$work/wanted"
    [ "$(wc -l <"$work/wanted")" -gt 100 ] || { echo "few pages are looked for: serverlog.map has changed its form"; exit 1; }
    while read -r page; do
        [ -s "$pages/$page" ] || { echo "$page is not installed; see man/make_pages.py --list"; exit 1; }
    done <"$work/wanted"
fi

PKG_CONFIG_PATH=$(dirname "$found")
PKG_CONFIG_SYSROOT_DIR=$work/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
flags=$(pkg-config --cflags serverlog | sed "s|$work/root$work/root|$work/root|g")
shared=$(pkg-config --libs serverlog)
static=$(pkg-config --libs --static serverlog)
libs=$(dirname "$(find "$work/root" -name libserverlog.so)")
# shellcheck disable=SC2086
$cc -o "$work/app-shared" "$work/app.c" -I "$include" $shared
LD_LIBRARY_PATH=$libs "$work/app-shared" "$work/shared.store"
readelf -d "$work/app-shared" | grep -q 'NEEDED.*libserverlog\.so\.0\]'
# LMDB and the rest only as far as the host's link needs them: not in the shared link's flags
case $shared in *lmdb*|*zstd*) echo "the shared link names private libraries: $shared"; exit 1 ;; esac
# shellcheck disable=SC2086
$cc -o "$work/app-static" "$work/app.c" -I "$include" \
    $(echo "$static" | sed "s|-lserverlog|$libs/libserverlog.a|")
"$work/app-static" "$work/static.store"
if readelf -d "$work/app-static" | grep -q libserverlog; then echo "not a static link"; exit 1; fi

mkdir -p "$work/project/subprojects"
ln -s "$source" "$work/project/subprojects/serverlog"
cp "$work/app.c" "$work/project/"
cat >"$work/project/meson.build" <<'MESON'
project('host', 'c')
executable('host', 'app.c', dependencies: dependency('serverlog', fallback: ['serverlog', 'serverlog_dep']))
MESON
unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
CC=$cc meson setup "$work/project/build" "$work/project" --force-fallback-for=serverlog >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
meson compile -C "$work/project/build" >"$work/log" 2>&1 || { tail -n 40 "$work/log"; exit 1; }
"$work/project/build/host" "$work/project.store"
