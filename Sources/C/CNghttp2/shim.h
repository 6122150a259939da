#pragma once
// As in CLibevent: nghttp2 pulls in system headers whose view of `fd_set` must be that of the Glibc module.
#include <features.h>
#include <nghttp2/nghttp2.h>
