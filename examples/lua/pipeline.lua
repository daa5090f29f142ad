-- pipeline.lua - a shop's orders: published, billed by a consumer, watched by a follower, looked up.
--
--     luajit pipeline.lua STORE
--
-- Three coroutines take turns; when none has anything to do, all wait in poll(2) for the consumer's descriptor. Says
-- what it did, and ends with 1 if anything is not as it should be.
package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local ffi = require("ffi")
local serverlog = require("serverlog")
local svl = serverlog.svl

local ORDERS, CUSTOMERS = 100000, 100
local WATCHED = "customer-7"
local REFUSED = ORDERS / 2 + 7 -- the bank takes this order only the third time
local FOLLOW_INTERVAL_MS = 20 -- as the library's sync_interval_ms: what is durable is seen soon after

ffi.cdef([[
struct pollfd { int fd; short events; short revents; };
struct timespec { long tv_sec; long tv_nsec; };
int poll(struct pollfd *files, unsigned long n, int timeout_ms);
int clock_gettime(int clock, struct timespec *now);
]])
local CLOCK_REALTIME, POLLIN = 0, 1

local function now_ns()
    local now = ffi.new("struct timespec")
    ffi.C.clock_gettime(CLOCK_REALTIME, now)
    return now.tv_sec * 1000000000LL + now.tv_nsec
end

-- Order i is of microsecond i.
local function publish(log, begin_ns)
    for i = 0, ORDERS - 1 do
        log:publish({
            source = "shop.orders",
            type = "ordered",
            key = "customer-" .. i % CUSTOMERS,
            body = "order " .. i,
            severity = svl.SVL_SEVERITY_INFO,
            time_ns = begin_ns + i * 1000,
            attributes = { number = i },
        })
        if i % 500 == 0 then
            coroutine.yield(true)
        end
    end
    log:flush()
    print("published " .. ORDERS .. " orders")
    return true
end

-- The batch's orders but those of an earlier run, each with its place; and which of them is refused.
local function orders_of(batch, begin_ns)
    local orders, refused = {}, nil
    for i, record in ipairs(batch.records) do
        if record.time_ns >= begin_ns then
            orders[#orders + 1] = { at = i, number = tonumber(record.attributes.number) }
            refused = orders[#orders].number == REFUSED and #orders or refused
        end
    end
    return orders, refused
end

-- Bills each order once. The one that is refused is failed alone, then with its whole batch, then taken.
local function bill(consumer, begin_ns)
    local billed, n, batches, seen = {}, 0, 0, 0
    while n < ORDERS do
        local batch, why = consumer:poll(0)
        if batch then
            local orders, refused = orders_of(batch, begin_ns)
            local take = #orders
            batches, seen = batches + 1, seen + (refused and 1 or 0)
            if refused and seen == 1 then
                batch:fail(orders[refused].at, "the bank is away")
                take = refused - 1
            end
            if refused and seen == 2 then
                batch:nack("the bank is away")
                take = 0
            else
                batch:ack()
            end
            for i = 1, take do
                n = n + (billed[orders[i].number] and 0 or 1)
                billed[orders[i].number] = true
            end
        end
        assert(why ~= "closed", "stopped before all orders were billed")
        coroutine.yield(batch ~= nil)
    end
    print(("billed %d orders in %d batches; order %d came %d times"):format(n, batches, REFUSED, seen))
    return seen == 3
end

local function watch(cursor)
    local n, records = 0, cursor:step(0)
    while records and n < ORDERS / CUSTOMERS do
        for _, record in ipairs(records) do
            n = n + (record.key == WATCHED and 1 or 0)
        end
        coroutine.yield(#records > 0)
        records = cursor:step(0)
    end
    cursor:close()
    print(("followed %d orders of %s"):format(n, WATCHED))
    return n == ORDERS / CUSTOMERS
end

local function look_up(log, begin_ns)
    local of_key, of_time = 0, 0
    for record in log:query({ key = WATCHED, time_min_ns = begin_ns }):records() do
        assert(record.key == WATCHED)
        of_key = of_key + 1
    end
    local second = { source = "shop.orders", time_min_ns = begin_ns + 1000000, time_max_ns = begin_ns + 2000000 }
    for record in log:query(second):records() do
        assert(record.body == "order " .. 1000 + of_time)
        of_time = of_time + 1
    end
    print(("found %d orders of %s, %d of the second millisecond"):format(of_key, WATCHED, of_time))
    return of_key == ORDERS / CUSTOMERS and of_time == 1000
end

-- Gives each coroutine its turn until all have ended. A turn yields whether it got anything done.
local function run(tasks, fd)
    local is_right = true
    local waiting = ffi.new("struct pollfd[1]", { { fd = fd, events = POLLIN } })
    while #tasks > 0 do
        local is_busy = false
        for i = #tasks, 1, -1 do
            local ok, result = coroutine.resume(tasks[i])
            assert(ok, result)
            is_busy = is_busy or result
            if coroutine.status(tasks[i]) == "dead" then
                is_right = is_right and result
                table.remove(tasks, i)
            end
        end
        if not is_busy then
            ffi.C.poll(waiting, 1, FOLLOW_INTERVAL_MS)
        end
    end
    return is_right
end

local function task(body, ...)
    local given, n = { ... }, select("#", ...)
    return coroutine.create(function()
        return body(unpack(given, 1, n))
    end)
end

local function main(path)
    local begin_ns = now_ns()
    local log = serverlog.open(path)
    local ok, result = pcall(function()
        local consumer = log:consumer({
            name = "billing",
            filter = { source = "shop.orders" },
            start_at = svl.SVL_START_EARLIEST,
            batch_records_max = 1000,
            retry_base_ms = 10,
        })
        local tasks = {
            task(watch, log:follow({ key = WATCHED })),
            task(bill, consumer, begin_ns),
            task(publish, log, begin_ns),
        }
        local is_right = run(tasks, consumer.fd)
        consumer:close()
        return look_up(log, begin_ns) and is_right
    end)
    local closed, trouble = pcall(log.close, log)
    if not (ok and closed) then
        error(ok and trouble or result, 0)
    end
    print("closed")
    assert(result, "these are not the numbers that were published")
end

if #arg ~= 1 then
    io.stderr:write("usage: luajit pipeline.lua STORE\n")
    os.exit(2)
end
local ok, problem = pcall(main, arg[1])
if not ok then
    io.stderr:write("pipeline.lua: " .. tostring(problem) .. "\n")
    os.exit(1)
end
