/* peers.c - who answers: ours first, then in the order of the tables. */
#include "bench.h"
#include "bench_config.h"

extern const struct peer peer_bus, peer_bus_clock, peer_log, peer_rules, peer_rules_unchecked;
extern const struct peer peer_ck, peer_rte, peer_urcu, peer_moodycamel, peer_moodycamel_blocking,
    peer_mutex;
extern const struct peer peer_lmdb, peer_lmdb_blocks, peer_sqlite_off, peer_sqlite_normal,
    peer_sqlite;
extern const struct peer peer_rocksdb, peer_leveldb, peer_text, peer_text_zstd, peer_journal;
extern const struct peer peer_yajl, peer_jansson, peer_simdjson;

const struct peer *const bench_peers[] = { &peer_bus,
                                           &peer_bus_clock,
                                           &peer_log,
                                           &peer_rules,
                                           &peer_rules_unchecked,
#if BENCH_HAVE_CK
                                           &peer_ck,
#endif
#if BENCH_HAVE_RTE
                                           &peer_rte,
#endif
#if BENCH_HAVE_URCU
                                           &peer_urcu,
#endif
#if BENCH_HAVE_MOODYCAMEL
                                           &peer_moodycamel,
                                           &peer_moodycamel_blocking,
#endif
                                           &peer_mutex,
                                           &peer_lmdb,
                                           &peer_lmdb_blocks,
#if BENCH_HAVE_SQLITE
                                           &peer_sqlite_off,
                                           &peer_sqlite_normal,
                                           &peer_sqlite,
#endif
#if BENCH_HAVE_ROCKSDB
                                           &peer_rocksdb,
#endif
#if BENCH_HAVE_LEVELDB
                                           &peer_leveldb,
#endif
                                           &peer_text,
#if BENCH_HAVE_ZSTD
                                           &peer_text_zstd,
#endif
                                           &peer_journal,
#if BENCH_HAVE_YAJL
                                           &peer_yajl,
#endif
#if BENCH_HAVE_JANSSON
                                           &peer_jansson,
#endif
#if BENCH_HAVE_SIMDJSON
                                           &peer_simdjson,
#endif
                                           NULL };

const struct left_out bench_left_out[] = {
#if !BENCH_HAVE_CK
    { "ck_ring", "no libck-dev when this was built" },
#endif
#if !BENCH_HAVE_RTE
    { "rte_ring", "no libdpdk-dev when this was built" },
#endif
#if !BENCH_HAVE_URCU
    { "wfcqueue", "no liburcu-dev when this was built" },
#endif
#if !BENCH_HAVE_MOODYCAMEL
    { "moodycamel", "no libconcurrentqueue-dev or C++ when this was built" },
#endif
#if !BENCH_HAVE_SQLITE
    { "sqlite", "no libsqlite3-dev when this was built" },
#endif
#if !BENCH_HAVE_ROCKSDB
    { "rocksdb", "no librocksdb-dev when this was built" },
#endif
#if !BENCH_HAVE_LEVELDB
    { "leveldb", "no libleveldb-dev when this was built" },
#endif
#if !BENCH_HAVE_ZSTD
    { "text-zstd", "no libzstd-dev when this was built" },
#endif
#if !BENCH_HAVE_YAJL
    { "yajl", "no libyajl-dev when this was built" },
#endif
#if !BENCH_HAVE_JANSSON
    { "jansson", "no libjansson-dev when this was built" },
#endif
#if !BENCH_HAVE_SIMDJSON
    { "simdjson", "no libsimdjson-dev or C++ when this was built" },
#endif
    { NULL, NULL }
};
