/* options.c - sized structs, checked. */
#include "options.h"

#include <string.h>

#include "bytes.h"
#include "error.h"

/* Far above any struct to come: a size beyond it is not a size but garbage. */
#define STRUCT_SIZE_MAX 4096

static int check_size(size_t size, size_t first_size, const char *name)
{
    if (size < first_size || size > STRUCT_SIZE_MAX || size % 8 != 0)
        return svl__fail(
            SVL_E_STRUCT_SIZE,
            "%s has struct_size %zu; set it to sizeof, by its init function where there is one",
            name, size);
    return SVL_OK;
}

int svl__options_init(void *options, size_t size, size_t first_size, const char *name)
{
    if (!options)
        return svl__fail(SVL_E_INVALID, "%s is NULL", name);
    int rc = check_size(size, first_size, name);
    if (rc != SVL_OK)
        return rc;
    memset(options, 0, size);
    store_u32(options, (uint32_t)size);
    return SVL_OK;
}

int svl__options_copy(void *to, size_t to_size, const void *options, size_t first_size,
                      const char *name)
{
    memset(to, 0, to_size);
    if (!options)
        return SVL_OK;
    size_t size = load_u32(options);
    int rc = check_size(size, first_size, name);
    if (rc != SVL_OK)
        return rc;
    const uint8_t *bytes = options;
    for (size_t i = to_size; i < size; i++)
        if (bytes[i] != 0)
            return svl__fail(SVL_E_STRUCT_SIZE,
                             "%s sets a member that this version does not know; it has %zu bytes",
                             name, to_size);
    memcpy(to, options, size < to_size ? size : to_size);
    return SVL_OK;
}

int svl__options_fill(void *out, const void *from, size_t from_size, size_t first_size,
                      const char *name)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "%s is NULL", name);
    size_t size = load_u32(out);
    int rc = check_size(size, first_size, name);
    if (rc != SVL_OK)
        return rc;
    size_t n = size < from_size ? size : from_size;
    memcpy(out, from, n);
    memset((uint8_t *)out + n, 0, size - n);
    store_u32(out, (uint32_t)size);
    return SVL_OK;
}
