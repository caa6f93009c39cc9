"""danewatch: watches the DANE, DNSSEC and TLSA health of partner mail domains."""

__version__ = "0.1.0"
