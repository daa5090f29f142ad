-- spool.lua - lines, each kept under a key that a pattern finds in it, and found again by that key.
--
--     luajit spool.lua add STORE PATTERN   stores the lines of standard input; the key is the pattern's first
--                                          capture (else the whole match), lines without one have none
--     luajit spool.lua find STORE KEY      prints the lines of a key
--     luajit spool.lua top STORE [COUNT]   prints the keys with the most lines
--
-- So a web server's log by client: luajit spool.lua add web.store '^%S+' < access.log
-- What the threads of a program may do: README.md.
local ffi = require("ffi")

local TIMEOUT_MS = 10000
local BATCH = 1000

-- Where the library's pkg-config file says that it is.
local function installed(variable, file)
    local pipe = io.popen("pkg-config --variable=" .. variable .. " serverlog")
    local folder = pipe:read("*l")
    pipe:close()
    return assert(folder, "libserverlog is not installed") .. "/" .. file
end

local cdef = os.getenv("SERVERLOG_CDEF") or installed("includedir", "serverlog/serverlog.cdef.h")
local library = os.getenv("SERVERLOG_LIBRARY") or installed("libdir", "libserverlog.so.0")
ffi.cdef(assert(io.open(cdef)):read("*a"))
local svl = ffi.load(library)

local function check(rc)
    if rc ~= svl.SVL_OK then
        local words = ffi.string(svl.svl_last_error())
        error(words ~= "" and words or ffi.string(svl.svl_strerror(rc)), 0)
    end
end

-- Lends text to the library until the next call, in memory of its own: a Lua string that nothing refers to any
-- more may be collected while the library still reads it.
local function lender()
    local buffer, size = nil, -1
    return function(slice, text)
        if #text > size then
            size = math.max(#text, 2 * size)
            buffer = ffi.new("char[?]", size + 1)
        end
        ffi.copy(buffer, text, #text)
        slice.data, slice.len = buffer, #text
    end
end

local function text_of(slice)
    return ffi.string(slice.data, slice.len)
end

-- The pattern's first capture is the key, or, without captures, what it matches.
local function add(path, pattern)
    local log, record = ffi.new("svl_pipeline *[1]"), ffi.new("svl_record")
    local lend_source, lend_key, lend_body = lender(), lender(), lender()
    check(svl.svl_open(path, nil, log))
    local ok, problem = pcall(function()
        check(svl.svl_start(log[0]))
        lend_source(record.source, "spool")
        for line in io.lines() do
            lend_key(record.key, (line:match(pattern) or ""):sub(1, 480))
            lend_body(record.body, line)
            check(svl.svl_publish(log[0], record)) -- a full ring: waits here, as this program may
        end
        check(svl.svl_flush(log[0], TIMEOUT_MS))
    end)
    local closed = svl.svl_close(log[0])
    if not ok then
        error(problem, 0)
    end
    check(closed)
end

-- Calls `see` with each record that the query finds; it is borrowed until `see` returns.
local function query(path, set_conditions, see)
    local options, conditions = ffi.new("svl_store_options"), ffi.new("svl_query")
    local store, cursor = ffi.new("svl_store *[1]"), ffi.new("svl_cursor *[1]")
    local records, n = ffi.new("const svl_record *[1]"), ffi.new("size_t[1]")
    check(svl.svl_store_options_init(options, ffi.sizeof(options)))
    check(svl.svl_query_init(conditions, ffi.sizeof(conditions)))
    options.flags = svl.SVL_STORE_NO_CREATE
    set_conditions(conditions)
    check(svl.svl_store_open(path, options, store))
    local ok, problem = pcall(function()
        check(svl.svl_store_query(store[0], conditions, cursor))
        local rc = svl.svl_cursor_next_many(cursor[0], 0, BATCH, records, n)
        while rc == svl.SVL_OK do
            for i = 0, tonumber(n[0]) - 1 do
                see(records[0][i])
            end
            rc = svl.svl_cursor_next_many(cursor[0], 0, BATCH, records, n)
        end
        if rc ~= svl.SVL_E_END then
            check(rc)
        end
    end)
    svl.svl_cursor_close(cursor[0])
    svl.svl_store_close(store[0])
    if not ok then
        error(problem, 0)
    end
end

local function find(path, key)
    local lend_key = lender()
    query(path, function(conditions)
        conditions.key_kind = svl.SVL_KEY_EXACT
        lend_key(conditions.key_low, key)
    end, function(record)
        print(text_of(record.body))
    end)
end

local function top(path, count)
    local lines, keys = {}, {}
    query(path, function() end, function(record)
        local key = text_of(record.key)
        if key ~= "" and not lines[key] then
            lines[key], keys[#keys + 1] = 0, key
        end
        if key ~= "" then
            lines[key] = lines[key] + 1
        end
    end)
    table.sort(keys, function(a, b)
        return lines[a] > lines[b] or (lines[a] == lines[b] and a < b)
    end)
    for i = 1, math.min(tonumber(count) or 10, #keys) do
        print(lines[keys[i]], keys[i])
    end
end

local commands = { add = add, find = find, top = top }
local command = commands[arg[1]]
if not command or not arg[2] or (command ~= top and not arg[3]) then
    io.stderr:write("usage: spool.lua add STORE PATTERN | find STORE KEY | top STORE [COUNT]\n")
    os.exit(2)
end
local ok, problem = pcall(command, arg[2], arg[3])
if not ok then
    io.stderr:write("spool.lua: " .. tostring(problem) .. "\n")
    os.exit(1)
end
