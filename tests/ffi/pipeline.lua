-- A pipeline through serverlog.cdef.h and LuaJIT: published, found by key and by time.
--
--     luajit pipeline.lua CDEF LIBRARY
local ffi = require("ffi")
local cdef, library = unpack(arg)

ffi.cdef(assert(io.open(cdef)):read("*a"))
local svl = ffi.load(library)
local RECORDS, KEYS = 100000, 50
local START_NS, SECOND_NS = 1700000000000000000LL, 1000000000LL

local function check(rc)
    if rc ~= svl.SVL_OK then
        error(rc .. ": " .. ffi.string(svl.svl_last_error()), 2)
    end
end

-- For text that is referenced until the library has copied it: here, constants.
local function set(slice, text)
    slice.data, slice.len = ffi.cast("const char *", text), #text
end

-- A text made for one record: in memory of its own, which the collector does not take while it is lent.
local function fill(buffer, slice, text)
    assert(#text <= ffi.sizeof(buffer))
    ffi.copy(buffer, text, #text)
    slice.data, slice.len = buffer, #text
end

-- Record `i` is of second `i`, under key i modulo KEYS; its body is `i`.
local function publish(log)
    local record, key, body = ffi.new("svl_record"), ffi.new("char[64]"), ffi.new("char[64]")
    set(record.source, "lua")
    record.severity = svl.SVL_SEVERITY_INFO
    for i = 0, RECORDS - 1 do
        record.time_ns = START_NS + i * SECOND_NS
        fill(key, record.key, "key-" .. i % KEYS)
        fill(body, record.body, tostring(i))
        check(svl.svl_publish(log, record))
    end
end

local function find(store, set_conditions)
    local query = ffi.new("svl_query")
    check(svl.svl_query_init(query, ffi.sizeof(query)))
    set_conditions(query)
    local cursor, record = ffi.new("svl_cursor *[1]"), ffi.new("const svl_record *[1]")
    check(svl.svl_store_query(store, query, cursor))
    local found, rc = {}, nil
    repeat
        rc = svl.svl_cursor_next(cursor[0], 0, record)
        if rc == svl.SVL_OK then
            local body = record[0].body
            found[#found + 1] = tonumber(ffi.string(body.data, body.len))
        end
    until rc ~= svl.SVL_OK
    assert(rc == svl.SVL_E_END, rc)
    svl.svl_cursor_close(cursor[0])
    return found
end

local function check_what_is_found(store)
    local everything = find(store, function() end)
    assert(#everything == RECORDS, #everything)
    for i = 1, RECORDS do
        assert(everything[i] == i - 1)
    end
    local by_key = find(store, function(query)
        query.key_kind = svl.SVL_KEY_EXACT
        set(query.key_low, "key-7")
    end)
    assert(#by_key == RECORDS / KEYS, #by_key)
    for i, number in ipairs(by_key) do
        assert(number == 7 + (i - 1) * KEYS)
    end
    local by_time = find(store, function(query)
        query.time_min_ns = START_NS + 100 * SECOND_NS
        query.time_max_ns = START_NS + 110 * SECOND_NS
    end)
    assert(#by_time == 10 and by_time[1] == 100 and by_time[10] == 109)
end

local function run(path)
    local log = ffi.new("svl_pipeline *[1]")
    assert(svl.svl_open("", nil, log) ~= svl.SVL_OK and #ffi.string(svl.svl_last_error()) > 0)
    for opening = 1, 2 do
        check(svl.svl_open(path, nil, log))
        check(svl.svl_start(log[0]))
        if opening == 1 then
            publish(log[0])
            check(svl.svl_flush(log[0], 60000))
        end
        check_what_is_found(svl.svl_pipeline_store(log[0]))
        check(svl.svl_close(log[0]))
    end
end

local folder = io.popen("mktemp -d"):read("*l")
local ok, problem = pcall(run, folder .. "/store")
os.execute("rm -rf '" .. folder .. "'")
assert(ok, problem)
print(RECORDS .. " records")
