-- Each request of wrk's has a key of its own.
local key = 0
request = function()
  key = key + 1
  return wrk.format("GET", wrk.path .. "?key=" .. key)
end
