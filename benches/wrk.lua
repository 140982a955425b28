-- Asks with each header line of a file in turn, and says what came of it in one line for load.py.
local requests, at = {}, 0

function init(words)
    for line in io.lines(words[1]) do
        local name, value = line:match("^([^:]+): (.*)$")
        requests[#requests + 1] = wrk.format("GET", nil, { [name] = value })
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
        latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
