-- One chat of 600 bytes for wrk, whole or as a stream (BENCH_STREAM=1), and a line to read.

local function body(stream)
    local frame = '{"model":"demo","stream":' .. stream
        .. ',"messages":[{"role":"user","content":"%s"}]}'
    local text = ("Tell me of the sea. "):rep(30)
    return frame:format(text:sub(1, 600 - #frame + 2))
end

wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-demo"
wrk.body = body(os.getenv("BENCH_STREAM") == "1" and "true" or "false")

function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(("RESULT %d %d %d %d\n"):format(
        summary.requests, summary.duration, failed, latency:percentile(99)))
end
