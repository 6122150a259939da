#pragma once
// As in CLibevent: hiredis pulls in system headers whose view of `fd_set` must be that of the Glibc module.
#include <features.h>
#include <hiredis/hiredis.h>
#include <hiredis/read.h>
