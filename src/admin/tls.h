/* The certificate and key of the admin port. */
#ifndef FM_TLS_H
#define FM_TLS_H

#include "conf.h"
#include "err.h"

/* The texts of the files (PEM); NULL: the port speaks plain HTTP. */
struct tls {
    char *cert, *key;
};

/* Reads what conf names; nothing when it names none. false with a message. */
bool tls_read(struct tls *out, const struct conf *conf, struct err *err);
bool tls_copy(struct tls *out, const struct tls *from);
void tls_fini(struct tls *t);

bool tls_is_same(const struct tls *a, const struct tls *b);

#endif
