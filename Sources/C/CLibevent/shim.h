#pragma once
// libevent's headers define _GNU_SOURCE while the Glibc module is built without it; reading
// features.h first keeps both views of `fd_set` the same, or a clean build fails.
#include <features.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
