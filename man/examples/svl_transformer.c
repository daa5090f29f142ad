#include <serverlog.h>
#include <stdio.h>
#include <string.h>

/* Shows what of an order a shop's people want to read. */
int show(const char *event)
{
    static const char text[] =
        "{\"InputPathsMap\": {\"id\": \"$.detail.order.id\", \"first\": \"$.detail.items[0]\"},"
        " \"InputTemplate\": \"order <id> begins with <first>\"}";
    svl_transformer *transformer;
    int rc = svl_transformer_compile(text, strlen(text), &transformer, NULL);
    if (rc != SVL_OK)
        return rc;
    char out[1000];
    size_t needed;
    rc = svl_transformer_apply_json(transformer, event, strlen(event), NULL, out, sizeof out,
                                    &needed);
    if (rc == SVL_OK && needed < sizeof out)
        puts(out);
    svl_transformer_destroy(transformer);
    return rc;
}
