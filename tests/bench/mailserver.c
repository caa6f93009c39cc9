/* MX hosts for load tests: SMTP with STARTTLS on every address of 127.0.0.0/8, by a table.
 *
 *     mailserver FILE PORT LATENCY_MS PROCESSES MAX_SECONDS
 *
 * FILE begins with an intermediate certificate that every host sends after its own; then one record
 * for each host, in order of address: address, behaviour, certificate and private key (DER). Which
 * host a connection is for is seen from its destination address.
 *
 * - Every answer, TLS flights included, leaves LATENCY_MS after what it answers: one round trip.
 * - Behaviours: 0 good, 1 accepts and says nothing, 2 offers no STARTTLS, 3 greets with 421.
 * - PROCESSES share the listener. An address that is in no record is closed at once and counted.
 *
 * The listener takes connections from the loopback interface only. Prints "ready PORT"; then, for
 * each line on standard input, its counts since the last time as JSON. Ends when standard input
 * ends, its parent dies, or MAX_SECONDS are over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GOOD, SILENT, NO_STARTTLS, GREETS_421 };
enum { LINE_OCTETS = 1024, MAX_DESCRIPTORS = 65536 };

struct host {
    const uint8_t *certificate, *key;
    uint32_t address;
    uint16_t certificate_length, key_length;
    uint8_t behaviour;
};

struct connection {
    SSL *ssl;
    BIO *in, *out;
    uint32_t host, generation;
    int fd, handshaking, secured, line_length;
    char line[LINE_OCTETS];
};

struct delayed {
    double due;
    int fd; /* -1 in a batch that was flushed */
    uint32_t generation, length;
    uint8_t *data; /* NULL: close */
};

/* Shared by all processes; counted with atomics. */
struct counts {
    uint64_t connections, handshakes, failed_handshakes, strangers, commands, cpu_microseconds;
    int64_t open, most_open;
};

static struct host *hosts;
static uint32_t host_count;
static uint32_t *contacts; /* connections to each host, shared */
static struct counts *counts;
static X509 *intermediate;
static SSL_CTX *context;
static struct connection *connections[MAX_DESCRIPTORS];
static uint32_t generations;
static int listener, poller, processes;
static double latency;
static struct delayed *queue;
static size_t head, queued, capacity;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *shared(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) die("mmap");
    return p;
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void load(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) die(path);
    const uint8_t *p = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) die("mmap");
    const uint8_t *end = p + status.st_size;
    const unsigned char *der = p + 2;
    intermediate = d2i_X509(NULL, &der, get16(p));
    if (!intermediate) die("intermediate certificate");
    p += 2 + get16(p);
    size_t room = 1024;
    hosts = malloc(room * sizeof *hosts);
    while (p + 9 <= end) {
        if (host_count == room) hosts = realloc(hosts, (room *= 2) * sizeof *hosts);
        if (!hosts) die("realloc");
        struct host *h = &hosts[host_count++];
        h->address = (uint32_t)get16(p) << 16 | get16(p + 2);
        h->behaviour = p[4];
        h->certificate_length = get16(p + 5);
        h->key_length = get16(p + 7);
        h->certificate = p + 9;
        h->key = h->certificate + h->certificate_length;
        p = h->key + h->key_length;
    }
    contacts = shared((host_count + 1) * sizeof *contacts);
    counts = shared(sizeof *counts);
}

static int compare(const void *key, const void *item) {
    uint32_t wanted = *(const uint32_t *)key, found = ((const struct host *)item)->address;
    return wanted < found ? -1 : wanted > found;
}

static void hang_up(struct connection *c) {
    connections[c->fd] = NULL;
    close(c->fd);
    SSL_free(c->ssl);
    free(c);
    __atomic_sub_fetch(&counts->open, 1, __ATOMIC_RELAXED);
}

static int send_now(struct connection *c, const uint8_t *data, size_t length) {
    if (data && send(c->fd, data, length, MSG_NOSIGNAL) == (ssize_t)length) return 1;
    hang_up(c);
    return 0;
}

/* Send, or close where data is NULL, one latency from now. Returns whether c is still there. */
static int later(struct connection *c, const uint8_t *data, size_t length) {
    if (latency <= 0) return send_now(c, data, length);
    if (queued == capacity) {
        size_t size = capacity ? capacity * 2 : 1024;
        struct delayed *items = malloc(size * sizeof *items);
        if (!items) die("malloc");
        for (size_t i = 0; i < queued; i++) items[i] = queue[(head + i) % capacity];
        free(queue);
        queue = items;
        head = 0;
        capacity = size;
    }
    struct delayed *d = &queue[(head + queued++) % capacity];
    *d = (struct delayed){now() + latency, c->fd, c->generation, (uint32_t)length, NULL};
    if (data) {
        d->data = malloc(length);
        if (!d->data) die("malloc");
        memcpy(d->data, data, length);
    }
    return 1;
}

static void flush(double moment) {
    while (queued && queue[head].due <= moment) {
        struct delayed d = queue[head];
        head = (head + 1) % capacity;
        queued--;
        struct connection *c = connections[d.fd];
        if (c && c->generation == d.generation) send_now(c, d.data, d.length);
        free(d.data);
    }
}

static int flush_tls(struct connection *c) {
    static uint8_t data[32768];
    int length = BIO_read(c->out, data, sizeof data);
    return length > 0 ? later(c, data, (size_t)length) : 1;
}

static int say(struct connection *c, const char *text) {
    if (!c->secured) return later(c, (const uint8_t *)text, strlen(text));
    SSL_write(c->ssl, text, (int)strlen(text));
    return flush_tls(c);
}

static int start_tls(struct connection *c) {
    struct host *h = &hosts[c->host];
    const unsigned char *key = h->key;
    c->ssl = SSL_new(context);
    EVP_PKEY *private = d2i_AutoPrivateKey(NULL, &key, h->key_length);
    if (!c->ssl || !private || !SSL_use_certificate_ASN1(c->ssl, h->certificate, h->certificate_length) ||
        !SSL_use_PrivateKey(c->ssl, private) || !SSL_add1_chain_cert(c->ssl, intermediate)) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    EVP_PKEY_free(private);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    c->handshaking = 1;
    return later(c, (const uint8_t *)"220 2.0.0 Ready to start TLS\r\n", 30);
}

/* Answer one command line. Returns whether the connection is still there. */
static int obey(struct connection *c, const char *line) {
    __atomic_add_fetch(&counts->commands, 1, __ATOMIC_RELAXED);
    int offered = !c->secured && hosts[c->host].behaviour != NO_STARTTLS;
    if (!strncasecmp(line, "EHLO", 4))
        return say(c, offered ? "250-mx.load.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n"
                                "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
                              : "250-mx.load.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n"
                                "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
    if (!strncasecmp(line, "STARTTLS", 8) && offered) return start_tls(c);
    if (!strncasecmp(line, "QUIT", 4)) {
        if (!say(c, "221 2.0.0 Bye\r\n")) return 0;
        if (c->secured) {
            SSL_shutdown(c->ssl);
            if (!flush_tls(c)) return 0;
        }
        return later(c, NULL, 0);
    }
    if (!strncasecmp(line, "HELO", 4) || !strncasecmp(line, "NOOP", 4) || !strncasecmp(line, "RSET", 4))
        return say(c, "250 2.0.0 Ok\r\n");
    return say(c, "502 5.5.2 Error: command not recognized\r\n");
}

static void take_text(struct connection *c, const char *data, int length) {
    for (int i = 0; i < length; i++) {
        if (data[i] != '\n') {
            if (c->line_length < LINE_OCTETS - 1) c->line[c->line_length++] = data[i];
            continue;
        }
        c->line[c->line_length] = 0;
        c->line_length = 0;
        int in_clear = !c->ssl;
        if (!obey(c, c->line)) return;
        if (in_clear && c->ssl) return; /* what follows STARTTLS in the clear is not looked at */
    }
}

static void take_tls(struct connection *c, const uint8_t *data, int length) {
    BIO_write(c->in, data, length);
    if (c->handshaking) {
        int result = SSL_do_handshake(c->ssl);
        if (result != 1 && SSL_get_error(c->ssl, result) != SSL_ERROR_WANT_READ) {
            __atomic_add_fetch(&counts->failed_handshakes, 1, __ATOMIC_RELAXED);
            ERR_clear_error();
            if (flush_tls(c)) later(c, NULL, 0);
            return;
        }
        if (!flush_tls(c) || result != 1) return;
        c->handshaking = 0;
        c->secured = 1;
        __atomic_add_fetch(&counts->handshakes, 1, __ATOMIC_RELAXED);
    }
    char text[4096];
    int got = SSL_read(c->ssl, text, sizeof text), fd = c->fd;
    uint32_t generation = c->generation;
    if (got > 0) take_text(c, text, got);
    if (connections[fd] && connections[fd]->generation == generation) flush_tls(c);
    ERR_clear_error();
}

static void serve(int fd) {
    static uint8_t data[16384];
    struct connection *c = connections[fd];
    if (!c) return;
    ssize_t got = recv(fd, data, sizeof data, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) hang_up(c);
        return;
    }
    if (c->ssl)
        take_tls(c, data, (int)got);
    else
        take_text(c, (const char *)data, (int)got);
}

static void welcome(void) {
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
        if (fd < 0) return;
        struct sockaddr_in local;
        socklen_t size = sizeof local;
        getsockname(fd, (struct sockaddr *)&local, &size);
        uint32_t address = ntohl(local.sin_addr.s_addr);
        struct host *h = bsearch(&address, hosts, host_count, sizeof *hosts, compare);
        struct connection *c = h && fd < MAX_DESCRIPTORS ? calloc(1, sizeof *c) : NULL;
        if (!c) {
            __atomic_add_fetch(&counts->strangers, 1, __ATOMIC_RELAXED);
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        c->host = (uint32_t)(h - hosts);
        c->generation = ++generations;
        connections[fd] = c;
        __atomic_add_fetch(&contacts[c->host], 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&counts->connections, 1, __ATOMIC_RELAXED);
        int64_t open = __atomic_add_fetch(&counts->open, 1, __ATOMIC_RELAXED);
        if (open > counts->most_open) counts->most_open = open; /* near enough */
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        if (h->behaviour == GREETS_421)
            say(c, "421 4.3.2 Too busy\r\n");
        else if (h->behaviour != SILENT)
            say(c, "220 mx.load.test ESMTP\r\n");
    }
}

static void count_cpu(void) {
    static uint64_t counted;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    uint64_t total = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
                     (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    __atomic_add_fetch(&counts->cpu_microseconds, total - counted, __ATOMIC_RELAXED);
    counted = total;
}

static void work(void) {
    struct epoll_event events[256];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    for (unsigned round = 0;; round++) {
        int timeout = 200;
        if (queued) {
            double rest = (queue[head].due - now()) * 1000;
            timeout = rest <= 0 ? 0 : (int)rest + 1;
        }
        int count = epoll_wait(poller, events, 256, timeout);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                welcome();
            else
                serve(events[i].data.fd);
        }
        flush(now());
        if (!count || round % 64 == 0) count_cpu();
    }
}

static void report(void) {
    uint64_t contacted = 0, most = 0;
    for (uint32_t i = 0; i < host_count; i++) {
        contacted += contacts[i] > 0;
        if (contacts[i] > most) most = contacts[i];
        contacts[i] = 0;
    }
    printf("{\"connections\": %lu, \"handshakes\": %lu, \"failed_handshakes\": %lu, \"strangers\": %lu, "
           "\"commands\": %lu, \"hosts_contacted\": %lu, \"most_connections_to_a_host\": %lu, "
           "\"most_open\": %ld, \"cpu_seconds_total\": %.3f}\n",
           counts->connections, counts->handshakes, counts->failed_handshakes, counts->strangers,
           counts->commands, contacted, most, counts->most_open,
           (double)counts->cpu_microseconds / 1e6);
    fflush(stdout);
    counts->connections = counts->handshakes = counts->failed_handshakes = 0;
    counts->strangers = counts->commands = 0;
    counts->most_open = counts->open;
}

static void open_listener(uint16_t port) {
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0) die("bind to lo");
    if (bind(listener, (struct sockaddr *)&address, size) < 0) die("bind");
    if (listen(listener, 4096) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("ready %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: mailserver FILE PORT LATENCY_MS PROCESSES MAX_SECONDS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    latency = atof(argv[3]) / 1000;
    processes = atoi(argv[4]);
    load(argv[1]);
    context = SSL_CTX_new(TLS_server_method());
    if (!context) die("SSL_CTX_new");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    open_listener((uint16_t)atoi(argv[2]));
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            fclose(stdin);
            work();
        }
    alarm((unsigned)atoi(argv[5]));
    char line[256];
    while (read(0, line, sizeof line) > 0) report();
    return 0;
}
