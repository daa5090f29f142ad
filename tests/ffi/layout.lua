-- LuaJIT reads serverlog.cdef.h as it is, and agrees with the C compiler on every size, offset and constant.
--
--     luajit layout.lua CDEF LIBRARY LAYOUT_PROGRAM
local ffi = require("ffi")
local cdef, library, layout = unpack(arg)

ffi.cdef(assert(io.open(cdef)):read("*a"))
local svl = ffi.load(library)
local facts = 0
for line in assert(io.popen(layout)):lines() do
    local kind, name, a, b = line:match("^(%S+) (%S+) (%S+) ?(%S*)")
    local here
    if kind == "size" then
        here = ffi.sizeof(name)
    elseif kind == "member" then
        here, a = ffi.offsetof(name, a), b
    else
        here = svl[name]
    end
    assert(here == tonumber(a), line .. ", here " .. tostring(here))
    facts = facts + 1
end
assert(facts > 100, facts)
print(facts .. " facts")
