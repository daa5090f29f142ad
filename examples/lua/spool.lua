-- spool.lua - lines, each kept under a key that a pattern finds in it, and found again by that key.
--
--     luajit spool.lua add STORE PATTERN   stores the lines of standard input; the key is the pattern's first
--                                          capture (else the whole match), lines without one have none
--     luajit spool.lua find STORE KEY      prints the lines of a key
--     luajit spool.lua top STORE [COUNT]   prints the keys with the most lines
--
-- So a web server's log by client: luajit spool.lua add web.store '^%S+' < access.log
-- What the threads of a program may do: README.md.
package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local serverlog = require("serverlog")

local KEY_BYTES_MAX = 480

-- The pattern's first capture is the key, or, without captures, what it matches.
local function add(path, pattern)
    local log = serverlog.open(path)
    local ok, problem = pcall(function()
        for line in io.lines() do
            local key = (line:match(pattern) or ""):sub(1, KEY_BYTES_MAX)
            log:publish({ source = "spool", key = key, body = line }) -- a full ring: waits here, as this program may
        end
        log:flush()
    end)
    local closed, trouble = pcall(log.close, log)
    if not (ok and closed) then
        error(ok and trouble or problem, 0)
    end
end

-- Calls `see` with each record that the conditions find.
local function query(path, conditions, see)
    local store = serverlog.read(path)
    local ok, problem = pcall(function()
        for record in store:query(conditions):records() do
            see(record)
        end
    end)
    store:close()
    if not ok then
        error(problem, 0)
    end
end

local function find(path, key)
    query(path, { key = key }, function(record)
        print(record.body)
    end)
end

local function top(path, count)
    local lines, keys = {}, {}
    query(path, {}, function(record)
        local key = record.key
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
