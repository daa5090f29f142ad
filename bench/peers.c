/* peers.c - who answers: ours first, then in the order of the tables. */
#include "bench.h"

extern const struct peer peer_bus, peer_bus_clock, peer_log;
extern const struct peer peer_mutex, peer_lmdb, peer_lmdb_blocks, peer_text;

const struct peer *const bench_peers[] = { &peer_bus,  &peer_bus_clock,   &peer_log,  &peer_mutex,
                                           &peer_lmdb, &peer_lmdb_blocks, &peer_text, NULL };

const struct left_out bench_left_out[] = { { NULL, NULL } };
