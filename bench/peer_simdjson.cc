// peer_simdjson.cc - simdjson's DOM parser, kept from document to document as its documentation advises, on text with
// the padding that it needs. Its On-Demand parser does not look at what nobody asks for.
#include <simdjson.h>

#include <new>

#include "bench.h"
#include "bench_config.h"

namespace
{

static_assert(PARSE_PADDING >= simdjson::SIMDJSON_PADDING, "what it may read behind a document");

void *parser_open()
{
    return new (std::nothrow) simdjson::dom::parser();
}

int parse(void *p, const char *text, size_t len)
{
    simdjson::dom::parser *me = static_cast<simdjson::dom::parser *>(p);
    simdjson::dom::element root;
    bool ok = me->parse(text, len, false).get(root) == simdjson::SUCCESS && root.is_object();
    return ok ? 0 : bench_fail("simdjson refuses a document");
}

void parser_close(void *p)
{
    delete static_cast<simdjson::dom::parser *>(p);
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
