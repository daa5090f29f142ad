#define _POSIX_C_SOURCE 200809L
#include "show.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

/* Decodes one UTF-8 character: its length, 0 if it is not one. */
static size_t decode(const unsigned char *p, size_t left, unsigned *c)
{
    static const unsigned min[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (n == 0 || n > left || p[0] > 0xf4)
        return 0;
    *c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *c = *c << 6 | (p[i] & 0x3f);
    }
    return *c < min[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff) ? 0 : n;
}

/* Characters that a terminal would act on instead of showing them. */
static bool acts(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0x061c ||
           c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb);
}

void show_text(FILE *out, svl_slice text)
{
    const unsigned char *p = text.data;
    for (size_t i = 0; i < text.len;) {
        unsigned c = 0;
        size_t n = decode(p + i, text.len - i, &c);
        if (n == 0)
            fprintf(out, "\\x%02x", p[i]);
        else if (c == '\t')
            fputc(' ', out);
        else if (c == '\\')
            fputs("\\\\", out);
        else if (acts(c))
            fprintf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        else
            fwrite(p + i, 1, n, out);
        i += n ? n : 1;
    }
}

static void show_time(FILE *out, int64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / NS_PER_S);
    struct tm t;
    char text[64];
    if (!gmtime_r(&seconds, &t) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &t) == 0)
        fprintf(out, "%lld", (long long)time_ns);
    else
        fprintf(out, "%s", text);
}

static const char *severity_name(uint32_t severity)
{
    static const char *const names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
    return severity == 0 || severity > SVL_SEVERITY_MAX ? "-" : names[(severity - 1) / 4];
}

void show_record(FILE *out, const svl_record *record)
{
    fprintf(out, "%10llu  ", (unsigned long long)record->id);
    show_time(out, record->time_ns);
    fprintf(out, "  %-5s  ", severity_name(record->severity));
    show_text(out, record->source);
    if (record->key.len > 0) {
        fputs(" [", out);
        show_text(out, record->key);
        fputc(']', out);
    }
    fputs("  ", out);
    show_text(out, record->body);
    fputc('\n', out);
}

static void json_text(FILE *out, svl_slice text)
{
    const unsigned char *p = text.data;
    fputc('"', out);
    for (size_t i = 0; i < text.len;) {
        unsigned c = 0;
        size_t n = decode(p + i, text.len - i, &c);
        if (n == 0)
            fputs("\\ufffd", out);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", (int)c);
        else if (acts(c))
            fprintf(out, "\\u%04x", c);
        else
            fwrite(p + i, 1, n, out);
        i += n ? n : 1;
    }
    fputc('"', out);
}

static void json_attribute(FILE *out, const svl_attribute *a)
{
    json_text(out, a->name);
    fputc(':', out);
    if (a->kind == SVL_ATTRIBUTE_I64)
        fprintf(out, "%lld", (long long)a->i64);
    else if (a->kind == SVL_ATTRIBUTE_BOOL)
        fputs(a->i64 ? "true" : "false", out);
    else if (a->kind == SVL_ATTRIBUTE_F64 && isfinite(a->f64))
        fprintf(out, "%.17g", a->f64);
    else if (a->kind == SVL_ATTRIBUTE_F64)
        fputs("null", out);
    else
        json_text(out, a->bytes);
}

void show_record_json(FILE *out, const svl_record *record)
{
    fprintf(out, "{\"id\":%llu,\"time_ns\":%lld,\"ingest_ns\":%lld,\"severity\":%u,\"source\":",
            (unsigned long long)record->id, (long long)record->time_ns,
            (long long)record->ingest_ns, record->severity);
    json_text(out, record->source);
    fputs(",\"type\":", out);
    json_text(out, record->type);
    fputs(",\"key\":", out);
    json_text(out, record->key);
    fputs(",\"attributes\":{", out);
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        if (i > 0)
            fputc(',', out);
        json_attribute(out, &record->attributes[i]);
    }
    fputs("},\"body\":", out);
    json_text(out, record->body);
    fputs("}\n", out);
}

int show_end(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    perror("standard output");
    return -1;
}

const char *show_bytes(uint64_t bytes, char out[32])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double n = (double)bytes;
    int unit = 0;
    for (; n >= 1024 && unit < 4; unit++)
        n /= 1024;
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}
