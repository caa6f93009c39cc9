"""DNSSEC validation as pure decisions: no socket, no clock; ``now``, policy and budget come in.

anchors      trust anchors: shipped, read from text, chosen for a name
policy       every choice and every bound, named once
algorithms   what can be verified, and keys made ready for it
canonical    the octets a signature is over (RFC 4034 §3.1.8.1, §6)
rrsig        one record set, its signatures, one reason each
denial       NSEC and NSEC3 records of a reply, verified, handed to the proofs
nsec, nsec3  the proofs of denial
typebits     what the type bit maps of both say
delegation   DS and DNSKEY: from a trusted zone to the next
replies      what a reply is about
hiddencut    zones that their parents do not know of
servers      a zone's own name servers, compared
forecast     what is going to break
answer       one question's answer: aliases, wildcards, denial, the weakest part
"""
