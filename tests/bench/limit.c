/* The least that the work of a scan costs in C, with the system's OpenSSL, for comparison.
 *
 *     limit probe ADDRESSES.txt PORT THREADS   one STARTTLS probe of each address
 *     limit verify COUNT                       so many checks of one ECDSA P-256 signature
 *
 * A probe is what danewatch does too: connect, greeting, EHLO, STARTTLS, handshake, the chain as
 * DER, EHLO and QUIT over TLS; nothing is judged. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_ADDRESSES = 1 << 20, LINE = 4096 };

static char (*addresses)[16];
static int address_count, port;
static atomic_int following, done, secured;
static atomic_long octets;
static SSL_CTX *context;

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Read until the last line of a reply (RFC 5321 section 4.2.1); return its code, or 0. */
static int reply(int fd, SSL *ssl) {
    char text[LINE];
    size_t used = 0;
    while (used < sizeof text - 1) {
        ssize_t got = ssl ? SSL_read(ssl, text + used, (int)(sizeof text - 1 - used))
                          : recv(fd, text + used, sizeof text - 1 - used, 0);
        if (got <= 0) return 0;
        used += (size_t)got;
        text[used] = 0;
        if (text[used - 1] != '\n') continue;
        char *last = used > 1 ? memrchr(text, '\n', used - 1) : NULL;
        last = last ? last + 1 : text;
        if (last[3] == ' ') return atoi(last);
    }
    return 0;
}

static int say(int fd, const char *text) {
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static void secure(int fd) {
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "mx1.load.test");
    if (SSL_connect(ssl) == 1) {
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
        for (int i = 0; i < sk_X509_num(chain); i++) {
            unsigned char *der = NULL;
            octets += i2d_X509(sk_X509_value(chain, i), &der);
            OPENSSL_free(der);
        }
        secured++;
        if (SSL_write(ssl, "EHLO load.test\r\n", 16) > 0 && reply(fd, ssl) &&
            SSL_write(ssl, "QUIT\r\n", 6) > 0)
            reply(fd, ssl);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static void probe(const char *address) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address, &peer.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct timeval patience = {5, 0};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0 && reply(fd, NULL) == 220 &&
        say(fd, "EHLO load.test\r\n") && reply(fd, NULL) == 250 && say(fd, "STARTTLS\r\n") &&
        reply(fd, NULL) == 220)
        secure(fd);
    close(fd);
    done++;
}

static void *work(void *unused) {
    for (int i = following++; i < address_count; i = following++) probe(addresses[i]);
    return unused;
}

static int probe_all(const char *path, int threads) {
    FILE *file = fopen(path, "r");
    addresses = calloc(MAX_ADDRESSES, sizeof *addresses);
    if (!file || !addresses) return 1;
    while (address_count < MAX_ADDRESSES && fscanf(file, "%15s", addresses[address_count]) == 1)
        address_count++;
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_security_level(context, 0);
    pthread_t all[256];
    if (threads > 256) threads = 256;
    for (int i = 0; i < threads; i++) pthread_create(&all[i], NULL, work, NULL);
    for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
    printf("{\"probes\": %d, \"secured\": %d, \"octets\": %ld, \"cpu_seconds\": %.6f}\n", (int)done,
           (int)secured, (long)octets, cpu_seconds());
    return 0;
}

static int verify_many(int count) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    unsigned char data[180], signature[80];
    size_t length = sizeof signature;
    memset(data, 7, sizeof data);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!key || !EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key) ||
        !EVP_DigestSign(digest, signature, &length, data, sizeof data))
        return 1;
    double begun = cpu_seconds();
    int good = 0;
    for (int i = 0; i < count; i++) {
        EVP_MD_CTX_reset(digest);
        EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key);
        good += EVP_DigestVerify(digest, signature, length, data, sizeof data) == 1;
    }
    printf("{\"verifications\": %d, \"cpu_seconds\": %.6f}\n", good, cpu_seconds() - begun);
    return good != count;
}

int main(int argc, char **argv) {
    if (argc == 5 && !strcmp(argv[1], "probe")) {
        port = atoi(argv[3]);
        return probe_all(argv[2], atoi(argv[4]));
    }
    if (argc == 3 && !strcmp(argv[1], "verify")) return verify_many(atoi(argv[2]));
    fprintf(stderr, "usage: limit probe ADDRESSES PORT THREADS | limit verify COUNT\n");
    return 2;
}
