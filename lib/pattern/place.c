/* place.c - paths, and what is told about them. */
#include "place.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json_scan.h"
#include "base/options.h"

#define NAME_SHOWN_MAX 200
#define PLACE_STEP_MAX (NAME_SHOWN_MAX + 8)

void svl__place_init(struct place *place)
{
    *place = (struct place){ .rule = { "", 0 } };
}

void svl__place_free(struct place *place)
{
    svl__buffer_free(&place->steps);
}

static int enter(struct place *place, struct place_step step)
{
    svl__buffer_append(&place->steps, &step, sizeof step);
    return place->steps.failed ? SVL_E_NOMEM : SVL_OK;
}

int svl__place_enter(struct place *place, svl_slice name)
{
    return enter(place, (struct place_step){ .name = name });
}

int svl__place_enter_index(struct place *place, uint64_t index)
{
    return enter(place, (struct place_step){ .index = index });
}

void svl__place_leave(struct place *place)
{
    place->steps.len -= sizeof(struct place_step);
}

/* A name that can stand behind a dot. */
static int is_plain(svl_slice name)
{
    const char *p = name.data;
    for (size_t i = 0; i < name.len; i++)
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
              (p[i] >= '0' && p[i] <= '9') || p[i] == '_' || p[i] == '-' || p[i] == '$'))
            return 0;
    return name.len > 0;
}

/* Cuts a text in front of the character that did not fit whole. */
static void cut_to_characters(char *text, size_t len)
{
    size_t at = len;
    while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
        at--;
    if (at == 0)
        return;
    unsigned char lead = (unsigned char)text[at - 1];
    size_t wanted = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (len - (at - 1) < wanted)
        text[at - 1] = 0;
}

/* Behind a dot where its name is plain, once decoded; else as it was written. */
static int write_step(const struct place_step *step, char out[PLACE_STEP_MAX])
{
    uint8_t decoded[NAME_SHOWN_MAX];
    struct json_text rest = { step->name.data, step->name.len, true };
    if (!step->name.data)
        return snprintf(out, PLACE_STEP_MAX, "[%llu]", (unsigned long long)step->index);
    svl_slice name = { decoded, svl__json_decode(&rest, decoded, sizeof decoded) };
    if (rest.len == 0 && is_plain(name))
        return snprintf(out, PLACE_STEP_MAX, ".%.*s", (int)name.len, (const char *)name.data);
    const uint8_t *written = step->name.data;
    size_t shown = step->name.len;
    if (shown > NAME_SHOWN_MAX) /* and no part of a character */
        for (shown = NAME_SHOWN_MAX; (written[shown] & 0xc0) == 0x80;)
            shown--;
    return snprintf(out, PLACE_STEP_MAX, "[\"%.*s\"]", (int)shown, (const char *)step->name.data);
}

/* Steps that do not fit are left out at the end, and three dots say so. */
static void write_path(const struct place *place, char *out, size_t capacity)
{
    const struct place_step *steps = (const void *)place->steps.data;
    size_t n = place->steps.len / sizeof *steps, at = 1;
    memcpy(out, "$", 2);
    for (size_t i = 0; i < n; i++) {
        char step[PLACE_STEP_MAX];
        int len = write_step(&steps[i], step);
        if (at + (size_t)len + 4 > capacity) {
            memcpy(out + at, "...", 4);
            return;
        }
        memcpy(out + at, step, (size_t)len + 1);
        at += (size_t)len;
    }
}

static void write_words(char *out, size_t capacity, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void write_words(char *out, size_t capacity, const char *format, va_list arguments)
{
    int len = vsnprintf(out, capacity, format, arguments);
    if (len >= (int)capacity)
        cut_to_characters(out, capacity - 1);
}

int svl__place_fail(struct place *place, int code, size_t offset, const char *format, ...)
{
    svl_pattern_error *error = &place->error;
    va_list arguments;
    va_start(arguments, format);
    write_words(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    error->offset = offset;
    write_path(place, error->path, sizeof error->path);
    if (place->rule.len > 0)
        return svl__fail(code, "rule \"%.*s\", %.160s, byte %zu: %s",
                         (int)(place->rule.len < 100 ? place->rule.len : 100),
                         (const char *)place->rule.data, error->path, offset, error->message);
    return svl__fail(code, "%.160s, byte %zu: %s", error->path, offset, error->message);
}

void svl__place_warn(struct place *place, size_t offset, const char *format, ...)
{
    svl_pattern_error *error = &place->error;
    if (error->warnings++ > 0)
        return;
    char path[128];
    write_path(place, path, sizeof path);
    int at = snprintf(error->warning, sizeof error->warning, "%s: ", path);
    va_list arguments;
    va_start(arguments, format);
    write_words(error->warning + at, sizeof error->warning - (size_t)at, format, arguments);
    va_end(arguments);
    error->warning_offset = offset;
}

int svl__place_check(const svl_pattern_error *where)
{
    if (where && (where->struct_size < sizeof *where || where->struct_size % 8 != 0))
        return svl__fail(SVL_E_STRUCT_SIZE,
                         "svl_pattern_error has struct_size %u; set it to sizeof",
                         where->struct_size);
    return SVL_OK;
}

int svl__place_report(struct place *place, int rc, svl_pattern_error *where)
{
    if (!where)
        return rc;
    place->error.code = rc;
    if (rc != SVL_OK && place->error.message[0] == 0)
        svl_last_error_copy(place->error.message, sizeof place->error.message);
    int filled = svl__options_fill(where, &place->error, sizeof place->error, sizeof place->error,
                                   "svl_pattern_error");
    return rc == SVL_OK ? filled : rc;
}
