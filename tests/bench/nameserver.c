/* A name server for load tests: answers, like a validating resolver, from replies made beforehand.
 *
 *     nameserver FILE PORT LATENCY_MS SLOW_MS MAX_SECONDS [UNKNOWN_RCODE]
 *
 * FILE holds records of (key, flags, RCODE, EDE, counts, body); the key is the question's name in
 * lower case and its type, the body all that follows the question in the reply. Bodies were signed
 * by whoever made the file (load_zones.py), so nothing is computed here but the header:
 *
 * - with CD=1 the data are handed on as they are; with CD=0 bogus data become SERVFAIL and secure
 *   data carry AD (RFC 4035 section 3.2);
 * - a reply that does not fit the client's UDP size is truncated; TCP has it whole (pipelined);
 * - every reply is delayed by LATENCY_MS, those marked slow by SLOW_MS more.
 *
 * A record for a name that begins with an asterisk answers for every label in its place.
 * A question that is not in the file is counted, since the generator forgot it, and REFUSED, or
 * answered with UNKNOWN_RCODE: 3 is kinder to programs that ask for much that is not there.
 * Listens on 127.0.0.1 only. Prints "ready PORT"; then, for each line on standard input, its counts
 * since the last time as JSON. Ends when standard input ends, its parent dies, or MAX_SECONDS are
 * over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SECURE = 1, BOGUS = 2, SLOW = 4 };
enum { BATCH = 64, MAX_QUERY = 1024, MAX_REPLY = 65535, TCP_BUFFER = 8192, MAX_CONNECTIONS = 1024 };
enum { TYPE_OPT = 41, OWN_PAYLOAD = 1232, RECORD_HEADER = 14, MAX_UNKNOWN_SHOWN = 5 };

struct record {
    const uint8_t *key, *body;
    uint32_t body_length;
    uint16_t key_length, ede, answers, authorities;
    uint8_t flags, rcode;
};

struct delayed {
    double due;
    struct sockaddr_in client;
    int connection; /* -1: UDP */
    uint32_t generation, length;
    uint8_t *data;
};

struct queue {
    struct delayed *items;
    size_t head, count, capacity;
};

struct connection {
    int fd;
    uint32_t generation, length;
    uint8_t buffer[TCP_BUFFER];
};

static struct record *records;
static uint32_t *slots, slot_mask;
static int udp, listener, poller;
static struct connection connections[MAX_CONNECTIONS];
static struct queue normal, slow;
static double latency, slow_latency;
static unsigned unknown_rcode = 5;
static uint64_t queries, tcp_queries, truncated, refused, by_type[256];
static char unknown[MAX_UNKNOWN_SHOWN][300];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t hash(const uint8_t *data, size_t length) {
    uint32_t h = 2166136261u;
    while (length--) h = (h ^ *data++) * 16777619u;
    return h;
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void put16(uint8_t *p, unsigned value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void load(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) die(path);
    const uint8_t *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) die("mmap");
    const uint8_t *p = data, *end = data + status.st_size;
    size_t count = 0, capacity = 1024;
    records = malloc(capacity * sizeof *records);
    while (p + RECORD_HEADER <= end) {
        if (count == capacity) records = realloc(records, (capacity *= 2) * sizeof *records);
        if (!records) die("realloc");
        struct record *r = &records[count++];
        r->key_length = get16(p);
        r->flags = p[2];
        r->rcode = p[3];
        r->ede = get16(p + 4);
        r->answers = get16(p + 6);
        r->authorities = get16(p + 8);
        r->body_length = (uint32_t)get16(p + 10) << 16 | get16(p + 12);
        r->key = p + RECORD_HEADER;
        r->body = r->key + r->key_length;
        p = r->body + r->body_length;
    }
    uint32_t size = 1024;
    while (size < count * 2) size *= 2;
    slot_mask = size - 1;
    slots = calloc(size, sizeof *slots);
    if (!slots) die("calloc");
    for (size_t i = 0; i < count; i++) {
        uint32_t at = hash(records[i].key, records[i].key_length) & slot_mask;
        while (slots[at]) at = (at + 1) & slot_mask;
        slots[at] = (uint32_t)i + 1;
    }
}

static const struct record *find(const uint8_t *key, size_t length) {
    uint32_t at = hash(key, length) & slot_mask;
    for (; slots[at]; at = (at + 1) & slot_mask) {
        const struct record *r = &records[slots[at] - 1];
        if (r->key_length == length && !memcmp(r->key, key, length)) return r;
    }
    return NULL;
}

static void note_unknown(const uint8_t *key, size_t length) {
    if (refused > MAX_UNKNOWN_SHOWN) return;
    char *out = unknown[refused - 1], *start = out;
    for (size_t i = 0; i + 2 < length && key[i]; i += key[i] + 1u) {
        for (unsigned j = 1; j <= key[i] && out - start < 270; j++) {
            uint8_t c = key[i + j];
            *out++ = (char)(c > 32 && c < 127 && c != '"' && c != '\\' ? c : '?');
        }
        *out++ = '.';
    }
    sprintf(out, " type %u", get16(key + length - 2));
}

/* Write the reply to query into reply and return its length; 0 for what deserves none. */
static size_t answer(const uint8_t *query, size_t length, int tcp, uint8_t *reply, int *is_slow) {
    *is_slow = 0;
    if (length < 17 || query[2] & 0x80 || get16(query + 4) != 1) return 0;
    uint8_t key[260];
    size_t at = 12, used = 0;
    while (at < length && query[at]) {
        size_t label = query[at];
        if (label > 63 || at + label + 1 >= length || used + label + 4 > 255) return 0;
        key[used++] = (uint8_t)label;
        for (at++; label--; at++) {
            uint8_t c = query[at];
            key[used++] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        }
    }
    key[used++] = 0;
    if (at + 5 > length) return 0;
    size_t question_end = at + 5;
    uint16_t type = get16(query + at + 1);
    put16(key + used, type);
    used += 2;
    queries++;
    tcp_queries += (uint64_t)tcp;
    by_type[type & 255]++;

    int edns = 0, want_dnssec = 0;
    size_t limit = 512;
    if (get16(query + 10) && question_end + 11 <= length && !query[question_end] &&
        get16(query + question_end + 1) == TYPE_OPT) {
        edns = 1;
        limit = get16(query + question_end + 3);
        if (limit < 512) limit = 512;
        if (limit > OWN_PAYLOAD) limit = OWN_PAYLOAD;
        want_dnssec = query[question_end + 7] & 0x80;
    }
    if (tcp) limit = MAX_REPLY;

    const struct record *r = find(key, used);
    if (!r && key[0]) { /* a record for any name in that place; its body points into no question */
        uint8_t any[260] = {1, '*'};
        size_t rest = used - 1 - key[0];
        memcpy(any + 2, key + 1 + key[0], rest);
        r = find(any, 2 + rest);
    }
    int checking = !(query[3] & 0x10);
    unsigned rcode = unknown_rcode, answers = 0, authorities = 0, ede = 0, ad = 0;
    const uint8_t *body = NULL;
    size_t body_length = 0;
    if (!r) {
        refused++;
        note_unknown(key, used);
    } else {
        *is_slow = r->flags & SLOW;
        rcode = r->rcode;
        ede = rcode == 2 ? r->ede : 0;
        if (checking && r->flags & BOGUS) {
            rcode = 2;
            ede = r->ede;
        } else {
            answers = r->answers;
            authorities = r->authorities;
            body = r->body;
            body_length = r->body_length;
            ad = checking && r->flags & SECURE && (want_dnssec || query[3] & 0x20);
        }
    }
    size_t opt = edns ? 11 + (ede ? 6 : 0) : 0;
    int cut = question_end + body_length + opt > limit;
    if (cut) {
        truncated++;
        answers = authorities = 0;
        body_length = 0;
    }
    memcpy(reply, query, question_end);
    reply[2] = (uint8_t)(0x80 | (query[2] & 0x79) | (cut ? 0x02 : 0));
    reply[3] = (uint8_t)(0x80 | (ad ? 0x20 : 0) | (query[3] & 0x10) | rcode);
    put16(reply + 6, answers);
    put16(reply + 8, authorities);
    put16(reply + 10, edns ? 1 : 0);
    size_t out = question_end;
    if (body_length) memcpy(reply + out, body, body_length);
    out += body_length;
    if (edns) {
        uint8_t *p = reply + out;
        memset(p, 0, 11);
        p[2] = TYPE_OPT;
        put16(p + 3, OWN_PAYLOAD);
        p[7] = want_dnssec ? 0x80 : 0;
        if (ede) {
            put16(p + 9, 6);
            put16(p + 11, 15); /* RFC 8914 section 2 */
            put16(p + 13, 2);
            put16(p + 15, ede);
        }
        out += opt;
    }
    return out;
}

static void push(struct queue *q, double due, const struct sockaddr_in *client, int connection,
                 const uint8_t *data, size_t length) {
    if (q->count == q->capacity) {
        size_t capacity = q->capacity ? q->capacity * 2 : 1024;
        struct delayed *items = malloc(capacity * sizeof *items);
        if (!items) die("malloc");
        for (size_t i = 0; i < q->count; i++) items[i] = q->items[(q->head + i) % q->capacity];
        free(q->items);
        q->items = items;
        q->head = 0;
        q->capacity = capacity;
    }
    struct delayed *d = &q->items[(q->head + q->count++) % q->capacity];
    d->due = due;
    d->connection = connection;
    if (client) d->client = *client;
    if (connection >= 0) d->generation = connections[connection].generation;
    d->length = (uint32_t)length;
    d->data = malloc(length);
    if (!d->data) die("malloc");
    memcpy(d->data, data, length);
}

static void hang_up(int index) {
    struct connection *c = &connections[index];
    close(c->fd);
    c->fd = -1;
    c->generation++;
    c->length = 0;
}

static void send_tcp(int index, const uint8_t *data, size_t length) {
    uint8_t framed[MAX_REPLY + 2];
    put16(framed, (unsigned)length);
    memcpy(framed + 2, data, length);
    ssize_t sent = send(connections[index].fd, framed, length + 2, MSG_NOSIGNAL);
    if (sent != (ssize_t)(length + 2)) hang_up(index);
}

static void flush(struct queue *q, double moment) {
    while (q->count && q->items[q->head].due <= moment) {
        struct delayed *d = &q->items[q->head];
        if (d->connection < 0)
            sendto(udp, d->data, d->length, 0, (struct sockaddr *)&d->client, sizeof d->client);
        else if (connections[d->connection].generation == d->generation)
            send_tcp(d->connection, d->data, d->length);
        free(d->data);
        q->head = (q->head + 1) % q->capacity;
        q->count--;
    }
}

static void serve_udp(void) {
    static uint8_t in[BATCH][MAX_QUERY], out[BATCH][MAX_REPLY];
    struct sockaddr_in clients[BATCH];
    struct mmsghdr messages[BATCH], replies[BATCH];
    struct iovec vectors[BATCH], reply_vectors[BATCH];
    memset(messages, 0, sizeof messages);
    memset(replies, 0, sizeof replies);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){in[i], MAX_QUERY};
        messages[i].msg_hdr = (struct msghdr){&clients[i], sizeof clients[i], &vectors[i], 1, 0, 0, 0};
    }
    int count = recvmmsg(udp, messages, BATCH, MSG_DONTWAIT, NULL), ready = 0;
    double moment = now();
    for (int i = 0; i < count; i++) {
        int is_slow;
        size_t length = answer(in[i], messages[i].msg_len, 0, out[ready], &is_slow);
        if (!length) continue;
        if (is_slow) {
            push(&slow, moment + latency + slow_latency, &clients[i], -1, out[ready], length);
        } else if (latency > 0) {
            push(&normal, moment + latency, &clients[i], -1, out[ready], length);
        } else {
            reply_vectors[ready] = (struct iovec){out[ready], length};
            replies[ready].msg_hdr =
                (struct msghdr){&clients[i], sizeof clients[i], &reply_vectors[ready], 1, 0, 0, 0};
            ready++;
        }
    }
    for (int sent = 0; sent < ready;) {
        int n = sendmmsg(udp, replies + sent, (unsigned)(ready - sent), 0);
        sent += n > 0 ? n : 1; /* a client that is gone loses its reply */
    }
}

static void accept_tcp(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        if (connections[i].fd >= 0) continue;
        connections[i].fd = fd;
        connections[i].length = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(10 + i)};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        return;
    }
    close(fd);
}

static void serve_tcp(int index) {
    struct connection *c = &connections[index];
    static uint8_t reply[MAX_REPLY + 64];
    if (c->fd < 0) return;
    ssize_t got = recv(c->fd, c->buffer + c->length, TCP_BUFFER - c->length, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) hang_up(index);
        return;
    }
    c->length += (uint32_t)got;
    uint32_t at = 0;
    while (c->fd >= 0 && c->length - at >= 2 && c->length - at - 2 >= get16(c->buffer + at)) {
        unsigned size = get16(c->buffer + at);
        int is_slow;
        size_t length = answer(c->buffer + at + 2, size, 1, reply, &is_slow);
        at += 2 + size;
        if (!length) continue;
        if (is_slow)
            push(&slow, now() + latency + slow_latency, NULL, index, reply, length);
        else if (latency > 0)
            push(&normal, now() + latency, NULL, index, reply, length);
        else
            send_tcp(index, reply, length);
    }
    if (c->fd < 0) return;
    if (!at && c->length == TCP_BUFFER) {
        hang_up(index);
        return;
    }
    memmove(c->buffer, c->buffer + at, c->length - at);
    c->length -= at;
}

static void report(void) {
    char line[256];
    ssize_t got = read(0, line, sizeof line);
    if (got <= 0) exit(0);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"queries\": %lu, \"tcp_queries\": %lu, \"truncated\": %lu, \"refused\": %lu, "
           "\"cpu_seconds_total\": %.3f, \"by_type\": {",
           queries, tcp_queries, truncated, refused, cpu);
    const char *separator = "";
    for (int i = 0; i < 256; i++)
        if (by_type[i]) {
            printf("%s\"%d\": %lu", separator, i, by_type[i]);
            separator = ", ";
        }
    printf("}, \"unknown\": [");
    for (uint64_t i = 0; i < refused && i < MAX_UNKNOWN_SHOWN; i++)
        printf("%s\"%s\"", i ? ", " : "", unknown[i]);
    printf("]}\n");
    fflush(stdout);
    queries = tcp_queries = truncated = refused = 0;
    memset(by_type, 0, sizeof by_type);
}

static void open_sockets(uint16_t port) {
    int one = 1, buffer = 16 << 20;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, size) < 0) die("bind");
    if (listen(listener, 256) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    /* A burst of queries must wait, not be dropped; FORCE where we may, else what we get. */
    if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
        setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(udp, (struct sockaddr *)&address, size) < 0) die("bind udp");
    printf("ready %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static int timeout_until(void) {
    double due = -1;
    if (normal.count) due = normal.items[normal.head].due;
    if (slow.count && (due < 0 || slow.items[slow.head].due < due)) due = slow.items[slow.head].due;
    if (due < 0) return -1;
    double rest = (due - now()) * 1000;
    return rest <= 0 ? 0 : (int)rest + 1;
}

int main(int argc, char **argv) {
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "usage: nameserver FILE PORT LATENCY_MS SLOW_MS MAX_SECONDS [UNKNOWN_RCODE]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)atoi(argv[5]));
    latency = atof(argv[3]) / 1000;
    slow_latency = atof(argv[4]) / 1000;
    if (argc == 7) unknown_rcode = (unsigned)atoi(argv[6]) & 15;
    load(argv[1]);
    for (int i = 0; i < MAX_CONNECTIONS; i++) connections[i].fd = -1;
    open_sockets((uint16_t)atoi(argv[2]));
    poller = epoll_create1(0);
    int watched[3] = {0, udp, listener};
    for (uint32_t i = 0; i < 3; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, watched[i], &event) < 0) die("epoll_ctl");
    }
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(poller, events, 64, timeout_until());
        for (int i = 0; i < count; i++) {
            uint32_t what = events[i].data.u32;
            if (what == 0)
                report();
            else if (what == 1)
                serve_udp();
            else if (what == 2)
                accept_tcp();
            else
                serve_tcp((int)what - 10);
        }
        double moment = now();
        flush(&normal, moment);
        flush(&slow, moment);
    }
}
