#pragma once
// libevent's headers define _GNU_SOURCE while the Glibc module is built without it; reading
// features.h first keeps both views of `fd_set` the same, or a clean build fails.
#include <features.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
// The Glibc module leaves these two headers out.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

// glibc shows these two under _GNU_SOURCE only; the labels bind to them whether or not they are declared.
int fermata_accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags) __asm__("accept4");
int fermata_set_thread_name(unsigned long thread, const char *name) __asm__("pthread_setname_np");
