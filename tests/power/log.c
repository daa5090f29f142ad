/* log.c - the list, and its file: struct log, then each struct op, followed by its bytes if it has any. */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        perror("log");
        exit(1);
    }
    return p;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

size_t log_add(struct log *log, struct op op)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 1024;
        log->ops = must(realloc(log->ops, log->capacity * sizeof *log->ops));
    }
    const uint8_t *data = op.data;
    op.data = NULL;
    if (data && !is_zero(data, op.len))
        op.data = memcpy(must(malloc(op.len)), data, op.len);
    log->ops[log->count] = op;
    return log->count++;
}

void log_copy(struct log *log, const struct log *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        log_add(log, from->ops[i]);
        if (from->ops[i].kind == OP_CREATE)
            log->files++;
    }
    log->start = n;
}

void log_free(struct log *log)
{
    for (size_t i = 0; i < log->count; i++)
        free(log->ops[i].data);
    free(log->ops);
    *log = (struct log){ 0 };
}

bool log_save(const struct log *log, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    bool ok = fwrite(log, sizeof *log, 1, f) == 1;
    for (size_t i = 0; ok && i < log->count; i++) {
        const struct op *op = &log->ops[i];
        ok = fwrite(op, sizeof *op, 1, f) == 1 &&
             (!op->data || fwrite(op->data, op->len, 1, f) == 1);
    }
    return fclose(f) == 0 && ok;
}

bool log_load(struct log *log, const char *path)
{
    struct log saved;
    *log = (struct log){ 0 };
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    bool ok = fread(&saved, sizeof saved, 1, f) == 1;
    for (size_t i = 0; ok && i < saved.count; i++) {
        struct op op;
        ok = fread(&op, sizeof op, 1, f) == 1;
        uint8_t *data = ok && op.data ? must(malloc(op.len)) : NULL;
        ok = ok && (!data || fread(data, op.len, 1, f) == 1);
        op.data = data;
        if (ok)
            log_add(log, op);
        free(data);
    }
    fclose(f);
    if (!ok) {
        log_free(log);
        return false;
    }
    log->start = saved.start;
    log->files = saved.files;
    memcpy(log->script, saved.script, sizeof log->script);
    log->script[sizeof log->script - 1] = 0;
    return true;
}
