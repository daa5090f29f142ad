/* lmdb_check.c - an LMDB 0.9 data file, checked before LMDB walks it.
 *
 * LMDB trusts its file: a damaged page leads it to wild pointers. So every page that it could reach from
 * the newest meta page, by what it is about to do, is read with pread and checked here. What this format is (from
 * lmdb.h and mdb.c of 0.9.24; 64-bit, little-endian):
 *
 *   page     0: number u64 · 8: pad u16 · 10: flags u16 · 12: lower u16, upper u16 (or, of an overflow
 *            page, its count of pages u32) · 16: node offsets u16 each, up to `lower`
 *   meta     page 0 and 1, behind the header: magic u32 · version u32 · address u64 · map size u64 ·
 *            two tables (free list, main), 48 bytes each · last page u64 · transaction u64
 *   table    pad u32 · flags u16 · depth u16 · branch pages u64 · leaf pages u64 · overflow pages u64 ·
 *            entries u64 · root u64
 *   free     an entry of the free list: key, transaction u64; data, count u64, then as many page numbers,
 *            descending
 *   node     0: low u16 · 2: high u16 · 4: flags u16 · 6: key size u16 · 8: key, then data. Of a leaf,
 *            low and high are the data's size; of a branch, with the flags on top, the child's number
 *
 * Checked: flags, bounds, overlap, order of offsets, each page used once or free, depth, page numbers
 * within the file, the tables' own records and how many entries they say to have, keys ascending within a
 * page, and each page's keys between those that lead to it: LMDB would not find others, and put the same
 * key a second time. Not checked: what the values say - the blocks have checksums of their own. The free list, and
 * the headers of overflow pages, LMDB reads to take a page and to give one back: they are checked for who writes. */
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "lmdb_env.h"

#define PAGE 4096u
#define PAGE_HEADER 16u
#define NODE_HEADER 8u
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define FLAG_BRANCH 0x01u
#define FLAG_LEAF 0x02u
#define FLAG_OVERFLOW 0x04u
#define FLAG_META 0x08u
#define NODE_BIGDATA 0x01u
#define NODE_SUBDATA 0x02u
#define TABLE_BYTES 48u
#define TABLE_INTEGERKEY 0x08u
#define TABLE_FLAGS 0x7eu
#define NO_PAGE UINT64_MAX
#define DEPTH_MAX 32
#define KEY_MAX 511u
/* Pages of one read where one lies near the last one: those of a run of the key index follow each other. */
#define WINDOW_PAGES 16u

struct meta {
    uint64_t map_bytes;
    uint8_t tables[2][TABLE_BYTES];
    uint64_t last_page;
    uint64_t transaction;
};

enum tree { TREE_FREE_LIST, TREE_MAIN, TREE_TABLE };

/* A key that leads to a page, or none. */
struct bound {
    uint32_t len; /* 0: none */
    uint8_t key[KEY_MAX];
};

/* A page that waits to be visited. */
struct visit {
    uint64_t page;
    uint32_t depth;
    uint32_t depth_max; /* leaves lie here */
    enum tree tree;     /* tables may hang from the leaves of TREE_MAIN only */
    bool integer_keys;
    uint32_t table;         /* its number in `tables` */
    struct bound low, high; /* its keys lie from `low` to before `high` */
};

/* A tree's entries: as its record says, and as they were found. */
struct entries {
    uint64_t page; /* where the record stands */
    uint64_t said, found;
};

struct check {
    int fd;
    const char *name;
    uint64_t map_bytes;         /* that the file was made with */
    const char *const *without; /* names of tables that are not walked, NULL at the end; or NULL */
    bool to_write;
    uint64_t pages;     /* in the file */
    uint64_t last_page; /* highest that the meta page admits */
    uint64_t transaction;
    uint8_t *used;        /* a bit a page: in a tree, or free */
    struct buffer stack;  /* struct visit each */
    struct buffer tables; /* struct entries each */
    const uint8_t *page;  /* at hand, in `window` */
    uint64_t window_from, window_to;
    uint8_t window[WINDOW_PAGES * PAGE];
};

static int bad(const struct check *c, uint64_t page, const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "%s: page %llu: %s", c->name, (unsigned long long)page, what);
}

static int fill_window(struct check *c, uint64_t from, uint64_t n)
{
    int rc = svl__file_read(c->fd, c->window, n * PAGE, from * PAGE, c->name);
    c->window_from = from;
    c->window_to = rc == SVL_OK ? from + n : from;
    return rc;
}

/* The page, with those about it where one lies near those read last. That one of these cannot be read is nothing to
 * it. */
static int read_window(struct check *c, uint64_t page)
{
    bool is_near = page + WINDOW_PAGES >= c->window_from && page < c->window_to + WINDOW_PAGES;
    uint64_t from = page - page % WINDOW_PAGES, n = c->pages - from;
    n = n < WINDOW_PAGES ? n : WINDOW_PAGES;
    if (is_near && fill_window(c, from, n) == SVL_OK)
        return SVL_OK;
    return fill_window(c, page, 1);
}

static int read_page(struct check *c, uint64_t page)
{
    bool is_read = page >= c->window_from && page < c->window_to;
    int rc = is_read ? SVL_OK : read_window(c, page);
    c->page = c->window + (page - c->window_from) * PAGE;
    return rc;
}

/* Notes that the page is used: it may be once. */
static int take_page(struct check *c, uint64_t page, uint64_t from)
{
    if (page < 2 || page > c->last_page)
        return bad(c, from, "points outside the file");
    if (c->used[page / 8] & (1u << (page % 8)))
        return bad(c, from, "points to a page that is used elsewhere");
    c->used[page / 8] |= (uint8_t)(1u << (page % 8));
    return SVL_OK;
}

static int take_pages(struct check *c, uint64_t page, uint64_t n, uint64_t from)
{
    if (n == 0 || page >= c->pages || n > c->pages - page)
        return bad(c, from, "points outside the file");
    int rc = SVL_OK;
    for (uint64_t i = page; rc == SVL_OK && i < page + n; i++)
        rc = take_page(c, i, from);
    return rc;
}

static int push_table(struct check *c, const uint8_t *table, enum tree tree, uint64_t from)
{
    uint64_t root = load_u64(table + 40);
    uint16_t flags = load_u16(table + 4), depth = load_u16(table + 6);
    if (depth > DEPTH_MAX || (flags & ~TABLE_INTEGERKEY) != 0)
        return bad(c, from, "a table's depth or flags");
    if (root == NO_PAGE || depth == 0)
        return root == NO_PAGE && depth == 0 && load_u64(table + 32) == 0
                   ? SVL_OK
                   : bad(c, from, "a table's root does not go with its depth or entries");
    struct visit visit = { .page = root,
                           .depth = 1,
                           .depth_max = depth,
                           .tree = tree,
                           .integer_keys = flags & TABLE_INTEGERKEY,
                           .table = (uint32_t)(c->tables.len / sizeof(struct entries)) };
    struct entries entries = { .page = from, .said = load_u64(table + 32) };
    int rc = take_pages(c, root, 1, from);
    if (rc != SVL_OK)
        return rc;
    svl__buffer_append(&c->stack, &visit, sizeof visit);
    svl__buffer_append(&c->tables, &entries, sizeof entries);
    return c->stack.failed || c->tables.failed ? SVL_E_NOMEM : SVL_OK;
}

/* An entry of the free list, whose data is at `offset` of the file. LMDB takes it at its word: it would
 * write over a page in use, or read behind a list that says to be longer than it is. Free pages may lie
 * behind the end of the file. */
static int check_free_pages(struct check *c, const struct visit *v, uint64_t offset, uint64_t size)
{
    uint64_t count, page, before = NO_PAGE;
    if (size < sizeof count || size % sizeof count != 0)
        return bad(c, v->page, "the size of a list of free pages");
    int rc = svl__file_read(c->fd, &count, sizeof count, offset, c->name);
    if (rc == SVL_OK && count >= size / sizeof count)
        rc = bad(c, v->page, "the length of a list of free pages");
    for (uint64_t i = 1; rc == SVL_OK && i <= count; i++) {
        rc = svl__file_read(c->fd, &page, sizeof page, offset + i * sizeof page, c->name);
        if (rc == SVL_OK && page >= before)
            rc = bad(c, v->page, "free pages out of order");
        if (rc == SVL_OK)
            rc = take_page(c, page, v->page);
        before = page;
    }
    return rc;
}

static int check_overflow(struct check *c, uint64_t first, uint64_t n)
{
    uint8_t header[PAGE_HEADER];
    int rc = svl__file_read(c->fd, header, sizeof header, first * PAGE, c->name);
    if (rc == SVL_OK && (load_u64(header) != first || load_u16(header + 10) != FLAG_OVERFLOW ||
                         load_u32(header + 12) != n))
        rc = bad(c, first, "not the overflow page that a node points to");
    return rc;
}

static bool is_left_out(const struct check *c, const uint8_t *name, uint32_t len)
{
    for (const char *const *at = c->without; at && *at; at++)
        if (strlen(*at) == len && memcmp(*at, name, len) == 0)
            return true;
    return false;
}

/* The data of a leaf's node: inside the page, a run of overflow pages, or a table. */
static int check_value(struct check *c, const struct visit *v, const uint8_t *node, uint32_t room)
{
    uint32_t key = load_u16(node + 6), flags = load_u16(node + 4);
    uint64_t size = load_u16(node) | (uint64_t)load_u16(node + 2) << 16;
    const uint8_t *data = node + NODE_HEADER + key;
    if (flags & ~(NODE_BIGDATA | NODE_SUBDATA))
        return bad(c, v->page, "a node's flags");
    bool is_free_list = v->tree == TREE_FREE_LIST;
    if (is_free_list && (key != 8 || load_u64(node + NODE_HEADER) > c->transaction))
        return bad(c, v->page, "a list of free pages of no transaction");
    if (flags & NODE_BIGDATA) {
        if (NODE_HEADER + key + 8 > room)
            return bad(c, v->page, "a node reaches out of its page");
        uint64_t first = load_u64(data), n = (size + PAGE_HEADER + PAGE - 1) / PAGE;
        int rc = take_pages(c, first, n, v->page);
        if (rc == SVL_OK && c->to_write)
            rc = check_overflow(c, first, n);
        if (rc == SVL_OK && is_free_list)
            rc = check_free_pages(c, v, first * PAGE + PAGE_HEADER, size);
        return rc;
    }
    if (NODE_HEADER + key + size > room)
        return bad(c, v->page, "a node reaches out of its page");
    if (flags & NODE_SUBDATA) {
        if (v->tree != TREE_MAIN || size != TABLE_BYTES)
            return bad(c, v->page, "a table where none can be");
        return is_left_out(c, node + NODE_HEADER, key) ? SVL_OK
                                                       : push_table(c, data, TREE_TABLE, v->page);
    }
    if (is_free_list)
        return check_free_pages(c, v, v->page * PAGE + (uint64_t)(data - c->page), size);
    return SVL_OK;
}

static int compare_keys(const struct visit *v, const uint8_t *a, uint32_t a_len, const uint8_t *b,
                        uint32_t b_len)
{
    if (v->integer_keys && a_len == 8 && b_len == 8) {
        uint64_t x = load_u64(a), y = load_u64(b);
        return (x > y) - (x < y);
    }
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static void set_bound(struct bound *bound, const uint8_t *key, uint32_t len)
{
    bound->len = len;
    memcpy(bound->key, key, len);
}

/* Node `i` of a branch. Its key is where its child begins, and the one before it ends; the first one's is none. */
static int check_child(struct check *c, const struct visit *v, const uint8_t *node, uint32_t i)
{
    uint64_t child =
        load_u16(node) | (uint64_t)load_u16(node + 2) << 16 | (uint64_t)load_u16(node + 4) << 32;
    struct visit visit = *v;
    visit.page = child;
    visit.depth++;
    if (i > 0) {
        struct visit *before =
            (struct visit *)(void *)(c->stack.data + c->stack.len - sizeof visit);
        set_bound(&visit.low, node + NODE_HEADER, load_u16(node + 6));
        before->high = visit.low;
    }
    int rc = take_pages(c, child, 1, v->page);
    if (rc != SVL_OK)
        return rc;
    svl__buffer_append(&c->stack, &visit, sizeof visit);
    return c->stack.failed ? SVL_E_NOMEM : SVL_OK;
}

static bool is_in_place(const struct visit *v, const uint8_t *key, uint32_t len)
{
    const struct bound *low = &v->low, *high = &v->high;
    return (low->len == 0 || compare_keys(v, low->key, low->len, key, len) <= 0) &&
           (high->len == 0 || compare_keys(v, key, len, high->key, high->len) < 0);
}

/* The nodes' extents do not overlap: their sizes add up to no more than the page's used part. */
static int check_nodes(struct check *c, const struct visit *v, bool leaf, uint32_t lower,
                       uint32_t upper)
{
    uint32_t n = (lower - PAGE_HEADER) / 2, sum = 0;
    if (leaf)
        ((struct entries *)(void *)c->tables.data)[v->table].found += n;
    const uint8_t *key_before = NULL;
    uint32_t len_before = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = load_u16(c->page + PAGE_HEADER + 2 * i);
        if (at < upper || at + NODE_HEADER > PAGE || at % 2 != 0)
            return bad(c, v->page, "a node's offset");
        const uint8_t *node = c->page + at;
        uint32_t key = load_u16(node + 6), room = PAGE - at;
        bool first_of_branch = !leaf && i == 0;
        if (key > KEY_MAX || NODE_HEADER + key > room || (key == 0 && !first_of_branch))
            return bad(c, v->page, "a node's key");
        /* LMDB compares them as numbers of 8 bytes, whatever their length says. */
        if (v->integer_keys && key != 8 && !first_of_branch)
            return bad(c, v->page, "a key that is no number");
        if (key_before && !first_of_branch && (leaf || i > 1) &&
            compare_keys(v, key_before, len_before, node + NODE_HEADER, key) >= 0)
            return bad(c, v->page, "keys out of order");
        if (!first_of_branch && !is_in_place(v, node + NODE_HEADER, key))
            return bad(c, v->page, "keys that belong to another page");
        key_before = node + NODE_HEADER;
        len_before = key;
        int rc = leaf ? check_value(c, v, node, room) : check_child(c, v, node, i);
        if (rc != SVL_OK)
            return rc;
        uint64_t data = load_u16(node) | (uint64_t)load_u16(node + 2) << 16;
        if (!leaf)
            data = 0;
        else if (load_u16(node + 4) & NODE_BIGDATA)
            data = 8;
        sum += (uint32_t)(NODE_HEADER + key + data + 1) & ~1u;
        if (sum > PAGE - upper)
            return bad(c, v->page, "nodes overlap");
    }
    return SVL_OK;
}

static int check_page(struct check *c, const struct visit *v)
{
    int rc = read_page(c, v->page);
    if (rc != SVL_OK)
        return rc;
    bool leaf = v->depth == v->depth_max;
    uint32_t lower = load_u16(c->page + 12), upper = load_u16(c->page + 14);
    if (load_u64(c->page) != v->page)
        return bad(c, v->page, "another page's number");
    if (load_u16(c->page + 10) != (leaf ? FLAG_LEAF : FLAG_BRANCH))
        return bad(c, v->page, "its kind is not what the tree's depth says");
    if (lower < PAGE_HEADER || lower % 2 != 0 || upper > PAGE || lower > upper)
        return bad(c, v->page, "its bounds");
    if (lower == PAGE_HEADER || (!leaf && lower < PAGE_HEADER + 4))
        return bad(c, v->page, "too few nodes");
    return check_nodes(c, v, leaf, lower, upper);
}

/* SVL_OK, or SVL_E_NOT_FOUND (bare) for a page that is no meta page. */
static int read_meta(struct check *c, uint64_t page, struct meta *meta)
{
    int rc = read_page(c, page);
    if (rc != SVL_OK)
        return rc;
    const uint8_t *m = c->page + PAGE_HEADER;
    if (load_u64(c->page) != page || load_u16(c->page + 10) != FLAG_META ||
        load_u32(m) != META_MAGIC)
        return bad(c, page, "not a meta page of LMDB");
    if (load_u32(m + 4) != META_VERSION)
        return svl__fail(SVL_E_VERSION, "%s: LMDB data version %u", c->name, load_u32(m + 4));
    meta->map_bytes = load_u64(m + 16);
    memcpy(meta->tables[0], m + 24, TABLE_BYTES);
    memcpy(meta->tables[1], m + 24 + TABLE_BYTES, TABLE_BYTES);
    meta->last_page = load_u64(m + 24 + 2 * TABLE_BYTES);
    meta->transaction = load_u64(m + 32 + 2 * TABLE_BYTES);
    if (load_u32(meta->tables[0]) != PAGE || (meta->transaction & 1) != page)
        return bad(c, page, "page size or transaction number of the meta page");
    if (meta->map_bytes != c->map_bytes || meta->last_page < 1 ||
        meta->last_page >= meta->map_bytes / PAGE)
        return bad(c, page, "sizes of the meta page");
    return SVL_OK;
}

static int walk(struct check *c, const struct meta *meta)
{
    /* The free list's flags are the environment's too, of which a table has others: left are those that a cursor
     * goes by. */
    uint8_t free_list[TABLE_BYTES];
    memcpy(free_list, meta->tables[0], TABLE_BYTES);
    store_u16(free_list + 4, (load_u16(free_list + 4) & TABLE_FLAGS) | TABLE_INTEGERKEY);
    uint8_t main_table[TABLE_BYTES];
    memcpy(main_table, meta->tables[1], TABLE_BYTES);
    int rc = push_table(c, main_table, TREE_MAIN, 0);
    if (rc == SVL_OK && c->to_write)
        rc = push_table(c, free_list, TREE_FREE_LIST, 0);
    while (rc == SVL_OK && c->stack.len > 0) {
        struct visit visit;
        c->stack.len -= sizeof visit;
        memcpy(&visit, c->stack.data + c->stack.len, sizeof visit);
        rc = check_page(c, &visit);
    }
    const struct entries *entries = (const struct entries *)(const void *)c->tables.data;
    for (size_t i = 0; rc == SVL_OK && i < c->tables.len / sizeof *entries; i++)
        if (entries[i].said != entries[i].found)
            rc = bad(c, entries[i].page, "another number of entries than its tree has");
    return rc;
}

int svl__lmdb_check(int fd, const char *name, uint64_t map_bytes, const char *const *without,
                    bool to_write)
{
    uint64_t size;
    int rc = svl__file_size(fd, &size, name);
    if (rc != SVL_OK)
        return rc;
    if (size < 2 * PAGE)
        return svl__fail(SVL_E_CORRUPT, "%s has %llu bytes: not an LMDB file", name,
                         (unsigned long long)size);
    struct check *c = svl__calloc(1, sizeof *c);
    if (!c)
        return SVL_E_NOMEM;
    c->fd = fd;
    c->name = name;
    c->map_bytes = map_bytes;
    c->without = without;
    c->to_write = to_write;
    c->pages = size / PAGE;
    struct meta metas[2];
    for (uint64_t i = 0; rc == SVL_OK && i < 2; i++)
        rc = read_meta(c, i, &metas[i]);
    /* Written in turn, a transaction each: else one of them is damaged, and perhaps the newer. */
    if (rc == SVL_OK && metas[0].transaction + 1 != metas[1].transaction &&
        metas[1].transaction + 1 != metas[0].transaction)
        rc = bad(c, 0, "transaction numbers of the meta pages");
    if (rc == SVL_OK) {
        const struct meta *newest = &metas[metas[1].transaction > metas[0].transaction];
        c->last_page = newest->last_page;
        c->transaction = newest->transaction;
        /* The file may end before last_page: pages taken and freed again in one transaction. */
        c->used = svl__calloc(1, c->last_page / 8 + 1);
        rc = c->used ? walk(c, newest) : SVL_E_NOMEM;
    }
    svl__free(c->used);
    svl__buffer_free(&c->stack);
    svl__buffer_free(&c->tables);
    svl__free(c);
    return rc;
}
