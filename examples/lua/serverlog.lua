-- serverlog.lua - libserverlog as a Lua module: publish, query, follow, pull.
--
--     local log = serverlog.open("app.store")
--     log:publish({ source = "shop.orders", key = "order-17", body = "paid" })
--     for record in log:query({ key = "order-17" }):records() do ... end
--     local consumer = log:consumer({ name = "billing" })
--     local batch = consumer:poll(1000)
--     batch:ack()
--     log:close()
--
-- Options, conditions and records have the names of the C structs' members; a string stands for a slice. Ids and times
-- are 64-bit numbers of LuaJIT's. The library never calls into Lua. What the threads of a program may do: README.md.
local ffi = require("ffi")

local ROWS = 1000 -- at most, of a step of a cursor
local TIMEOUT_MS = 10000

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

-- What an error() of this module says: words that begin otherwise are of an earlier failure, as outcomes, such as
-- SVL_E_TIMEOUT, have none.
local function words_of(rc)
    local short, words = ffi.string(svl.svl_strerror(rc)), ffi.string(svl.svl_last_error())
    return words:sub(1, #short) == short and words or short
end

local function check(rc)
    if rc ~= svl.SVL_OK then
        error(words_of(rc), 0)
    end
end

local function text_of(slice)
    return ffi.string(slice.data, slice.len)
end

-- The strings are lent, not copied: whoever calls holds on to the table that they are from.
local function lend(slice, text)
    slice.data, slice.len = ffi.cast("const char *", text), #text
end

local function to_attributes(values)
    local n = 0
    for _ in pairs(values) do
        n = n + 1
    end
    local array, i = ffi.new("svl_attribute[?]", n), 0
    for name, value in pairs(values) do
        local attribute = array[i]
        lend(attribute.name, name)
        if type(value) == "string" then
            attribute.kind = svl.SVL_ATTRIBUTE_TEXT
            lend(attribute.bytes, value)
        elseif type(value) == "boolean" then
            attribute.kind, attribute.i64 = svl.SVL_ATTRIBUTE_BOOL, value and 1 or 0
        elseif type(value) == "cdata" or value % 1 == 0 then
            attribute.kind, attribute.i64 = svl.SVL_ATTRIBUTE_I64, value
        else
            attribute.kind, attribute.f64 = svl.SVL_ATTRIBUTE_F64, value
        end
        i = i + 1
    end
    return array, n
end

-- Sets members of a struct by their names. `made` holds what had to be made for it, until the library's call.
local function fill(struct, values, made)
    for name, value in pairs(values) do
        if name == "attributes" then
            made.attributes, struct.attribute_count = to_attributes(value)
            struct.attributes = made.attributes
        elseif name == "store" then
            made.store = ffi.new("svl_store_options")
            check(svl.svl_store_options_init(made.store, ffi.sizeof(made.store)))
            fill(made.store, value, made)
            struct.store = made.store
        elseif ffi.istype("svl_slice", struct[name]) then
            lend(struct[name], value)
        elseif type(value) == "table" then
            fill(struct[name], value, made)
        else
            struct[name] = value
        end
    end
end

local function value_of(attribute)
    if attribute.kind == svl.SVL_ATTRIBUTE_TEXT or attribute.kind == svl.SVL_ATTRIBUTE_BYTES then
        return text_of(attribute.bytes)
    elseif attribute.kind == svl.SVL_ATTRIBUTE_F64 then
        return attribute.f64
    elseif attribute.kind == svl.SVL_ATTRIBUTE_BOOL then
        return attribute.i64 ~= 0
    end
    return attribute.i64
end

-- A record of Lua's own, from one that the library lends.
local function from_record(row)
    local attributes = {}
    for i = 0, row.attribute_count - 1 do
        attributes[text_of(row.attributes[i].name)] = value_of(row.attributes[i])
    end
    return {
        id = row.id,
        time_ns = row.time_ns,
        ingest_ns = row.ingest_ns,
        severity = row.severity,
        source = text_of(row.source),
        type = text_of(row.type),
        key = text_of(row.key),
        body = text_of(row.body),
        attributes = attributes,
    }
end

local function from_rows(rows, n)
    local records = {}
    for i = 0, tonumber(n) - 1 do
        records[i + 1] = from_record(rows[i])
    end
    return records
end

-- What a query finds. Close it, or go to its end.
local Cursor = {}
Cursor.__index = Cursor

local function query(store, conditions, flags)
    local struct, out, made = ffi.new("svl_query"), ffi.new("svl_cursor *[1]"), {}
    check(svl.svl_query_init(struct, ffi.sizeof(struct)))
    for name, value in pairs(conditions or {}) do
        if name == "key" or name == "key_prefix" then -- short for conditions on the key
            struct.key_kind = name == "key" and svl.SVL_KEY_EXACT or svl.SVL_KEY_PREFIX
            lend(struct.key_low, value)
        else
            fill(struct, { [name] = value }, made)
        end
    end
    struct.flags = flags
    check(svl.svl_store_query(store, struct, out))
    return setmetatable({
        cursor = out[0],
        rows = ffi.new("const svl_record *[1]"),
        n = ffi.new("size_t[1]"),
    }, Cursor)
end

-- The next records; an empty table: not now; nil: no more.
function Cursor:step(timeout_ms)
    local rc = svl.svl_cursor_next_many(self.cursor, timeout_ms, ROWS, self.rows, self.n)
    if rc == svl.SVL_E_TIMEOUT or rc == svl.SVL_E_AGAIN then
        return {}
    elseif rc == svl.SVL_E_END or rc == svl.SVL_E_CLOSED then
        return nil
    end
    check(rc)
    return from_rows(self.rows[0], self.n[0])
end

-- For `for ... in`: one record after the other.
function Cursor:records()
    local records, i = {}, 0
    return function()
        i = i + 1
        while records and i > #records do
            records, i = self:step(TIMEOUT_MS), 1
        end
        if not records then
            self:close()
            return nil
        end
        return records[i]
    end
end

function Cursor:close()
    svl.svl_cursor_close(self.cursor)
    self.cursor = nil
end

-- Records to work on, as a consumer was given them: ack() or nack() it, in time.
local Batch = {}
Batch.__index = Batch

-- records[i] and what is behind it come again; what is before it is done with ack().
function Batch:fail(i, reason)
    check(svl.svl_batch_fail(self.batch, i - 1, reason))
end

-- records[i] can never be done: a dead letter.
function Batch:reject(i, reason)
    check(svl.svl_batch_reject(self.batch, i - 1, reason))
end

function Batch:ack()
    local batch = self.batch
    self.batch = nil
    check(svl.svl_batch_ack(batch))
end

-- All of it comes again.
function Batch:nack(reason, code)
    local batch = self.batch
    self.batch = nil
    check(svl.svl_batch_nack(batch, code or svl.SVL_FAIL, reason))
end

-- Its `fd` is for poll(2) or an event loop: readable while a poll() would not wait.
local Consumer = {}
Consumer.__index = Consumer

-- The next batch; nil, "again": not now; nil, "closed": the pipeline was stopped.
function Consumer:poll(timeout_ms)
    local rc = svl.svl_consumer_poll(self.consumer, timeout_ms, self.out)
    if rc == svl.SVL_E_AGAIN or rc == svl.SVL_E_TIMEOUT then
        return nil, "again"
    elseif rc == svl.SVL_E_CLOSED then
        return nil, "closed"
    end
    check(rc)
    local batch, rows, n = self.out[0], ffi.new("const svl_record *[1]"), ffi.new("size_t[1]")
    check(svl.svl_batch_records(batch, rows, n))
    return setmetatable({
        batch = batch,
        records = from_rows(rows[0], n[0]),
        attempt = svl.svl_batch_attempt(batch),
    }, Batch)
end

function Consumer:close()
    local consumer = self.consumer
    self.consumer = nil
    check(svl.svl_consumer_close(consumer))
end

-- Reads a store that another process may write meanwhile.
local Store = {}
Store.__index = Store

function Store:query(conditions)
    return query(self.store, conditions, 0)
end

-- What becomes durable from now on, behind the last `tail` records.
function Store:follow(conditions)
    return query(self.store, conditions, bit.bor(svl.SVL_QUERY_FOLLOW, svl.SVL_QUERY_TAIL))
end

function Store:close()
    local store = self.store
    self.store = nil
    check(svl.svl_store_close(store))
end

-- A pipeline, on a store that is this process's alone.
local Pipeline = setmetatable({}, { __index = Store })
Pipeline.__index = Pipeline

-- It outlives the process from now on; full_policy says what becomes of it in a full ring.
function Pipeline:publish(record)
    local struct, made = ffi.new("svl_record"), {}
    fill(struct, record, made)
    local rc = svl.svl_publish(self.pipeline, struct)
    made.attributes = nil -- referred to up to here
    check(rc)
end

function Pipeline:consumer(options)
    local struct, out, fd = ffi.new("svl_stored_options"), ffi.new("svl_consumer *[1]"), ffi.new("int[1]")
    check(svl.svl_stored_options_init(struct, ffi.sizeof(struct)))
    fill(struct, options, {})
    check(svl.svl_consumer_open(self.pipeline, struct, out))
    local consumer = setmetatable({ consumer = out[0], out = ffi.new("svl_batch *[1]") }, Consumer)
    check(svl.svl_consumer_fd(out[0], fd))
    consumer.fd = fd[0]
    return consumer
end

-- All that was published before is safe against power loss.
function Pipeline:flush(timeout_ms)
    check(svl.svl_flush(self.pipeline, timeout_ms or TIMEOUT_MS))
end

-- Stores what was published and takes no more: cursors that follow end, and consumers.
function Pipeline:stop(timeout_ms)
    check(svl.svl_stop(self.pipeline, timeout_ms or TIMEOUT_MS))
end

function Pipeline:close()
    local pipeline = self.pipeline
    self.pipeline, self.store = nil, nil
    check(svl.svl_close(pipeline))
end

local serverlog = { svl = svl, check = check }

-- A pipeline on the store in directory `path`, started.
function serverlog.open(path, options)
    local struct, out, made = ffi.new("svl_options"), ffi.new("svl_pipeline *[1]"), {}
    check(svl.svl_options_init(struct, ffi.sizeof(struct)))
    fill(struct, options or {}, made)
    check(svl.svl_open(path, struct, out))
    made.store = nil -- referred to up to here
    local rc = svl.svl_start(out[0])
    if rc ~= svl.SVL_OK then
        local words = words_of(rc)
        svl.svl_close(out[0])
        error(words, 0)
    end
    return setmetatable({ pipeline = out[0], store = svl.svl_pipeline_store(out[0]) }, Pipeline)
end

-- The store in directory `path`, to read.
function serverlog.read(path)
    local options, out = ffi.new("svl_store_options"), ffi.new("svl_store *[1]")
    check(svl.svl_store_options_init(options, ffi.sizeof(options)))
    options.flags = svl.SVL_STORE_READ_ONLY
    check(svl.svl_store_open(path, options, out))
    return setmetatable({ store = out[0] }, Store)
end

return serverlog
