#pragma once

// The C library's allocator, beyond what the standard has: to give free memory back (malloc_trim(3)).
#include <malloc.h>
