vcl 4.1;

# Varnish 7 in front of Nearcast: one request to the origin for each object, however many viewers; bytes go on as they come.
# How to run it, and which parameters belong to it: README.md beside this file. A test runs this very file.

import std;

backend nearcast {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    # A blocked playlist, a hinted part: the origin answers when they exist.
    .first_byte_timeout = 45s;
    # A segment asked for ahead has its head at once and its first byte when it begins: two long GOPs, or the time that a
    # broadcaster may be away.
    .between_bytes_timeout = 45s;
    .probe = {
        .url = "/healthz";
        .interval = 2s;
        .timeout = 1s;
        .window = 5;
        .threshold = 3;
        .initial = 3;
    }
}

sub vcl_recv {
    set req.backend_hint = nearcast;
    unset req.http.Proxy;

    # The operator's own addresses stay behind the edge.
    if (req.url ~ "^/metrics") {
        return (synth(404));
    }
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }

    if (req.url ~ "^/(live|vod)/") {
        # Nothing in such a request belongs to one viewer; whatever could split the cache goes.
        unset req.http.Cookie;
        unset req.http.Authorization;
        unset req.http.Cache-Control;
        unset req.http.Pragma;
        if (req.url ~ "^[^?]*\.m3u8") {
            # Only what the origin looks at, in one order.
            if (req.url ~ "\?") {
                set req.url = regsuball(req.url, "(?<=[?&])(?!_HLS_(msn|part|skip)=|announce=)[^&]*(&|$)", "");
                set req.url = regsub(std.querysort(req.url), "[?&]+$", "");
            }
        } else {
            set req.url = regsub(req.url, "\?.*$", "");
            unset req.http.Accept-Encoding;
        }
        return (hash);
    }
    if (req.url ~ "^/assets/") {
        unset req.http.Cookie;
        return (hash);
    }
    return (pass);
}

sub vcl_hash {
    # The same object under every host name.
    if (req.url ~ "^/(live|vod|assets)/") {
        hash_data(req.url);
        return (lookup);
    }
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}

sub vcl_backend_response {
    if (bereq.url !~ "^/(live|vod|assets)/") {
        return (deliver);
    }
    unset beresp.http.Set-Cookie;
    # The default, and the point of it all.
    set beresp.do_stream = true;
    # A playlist that is a second too old is worse than a question to the origin.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (!beresp.http.Cache-Control) {
        set beresp.ttl = 1s;
    }
    if (beresp.status >= 400) {
        # What is missing now may exist in a second. Never longer, and never a hit-for-miss: that would end the
        # collapsing of requests for this address for two minutes.
        if (beresp.ttl > 1s || beresp.ttl <= 0s) {
            set beresp.ttl = 1s;
        }
        if (beresp.status >= 500 || beresp.status == 400) {
            set beresp.ttl = 0.1s;
        }
    } elsif (beresp.ttl <= 0s) {
        set beresp.ttl = 0.1s;
    }
    # Without the built-in rules, for the same reason.
    return (deliver);
}

sub vcl_backend_error {
    # The origin is away: said at once, forgotten at once.
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Retry-After = "1";
    set beresp.ttl = 0.1s;
    set beresp.grace = 0s;
    set beresp.body = "the origin does not answer";
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.X-Varnish;
    unset resp.http.Via;
}
