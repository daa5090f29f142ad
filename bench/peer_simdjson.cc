// peer_simdjson.cc - simdjson's DOM parser, kept from document to document as its documentation advises; the text is
// copied into a buffer with the padding that it needs, made once.
#include <simdjson.h>

#include <cstring>
#include <new>

#include "bench.h"
#include "bench_config.h"

namespace
{

constexpr size_t document_bytes_max = 64 << 10;

struct parser {
    simdjson::dom::parser dom;
    char text[document_bytes_max + simdjson::SIMDJSON_PADDING];
};

void *parser_open()
{
    return new (std::nothrow) parser();
}

int parse(void *p, const char *text, size_t len)
{
    parser *me = static_cast<parser *>(p);
    if (len > document_bytes_max)
        return bench_fail("the document is longer than the buffer");
    std::memcpy(me->text, text, len);
    simdjson::dom::element root;
    bool ok =
        me->dom.parse(me->text, len, false).get(root) == simdjson::SUCCESS && root.is_object();
    return ok ? 0 : bench_fail("simdjson refuses a document");
}

void parser_close(void *p)
{
    delete static_cast<parser *>(p);
}

const char *version()
{
    return BENCH_SIMDJSON_VERSION;
}

const parser_ops ops = { parser_open, parse, parser_close };

} // namespace

extern "C" {
extern const peer peer_simdjson;
const peer peer_simdjson = { .name = "simdjson",
                             .title = "simdjson DOM",
                             .is_ours = false,
                             .is_program = false,
                             .is_here = nullptr,
                             .version = version,
                             .queue = nullptr,
                             .store = nullptr,
                             .parser = &ops };
}
