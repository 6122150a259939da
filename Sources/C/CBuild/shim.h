#pragma once
// The commit that the program is built from. Package.swift passes the variable FERMATA_COMMIT on as a macro, so that no
// file has to be generated.
#ifndef FERMATA_COMMIT
#define FERMATA_COMMIT "unknown"
#endif
static inline const char *fermata_commit(void) { return FERMATA_COMMIT; }
