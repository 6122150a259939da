#pragma once
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Swift does not see what a macro makes of a function-like macro.
static const uint64_t fermata_tls_no_renegotiation = SSL_OP_NO_RENEGOTIATION;
static const uint64_t fermata_tls_no_ticket = SSL_OP_NO_TICKET;
// A name as RFC 2253 writes it, which is one as RFC 4514 does: a macro of macros.
static const unsigned long fermata_tls_name_format = XN_FLAG_RFC2253;
// The two are casts in a macro.
static const unsigned long fermata_tls_system_error = (unsigned long)ERR_SYSTEM_FLAG;
