/* values.c - a sorted array of the newest values: there are as many as subscriptions and the like. */
#include "values.h"

#include "base/alloc.h"

#define OP_HEADER_BYTES 6
#define OP_DELETES UINT32_MAX

int svl__op_check(const struct store_op *op)
{
    if (op->key.len == 0 || op->key.len > VALUE_KEY_MAX || op->value.len > VALUE_BYTES_MAX)
        return svl__fail(SVL_E_INVALID, "a value of %zu bytes under a key of %zu", op->value.len,
                         op->key.len);
    return SVL_OK;
}

size_t svl__op_size(const struct store_op *op)
{
    return OP_HEADER_BYTES + op->key.len + op->value.len;
}

void svl__op_encode(const struct store_op *op, struct buffer *out)
{
    uint8_t header[OP_HEADER_BYTES];
    store_u16(header, (uint16_t)op->key.len);
    store_u32(header + 2, op->value.data ? (uint32_t)op->value.len : OP_DELETES);
    svl__buffer_append(out, header, sizeof header);
    svl__buffer_append(out, op->key.data, op->key.len);
    svl__buffer_append(out, op->value.data, op->value.len);
}

static svl_slice entry_key(const struct value_entry *entry)
{
    return (svl_slice){ entry->bytes, entry->key_len };
}

/* Where `key` stands or would stand. */
static size_t find_place(const struct values *values, svl_slice key, bool *found)
{
    size_t low = 0, high = values->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = svl__key_compare(entry_key(values->entries[middle]), key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

int svl__values_reserve(struct values *values, size_t n)
{
    if (values->capacity - values->count >= n)
        return SVL_OK;
    size_t capacity = values->capacity ? values->capacity * 2 : 16;
    while (capacity < values->count + n)
        capacity *= 2;
    struct value_entry **grown = svl__realloc(values->entries, capacity * sizeof *grown);
    if (!grown)
        return SVL_E_NOMEM;
    values->entries = grown;
    values->capacity = capacity;
    return SVL_OK;
}

/* Room for one more is reserved. */
static void put(struct values *values, struct value_entry *entry)
{
    bool found;
    size_t at = find_place(values, entry_key(entry), &found);
    if (found) {
        svl__free(values->entries[at]);
        values->entries[at] = entry;
        return;
    }
    memmove(values->entries + at + 1, values->entries + at,
            (values->count - at) * sizeof *values->entries);
    values->entries[at] = entry;
    values->count++;
}

void svl__values_merge(struct values *to, struct values *from)
{
    for (size_t i = 0; i < from->count; i++)
        put(to, from->entries[i]);
    from->count = 0;
    svl__values_free(from);
}

static int apply_one(struct values *values, struct reader *r, uint64_t op, bool skip)
{
    uint16_t key_len = read_u16(r);
    uint32_t value_len = read_u32(r);
    bool deleted = value_len == OP_DELETES;
    const uint8_t *key = read_bytes(r, key_len);
    const uint8_t *value = read_bytes(r, deleted ? 0 : value_len);
    if (r->failed || key_len == 0 || key_len > VALUE_KEY_MAX ||
        (!deleted && value_len > VALUE_BYTES_MAX))
        return svl__fail(SVL_E_CORRUPT, "operation %llu of the journal", (unsigned long long)op);
    if (skip)
        return SVL_OK;
    struct value_entry *entry = svl__malloc(sizeof *entry + key_len + (deleted ? 0 : value_len));
    if (!entry || svl__values_reserve(values, 1) != SVL_OK) {
        svl__free(entry);
        return SVL_E_NOMEM;
    }
    *entry = (struct value_entry){
        .op = op, .key_len = key_len, .value_len = deleted ? 0 : value_len, .deleted = deleted
    };
    memcpy(entry->bytes, key, key_len);
    memcpy(entry->bytes + key_len, value, entry->value_len);
    put(values, entry);
    return SVL_OK;
}

int svl__values_apply(struct values *values, svl_slice ops, uint32_t count, uint64_t last_op,
                      uint64_t done_op)
{
    if (count > last_op)
        return svl__fail(SVL_E_CORRUPT, "%u operations, the last of which is number %llu", count,
                         (unsigned long long)last_op);
    struct reader r = reader_of(ops.data, ops.len);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t op = last_op - count + 1 + i;
        int rc = apply_one(values, &r, op, op <= done_op);
        if (rc != SVL_OK)
            return rc;
    }
    if (reader_left(&r) != 0)
        return svl__fail(SVL_E_CORRUPT, "%zu bytes behind the journal's operations",
                         reader_left(&r));
    return SVL_OK;
}

const struct value_entry *svl__values_find(const struct values *values, svl_slice key)
{
    bool found;
    size_t at = find_place(values, key, &found);
    return found ? values->entries[at] : NULL;
}

static struct value_entry *copy_entry(const struct value_entry *entry)
{
    size_t size = sizeof *entry + entry->key_len + entry->value_len;
    struct value_entry *copy = svl__malloc(size);
    if (copy)
        memcpy(copy, entry, size);
    return copy;
}

int svl__values_copy(const struct values *values, struct values *to)
{
    *to = (struct values){ 0 };
    if (values->count == 0)
        return SVL_OK;
    to->entries = svl__malloc(values->count * sizeof *to->entries);
    if (!to->entries)
        return SVL_E_NOMEM;
    to->capacity = values->count;
    while (to->count < values->count) {
        struct value_entry *copy = copy_entry(values->entries[to->count]);
        if (!copy) {
            svl__values_free(to);
            return SVL_E_NOMEM;
        }
        to->entries[to->count++] = copy;
    }
    return SVL_OK;
}

int svl__values_put(const struct values *values, struct catalog_change *change)
{
    for (size_t i = 0; i < values->count; i++) {
        const struct value_entry *entry = values->entries[i];
        svl_slice value = { entry->deleted ? NULL : entry->bytes + entry->key_len,
                            entry->value_len };
        int rc = svl__catalog_put_value(change, entry_key(entry), value);
        if (rc != SVL_OK)
            return rc;
    }
    return SVL_OK;
}

void svl__values_forget(struct values *values, uint64_t last_op)
{
    size_t kept = 0;
    for (size_t i = 0; i < values->count; i++) {
        if (values->entries[i]->op > last_op)
            values->entries[kept++] = values->entries[i];
        else
            svl__free(values->entries[i]);
    }
    values->count = kept;
}

void svl__values_free(struct values *values)
{
    for (size_t i = 0; i < values->count; i++)
        svl__free(values->entries[i]);
    svl__free(values->entries);
    *values = (struct values){ 0 };
}
