#pragma once
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Swift does not see what a macro makes of a function-like macro.
static const uint64_t fermata_tls_no_renegotiation = SSL_OP_NO_RENEGOTIATION;
// The two are casts in a macro.
static const unsigned long fermata_tls_system_error = (unsigned long)ERR_SYSTEM_FLAG;
