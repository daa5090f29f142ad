-- What the module of examples/lua promises beyond what its programs show.
--
--     luajit binding.lua DIRECTORY_OF_THE_EXAMPLE
package.path = arg[1] .. "/?.lua;" .. package.path
local serverlog = require("serverlog")
local svl = serverlog.svl
local tests = {}

function tests.record_comes_back_as_it_was_given(log)
    local number = -4611686018427387904LL
    log:publish({
        source = "a", type = "b", key = "c\195\169", body = "d\0e", time_ns = 1732412345123456789LL,
        severity = svl.SVL_SEVERITY_WARN,
        attributes = { text = "caf\195\169", whole = number, part = 0.5, yes = true },
    })
    log:flush()
    local first = log:query():step(0)[1]
    assert(first.id == 1 and first.time_ns == 1732412345123456789LL and first.severity == svl.SVL_SEVERITY_WARN)
    assert(first.source == "a" and first.type == "b" and first.key == "c\195\169" and first.body == "d\0e")
    local given = first.attributes
    assert(given.text == "caf\195\169" and given.whole == number and given.part == 0.5 and given.yes == true)
end

function tests.error_has_words_and_an_outcome_only_its_own(log, folder)
    local ok, words = pcall(log.publish, log, { key = ("k"):rep(481) })
    assert(not ok and words:match("^key too long: "), words)
    local small = serverlog.open(folder .. "/small", {
        full_policy = svl.SVL_FULL_FAIL,
        ring_bytes = 65536,
        store = { record_bytes_max = 4096 },
    })
    repeat
        ok, words = pcall(small.publish, small, { body = ("x"):rep(4000) })
    until not ok
    assert(words == "no space in the ring", words)
    small:close()
    ok, words = pcall(serverlog.read, folder .. "/none")
    assert(not ok and words:match("there is no store at"), words)
end

function tests.cursor_and_consumer_end_with_the_pipeline(log)
    local following, consumer = log:follow({ tail = 0 }), log:consumer({ name = "waits" })
    local batch, why = consumer:poll(0)
    assert(batch == nil and why == "again" and #following:step(0) == 0)
    log:publish({ source = "a", body = "last" })
    batch = consumer:poll(10000)
    assert(#batch.records == 1 and batch.records[1].body == "last" and batch.attempt == 1)
    batch:ack()
    assert(not pcall(batch.ack, batch))
    log:stop()
    assert(following:step(0)[1].body == "last" and following:step(0) == nil)
    batch, why = consumer:poll(10000)
    assert(batch == nil and why == "closed")
    following:close()
    consumer:close()
end

for name, test in pairs(tests) do
    local folder = io.popen("mktemp -d"):read("*l")
    local log = serverlog.open(folder .. "/store")
    local ok, problem = pcall(test, log, folder)
    log:close()
    os.execute("rm -rf '" .. folder .. "'")
    assert(ok, name .. ": " .. tostring(problem))
    print("passed: " .. name)
end
