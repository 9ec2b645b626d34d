-- Requests for wrk: `wrk ... -s requests.lua URL -- MODE PATH RATE HEADER...`, MODE one of keep, close, upload.
--
-- With a RATE above 0 (requests per second over all connections) the requests leave on a schedule of random
-- arrivals, as from many independent clients (a Poisson process): each takes the next place, waits for it, and goes at
-- once if it is past.  With 0, a connection sends its next request as soon as it has the answer.  One thread (-t1) only.
--
-- Each request has the HEADERs and a traceparent.  The path's query and the trace id differ from request to request, so
-- that nobody gains from remembering whole heads.  The last line printed is the result as JSON.

local fixed, close, number, uploads
local mode, path

local function schedule(rate)
   local ffi = require("ffi")
   ffi.cdef("typedef struct { long s; long ns; } load_time; int clock_gettime(int clock, load_time *now);")
   local time = ffi.new("load_time")
   local function now_ms()
      ffi.C.clock_gettime(1, time)
      return tonumber(time.s) * 1e3 + tonumber(time.ns) / 1e6
   end
   local place = now_ms()
   math.randomseed(4711)
   function delay()
      place = place - math.log(1 - math.random()) * 1e3 / rate
      return math.max(0, math.floor(place - now_ms() + 0.5))
   end
end

function init(args)
   mode, path = args[1], args[2]
   if tonumber(args[3]) > 0 then
      schedule(tonumber(args[3]))
   end
   number = 0
   fixed = " HTTP/1.1\r\n" .. table.concat(args, "\r\n", 4) .. "\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e"
   close = mode == "close" and "\r\nConnection: close" or ""
   if mode == "upload" then
      local body = string.rep("0123456789abcdef", 65536)
      uploads = {}
      for i = 0, 7 do
         uploads[i] = table.concat({
            "POST ", path, "?item=", i, fixed, string.format("%06x-00f067aa0ba902b7-01", i),
            "\r\nContent-Type: application/octet-stream\r\nContent-Length: ", #body, "\r\n\r\n", body,
         })
      end
   end
end

function request()
   number = number + 1
   if uploads then
      return uploads[number % 8]
   end
   return "GET " .. path .. "?item=" .. number .. fixed
      .. string.format("%06x-00f067aa0ba902b7-01", number % 0x1000000) .. close .. "\r\n\r\n"
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "duration_s": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "failed_connections": %d, ' ..
      '"failed_statuses": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
