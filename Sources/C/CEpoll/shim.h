#pragma once

// For the relay that the bench compares with. The program itself waits with libevent.
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

// Not declared without _GNU_SOURCE, which Swift's module of the C library is built without. 04000: O_NONBLOCK.
static inline int fermata_accept(int listener) { return (int)syscall(SYS_accept4, listener, 0, 0, 04000); }
