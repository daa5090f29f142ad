// simdjson.cc - simdjson's DOM parser, kept from document to document; the text is copied into a buffer with
// the padding that it needs, made once.
#include <simdjson.h>

#include <cstring>
#include <new>

#include "rules.h"

namespace
{

struct parser {
    simdjson::dom::parser dom;
    char text[(64 << 10) + simdjson::SIMDJSON_PADDING];
};

} // namespace

void *simdjson_open(void)
{
    return new (std::nothrow) parser();
}

int simdjson_parse(void *p, const char *text, size_t len)
{
    parser *me = static_cast<parser *>(p);
    if (len + simdjson::SIMDJSON_PADDING > sizeof me->text)
        return -1;
    std::memcpy(me->text, text, len);
    simdjson::dom::element root;
    return me->dom.parse(me->text, len, false).get(root) == simdjson::SUCCESS ? 0 : -1;
}

void simdjson_close(void *p)
{
    delete static_cast<parser *>(p);
}
