"""Serves a signed corpus: NSD for the zones, unbound without its validator in front of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from corpus_zones import Corpus
from real_processes import RealServer, program
from real_zones import NAMESERVER, free_port, start_nsd


@contextmanager
def served(corpus: Corpus) -> Iterator[int]:
    """Serve the corpus; yields the port of the resolver at 127.0.0.1."""
    with ExitStack() as stack:
        name_server_port = free_port(NAMESERVER)
        files = {zone.apex: corpus.file(zone.apex) for zone in corpus.zones if zone.served}
        name_server = start_nsd(corpus.directory, files, port=name_server_port)
        stack.callback(name_server.stop)
        lame_port = free_port(NAMESERVER)
        elsewhere = corpus.directory / "lame"
        elsewhere.mkdir()
        elsewhere.chmod(0o755)
        lame_server = start_nsd(elsewhere, {}, port=lame_port)  # refuses every question
        stack.callback(lame_server.stop)
        stubs = {
            zone.apex: f"{NAMESERVER}@{name_server_port if zone.served else lame_port}"
            for zone in corpus.zones
        }
        port = free_port("127.0.0.1")
        resolver = start_resolver(corpus.directory, stubs, port=port)
        stack.callback(resolver.stop)
        yield port


def start_resolver(directory: Path, zones: dict[str, str], *, port: int) -> RealServer:
    """Start an unbound that asks the server of each of ``zones`` and validates nothing.

    Nothing is left out, minimised or made up from what it knows, so that the validators behind it
    see what the name server says.
    """
    stubs = "".join(
        f'stub-zone:\n  name: "{zone}"\n  stub-addr: {server}\n' for zone, server in zones.items()
    )
    configuration = directory / f"resolver-{port}.conf"
    configuration.write_text(
        f"""server:
  directory: "{directory}"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.0/8 allow
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  module-config: "iterator"
  minimal-responses: no
  qname-minimisation: no
  aggressive-nsec: no
  harden-below-nxdomain: no
  harden-algo-downgrade: no
  ip-ratelimit: 0
  edns-buffer-size: 1232
  msg-cache-size: 32m
  rrset-cache-size: 64m
  incoming-num-tcp: 200
  local-zone: "test." nodefault
  local-zone: "invalid." nodefault
  unblock-lan-zones: yes
remote-control:
  control-enable: no
{stubs}"""
    )
    command = [program("unbound"), "-d", "-p", "-c", str(configuration)]
    return RealServer("unbound", command, ready="start of service")
