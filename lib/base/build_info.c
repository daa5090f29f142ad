/* build_info.c - what this library is made of. */
#include <lmdb.h>
#include <serverlog/types.h>

#include "config.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

#if SVL_HAVE_LZ4
#define LZ4_WORD "lz4"
#else
#define LZ4_WORD "no-lz4"
#endif
#if SVL_HAVE_ZSTD
#define ZSTD_WORD "zstd"
#else
#define ZSTD_WORD "no-zstd"
#endif

const char *svl_version(void)
{
    return SVL_VERSION;
}

const char *svl_build_info(void)
{
    return "serverlog " SVL_VERSION " (lmdb " TEXT(MDB_VERSION_MAJOR) "." TEXT(
        MDB_VERSION_MINOR) "." TEXT(MDB_VERSION_PATCH) ", xxhash, " LZ4_WORD ", " ZSTD_WORD ")";
}
